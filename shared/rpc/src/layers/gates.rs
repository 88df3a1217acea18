//! The steps that need a look at the request and no more: request id, credential,
//! load, workspace and actor.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use attune_errors::{Fault, Violations};
use http::Request;
use tracing::Span;

use super::Step;
use crate::{Actor, Call, Method, PeerToken, RequestId, Workspace, metadata};

/// Server: opens the [`Call`] that the other layers fill. First, because everything
/// that is logged or refused later names the request.
#[derive(Debug, Clone, Copy)]
pub struct RequestIds;

impl Step for RequestIds {
    type Held = ();

    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Fault> {
        let sent = request.headers().get(&metadata::REQUEST_ID);
        let call = Call {
            method: Method::at(request.uri().path()),
            request_id: sent
                .and_then(RequestId::sent)
                .unwrap_or_else(RequestId::mint),
            begin: Instant::now(),
            deadline: None,
            workspace: None,
            actor: None,
        };
        request.extensions_mut().insert(call);
        Ok(())
    }
}

/// Server: lets in only our own services.
#[derive(Debug, Clone)]
pub struct PeersOnly(pub PeerToken);

impl Step for PeersOnly {
    type Held = ();

    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Fault> {
        let sent = request.headers().get(&metadata::PEER_TOKEN);
        let known = sent.is_some_and(|sent| self.0.matches(sent.as_bytes()));
        if known {
            Ok(())
        } else {
            Err(Fault::peer_unauthenticated())
        }
    }
}

/// Client: the other half of [`PeersOnly`].
#[derive(Debug, Clone)]
pub struct SendCredential(pub PeerToken);

impl Step for SendCredential {
    type Held = ();

    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Fault> {
        let token = self.0.header();
        request.headers_mut().insert(&metadata::PEER_TOKEN, token);
        Ok(())
    }
}

/// Server: answers a few calls well instead of all of them late. What is over the
/// limit is refused at once, before it costs anything.
#[derive(Debug, Clone)]
pub struct LoadLimit {
    in_flight: Arc<AtomicUsize>,
    in_flight_max: usize,
}

impl LoadLimit {
    /// How long a refused caller is asked to wait.
    const RETRY_AFTER: Duration = Duration::from_millis(100);

    pub fn new(in_flight_max: usize) -> Self {
        Self {
            in_flight: Arc::default(),
            in_flight_max,
        }
    }
}

/// A place among the calls in flight, given back when the answer is over.
#[derive(Debug)]
pub struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Step for LoadLimit {
    type Held = Permit;

    fn admit<B>(&self, _: &mut Request<B>) -> Result<Permit, Fault> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(self.in_flight.clone());
        if before < self.in_flight_max {
            Ok(permit)
        } else {
            Err(Fault::overloaded(Self::RETRY_AFTER))
        }
    }
}

/// Server: for which workspace the call is, and on whose behalf. A call without one is a service's own, and
/// only handlers that need no [`Caller`](crate::Caller) will answer it.
#[derive(Debug, Clone, Copy)]
pub struct Callers;

impl Step for Callers {
    type Held = ();

    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Fault> {
        let Some(sent) = request.headers().get(&metadata::WORKSPACE) else {
            return Ok(());
        };
        let name = sent.to_str().unwrap_or_default();
        let workspace = Workspace::new(name).map_err(|e| {
            let field = metadata::WORKSPACE.as_str();
            Fault::invalid(Violations::of(field, e.to_string()))
        })?;
        Span::current().record("attune.workspace", workspace.as_str());
        let actor = request.headers().get(&metadata::ACTOR);
        let actor = actor.map(Actor::sent).transpose().map_err(|e| {
            let field = metadata::ACTOR.as_str();
            Fault::invalid(Violations::of(field, e.to_string()))
        })?;
        if let Some(call) = Call::of_mut(request.extensions_mut()) {
            call.workspace = Some(workspace);
            call.actor = actor;
        }
        Ok(())
    }
}
