//! The public door: every call, however it came in, is recognised by its key or its
//! subject token, held against its scope and rate, and given to whoever answers it. Nothing that is not in
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
    preference_service_server::PreferenceServiceServer,
};
use attune_api::r#type::v1::Scope;
use attune_errors::Fault;
use attune_rpc::{Actor, Call, Caller, Channel, Peers};
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
    preferences::Preferences,
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
    preferences: Preferences,
    preference_server: PreferenceServiceServer<Preferences>,
    peers: Peers,
}

/// Calls after which what is remembered of people might hold what they withdrew.
const WITHDRAWALS: [&str; 4] = [
    "/attune.profile.v1.ProfileService/SetConsent",
    "/attune.profile.v1.PrivacyService/SetConsentString",
    "/attune.profile.v1.PrivacyService/UpdatePreferences",
    "/attune.profile.v1.PrivacyService/EraseProfile",
];

impl Door {
    pub fn new(
        keyring: Arc<Keyring>,
        access: Access,
        collection: Collection,
        personalization: Arc<Personalization>,
        preferences: Preferences,
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
            preference_server: PreferenceServiceServer::new(preferences.clone())
                .max_decoding_message_size(unbounded),
            preferences,
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
        if method.scope == Scope::Subject {
            return inner.enter_as_subject(request);
        }
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
            // Who asks to personalize is of no account, and that path is a hot one.
            if method.owner != Owner::Personalization {
                call.actor = Some(principal.actor.clone());
            }
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
            Owner::Preferences => {
                request.extensions_mut().insert(principal);
                self.preference_server.clone().call(request)
            }
            Owner::Profile => self.forward(&self.peers.profile, method, request),
            Owner::Catalog => self.forward(&self.peers.catalog, method, request),
            Owner::RuleEngine => self.forward(&self.peers.rule_engine, method, request),
            Owner::Messaging => self.forward(&self.peers.messaging, method, request),
        }
    }

    /// Gives a customer's call to the service that speaks for them, if their token is
    /// one. Which of their data it opens is for that service to say.
    fn enter_as_subject(&self, mut request: Request<Body>) -> Answer {
        let secret = credential::secret(request.headers());
        let token = secret.map_err(|_| Fault::subject_token_invalid());
        let subject = match token.and_then(|token| self.preferences.admit(&token)) {
            Ok(subject) => subject,
            Err(fault) => return refuse(fault),
        };
        tracing::Span::current().record("attune.workspace", subject.workspace.as_str());
        if let Some(call) = Call::of_mut(request.extensions_mut()) {
            call.workspace = Some(subject.workspace.clone());
            call.actor = Some(Actor::subject());
        }
        request.extensions_mut().insert(Arc::new(subject));
        self.preference_server.clone().call(request)
    }

    fn forward(&self, peer: &Channel, method: &PublicMethod, request: Request<Body>) -> Answer {
        let withdraws = WITHDRAWALS.contains(&method.path.as_str());
        let (peer, personalization) = (peer.clone(), self.personalization.0.clone());
        Box::pin(async move {
            let answer = forward::forward(peer, request).await;
            if withdraws {
                personalization.forget_profiles();
            }
            Ok(answer)
        })
    }
}

fn refuse(fault: Fault) -> Answer {
    Box::pin(std::future::ready(Ok(Status::from(fault).into_http())))
}

/// What a browser says with every request about the sale and sharing of what is learned:
/// Global Privacy Control, as `Sec-GPC: 1` (<https://www.w3.org/TR/gpc/>).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signal {
    #[default]
    None,
    Gpc,
}

impl Signal {
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        let sent = request.metadata().get("sec-gpc");
        match sent.map(|value| value.as_bytes()) {
            Some(b"1") => Self::Gpc,
            _ => Self::None,
        }
    }
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
