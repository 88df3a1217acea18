//! The terms between services: the credential, the certificates, the limits.

use anyhow::Context;
use attune_rpc::{Health, Internal, PeerToken, Tls};

use crate::settings::Settings;

/// A process on its own makes up a credential, which nobody else then has.
pub fn internal(settings: &Settings, health: &Health) -> anyhow::Result<Internal> {
    let token = match settings.peers.token.expose().as_str() {
        "" => PeerToken::random(),
        given => PeerToken::new(given).context("peers.token is no credential")?,
    };
    let tls = settings.peers.tls.as_ref().map(Tls::load).transpose();
    Ok(Internal {
        tls: tls.context("peers.tls cannot be used")?,
        draining: health.draining(),
        ..Internal::new(token)
    })
}
