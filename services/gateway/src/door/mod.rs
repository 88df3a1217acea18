//! The public door: every call, however it came in, is recognised by its key, held
//! against its scope and rate, and given to whoever answers it. Nothing that is not in
//! the contract with an `access` option gets past it, and no key does.

mod credential;
mod forward;
mod malformed;

pub use malformed::tell_malformed;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use attune_api::gateway::v1::{
    access_service_server::AccessServiceServer, collection_service_server::CollectionServiceServer,
};
use attune_errors::Fault;
use attune_rpc::{Call, Caller, Channel, Peers};
use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::{Status, body::Body};
use tower::Service;

use crate::{
    Error,
    access::{Access, Keyring, Principal, Refusal},
    collection::Collection,
    domain::key::scope_name,
    methods::{Methods, Owner, PublicMethod},
    personalization::{Personalization, Server as PersonalizationServer},
};

type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// The service behind the door. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    methods: Methods,
    keyring: Arc<Keyring>,
    access: AccessServiceServer<Access>,
    collection: CollectionServiceServer<Collection>,
    personalization: PersonalizationServer,
    peers: Peers,
}

/// Where the consent that stale profiles might contradict is set.
const SET_CONSENT: &str = "/attune.profile.v1.ProfileService/SetConsent";

impl Door {
    pub fn new(
        keyring: Arc<Keyring>,
        access: Access,
        collection: Collection,
        personalization: Arc<Personalization>,
        peers: Peers,
    ) -> Self {
        // The stack in front of the door bounds messages, and tells so with a reason.
        let unbounded = usize::MAX;
        Self(Arc::new(Inner {
            methods: Methods::read(),
            keyring,
            access: AccessServiceServer::new(access).max_decoding_message_size(unbounded),
            collection: CollectionServiceServer::new(collection)
                .max_decoding_message_size(unbounded),
            personalization: PersonalizationServer(personalization),
            peers,
        }))
    }
}

impl Service<Request<Body>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let inner = &self.0;
        let path = request.uri().path();
        let Some(method) = inner.methods.get(path) else {
            return refuse(Fault::method_unknown(path));
        };
        let admitted = match credential::secret(request.headers()) {
            Ok(secret) => inner.keyring.admit(&secret),
            Err(fault) => return refuse(fault),
        };
        match admitted {
            Ok(principal) => inner.enter(method, principal, request),
            Err(Refusal::Final(fault)) => refuse(fault),
            Err(Refusal::Unknown(hash)) => {
                let inner = inner.clone();
                let method = method.clone();
                Box::pin(async move {
                    match inner.keyring.admit_after_refresh(hash).await {
                        Ok(principal) => inner.enter(&method, principal, request).await,
                        Err(fault) => Ok(Status::from(fault).into_http()),
                    }
                })
            }
        }
    }
}

impl Inner {
    /// Gives the call of a known caller to whoever answers it, if its key may.
    fn enter(
        &self,
        method: &PublicMethod,
        principal: Arc<Principal>,
        mut request: Request<Body>,
    ) -> Answer {
        if !principal.scopes.allow(method.scope) {
            return refuse(Fault::scope_insufficient(scope_name(method.scope)));
        }
        tracing::Span::current().record("attune.workspace", principal.workspace.as_str());
        if let Some(call) = Call::of_mut(request.extensions_mut()) {
            call.workspace = Some(principal.workspace.clone());
        }
        match method.owner {
            Owner::Access => {
                request.extensions_mut().insert(principal);
                self.access.clone().call(request)
            }
            Owner::Collection => self.collection.clone().call(request),
            Owner::Personalization => {
                request.extensions_mut().insert(principal);
                self.personalization.call(request)
            }
            Owner::Profile => self.forward(&self.peers.profile, method, request),
            Owner::Catalog => self.forward(&self.peers.catalog, method, request),
            Owner::RuleEngine => self.forward(&self.peers.rule_engine, method, request),
            Owner::Messaging => self.forward(&self.peers.messaging, method, request),
        }
    }

    fn forward(&self, peer: &Channel, method: &PublicMethod, request: Request<Body>) -> Answer {
        let changes_consent = method.path == SET_CONSENT;
        let (peer, personalization) = (peer.clone(), self.personalization.0.clone());
        Box::pin(async move {
            let answer = forward::forward(peer, request).await;
            if changes_consent {
                personalization.forget_profiles();
            }
            Ok(answer)
        })
    }
}

fn refuse(fault: Fault) -> Answer {
    Box::pin(std::future::ready(Ok(Status::from(fault).into_http())))
}

/// A call's key and caller, for handlers behind the door.
pub struct Who {
    pub principal: Arc<Principal>,
    pub caller: Caller,
}

/// Parts a request into who asks and what.
pub fn principal_of<T>(request: tonic::Request<T>) -> Result<(Who, T), Status> {
    let caller = Caller::of(&request)?;
    let principal = request.extensions().get::<Arc<Principal>>().cloned();
    let principal = principal.ok_or_else(|| Status::from(Fault::key_missing()))?;
    Ok((Who { principal, caller }, request.into_inner()))
}

/// The end of every handler.
pub fn answer<T>(caller: &Caller, result: Result<T, Error>) -> Result<tonic::Response<T>, Status> {
    match result {
        Ok(message) => Ok(tonic::Response::new(message)),
        Err(error) => Err(error.into_status(caller.request_id.as_str())),
    }
}
