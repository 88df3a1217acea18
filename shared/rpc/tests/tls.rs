//! Between processes both sides show a certificate of the same authority, or there is
//! no call.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests fail by panicking.

mod support;

use std::path::Path;

use attune_errors::{Reason, reason_of};
use attune_rpc::{Caller, Channel, EndpointError, Internal, PeerToken, Tls, TlsFiles, Workspace};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{Rig, TOKEN, Topology, ask};

/// Writes an authority and a certificate signed by it.
fn certificates(directory: &Path) -> TlsFiles {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_cert = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap();
    let write = |name: &str, pem: String| {
        let path = directory.join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    TlsFiles {
        ca: write("ca.pem", authority_cert.pem()),
        cert: write("cert.pem", cert.pem()),
        key: write("key.pem", key.serialize_pem()),
    }
}

#[tokio::test]
async fn only_certificates_of_the_same_authority_can_talk() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tls = Tls::load(&certificates(ours.path())).unwrap();
    let rig = Rig::with(Topology::Tcp, TOKEN, |terms| terms.tls = Some(tls.clone())).await;
    let caller = Caller::new(Workspace::default());
    rig.decisions()
        .decide(caller.request(ask("echo")))
        .await
        .unwrap();

    let mut terms = Internal::new(PeerToken::new(TOKEN).unwrap());
    terms.tls = Some(Tls::load(&certificates(theirs.path())).unwrap());
    let endpoint = format!("https://localhost:{}", rig.address.unwrap().port());
    let channel = Channel::tcp("probe", &endpoint, &terms).unwrap();
    let status = Rig { channel, ..rig }
        .decisions()
        .decide(caller.request(ask("echo")))
        .await;
    assert_eq!(
        reason_of(&status.unwrap_err()),
        Some(Reason::ServiceUnavailable)
    );
}

#[tokio::test]
async fn an_address_that_does_not_go_with_the_certificates_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let plain = Internal::new(PeerToken::random());
    let mut secure = plain.clone();
    secure.tls = Some(Tls::load(&certificates(directory.path())).unwrap());
    for (endpoint, terms) in [("https://catalog:1", &plain), ("http://catalog:1", &secure)] {
        let refused = Channel::tcp("catalog", endpoint, terms);
        assert!(
            matches!(refused, Err(EndpointError::SchemeMismatch { .. })),
            "{endpoint}"
        );
    }
    for endpoint in ["", "no address"] {
        let refused = Channel::tcp("catalog", endpoint, &plain);
        assert!(
            matches!(refused, Err(EndpointError::Malformed { .. })),
            "{endpoint}"
        );
    }
}

#[test]
fn files_that_are_missing_or_no_certificates_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let good = certificates(directory.path());
    let missing = TlsFiles {
        key: directory.path().join("none.pem"),
        ..good.clone()
    };
    assert!(
        Tls::load(&missing)
            .unwrap_err()
            .to_string()
            .contains("none.pem")
    );
    let swapped = TlsFiles {
        key: good.cert.clone(),
        ..good
    };
    assert!(
        Tls::load(&swapped)
            .unwrap_err()
            .to_string()
            .contains("cert.pem")
    );
}
