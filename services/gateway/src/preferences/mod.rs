//! The customers' own door: what they may see, change and take away about themselves,
//! asked of the profile service on their behalf. Takes the person from the token alone
//! and never from a request.

mod rpc;

use std::sync::Arc;

use attune_api::{
    gateway::v1::{
        CreateSubjectTokenRequest, SetMyConsentRequest, SubjectScope, SubjectToken,
        UpdateMyProfileRequest,
    },
    profile::v1::{
        Consent, GetProfileRequest, IngestRequest, LookupProfileRequest, Profile, SetConsentRequest,
    },
    time,
    r#type::v1::subject::Id,
};
use attune_errors::{Fault, Reason, reason_of};
use attune_rpc::Caller;
use attune_settings::Secret;
use tonic::Status;

use crate::{
    Error,
    clients::Clients,
    convert::{collection::USER_ID, preferences as convert},
    domain::subject::{Refused, Subject, SubjectKey},
    personalization::Personalization,
    store::Store,
};

const ANONYMOUS_ID: &str = "anonymous_id";

/// The key that tokens are signed with: the one that was set, or one that the replicas
/// share through the database.
pub async fn subject_key(store: &Store, sent: &Secret) -> Result<SubjectKey, Error> {
    const NAME: &str = "subject_token";
    if let Ok(key) = blake3::Hash::from_hex(sent.expose().trim()) {
        return Ok(SubjectKey::new(key.as_bytes()));
    }
    let fresh: [u8; 32] = rand::random();
    let stored = store.secret_or(NAME, fresh.to_vec()).await?;
    let key = stored.try_into().map_err(|_| Error::SubjectKey)?;
    Ok(SubjectKey::new(&key))
}

/// A person who showed their token, and may do what the call needs.
struct Myself {
    caller: Caller,
    profile_id: String,
}

/// Serves `PreferenceService`, all but what only services with a key may call.
#[derive(Clone)]
pub struct Preferences {
    clients: Clients,
    key: SubjectKey,
    personalization: Arc<Personalization>,
}

impl Preferences {
    pub fn new(clients: Clients, key: SubjectKey, personalization: Arc<Personalization>) -> Self {
        Self {
            clients,
            key,
            personalization,
        }
    }

    /// Whose token it is.
    pub fn admit(&self, token: &str) -> Result<Subject, Fault> {
        let verified = self.key.verify(token, time::now_ms());
        verified.map_err(|refused| match refused {
            Refused::Forged => Fault::subject_token_invalid(),
            Refused::Expired => Fault::subject_token_expired(),
        })
    }

    async fn create_token(
        &self,
        caller: &Caller,
        request: CreateSubjectTokenRequest,
    ) -> Result<SubjectToken, Error> {
        let wanted = convert::new_token(request)?;
        let profile = self.find(caller, wanted.id).await?;
        let subject = Subject {
            workspace: caller.workspace.clone(),
            profile_id: profile.profile_id,
            scopes: wanted.scopes,
            expire_ms: time::now_ms() + wanted.ttl_ms,
        };
        Ok(SubjectToken {
            token: self.key.sign(&subject),
            expire_time: Some(time::from_ms(subject.expire_ms)),
            scopes: subject.scopes.list().into_iter().map(i32::from).collect(),
            profile_id: subject.profile_id,
        })
    }

    /// The person as the profile service knows them: a token for nobody is not made.
    async fn find(&self, caller: &Caller, id: Id) -> Result<Profile, Status> {
        let mut profiles = self.clients.profile.clone();
        let (namespace, value) = match id {
            Id::ProfileId(profile_id) => {
                let request = caller.request(GetProfileRequest { profile_id });
                return Ok(profiles.get_profile(request).await?.into_inner());
            }
            Id::UserId(value) => (USER_ID.to_owned(), value),
            Id::AnonymousId(value) => (ANONYMOUS_ID.to_owned(), value),
            Id::Identity(identity) => (identity.namespace, identity.value),
        };
        let request = caller.request(LookupProfileRequest { namespace, value });
        Ok(profiles.lookup_profile(request).await?.into_inner())
    }

    async fn profile(&self, me: Myself) -> Result<Profile, Error> {
        let profile_id = me.profile_id;
        let request = me.caller.request(GetProfileRequest { profile_id });
        let profile = self.clients.profile.clone().get_profile(request).await;
        Ok(profile.map_err(gone)?.into_inner())
    }

    async fn update(&self, me: Myself, request: UpdateMyProfileRequest) -> Result<Profile, Error> {
        let message = convert::update(&me.profile_id, request, time::now_ms())?;
        let messages = vec![message];
        let request = me.caller.request(IngestRequest { messages });
        let taken = self.clients.profile.clone().ingest(request).await;
        taken.map_err(|status| convert::update_refused(gone(status)))?;
        self.profile(me).await
    }

    async fn set_consent(
        &self,
        me: Myself,
        request: SetMyConsentRequest,
    ) -> Result<Consent, Error> {
        let request = me.caller.request(SetConsentRequest {
            profile_id: me.profile_id,
            purpose: request.purpose,
            granted: request.granted,
            source: convert::SOURCE.to_owned(),
            policy_version: request.policy_version,
            ..SetConsentRequest::default()
        });
        let held = self.clients.profile.clone().set_consent(request).await;
        // Also where it failed: it may have failed after it was written.
        self.personalization.forget_profiles();
        Ok(held.map_err(gone)?.into_inner())
    }
}

/// A token outlives the person that it was made for, but opens nothing any more.
fn gone(status: Status) -> Status {
    match reason_of(&status) {
        Some(Reason::ResourceNotFound) => Fault::subject_token_invalid().into(),
        _ => status,
    }
}

/// The word for a scope in failures.
fn scope_name(scope: SubjectScope) -> &'static str {
    scope.as_str_name()
}
