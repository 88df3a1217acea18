//! The generated trait of `PreferenceService` onto its use cases, with the scope that
//! each of them needs. Decides nothing.

use std::sync::Arc;

use attune_api::{
    gateway::v1::{
        CreateSubjectTokenRequest, EraseMyDataRequest, ExportMyDataRequest,
        GetMyPreferencesRequest, GetMyProfileRequest, ListMyConsentHistoryRequest,
        ListMyEventsRequest, SetMyConsentRequest, SubjectScope, SubjectToken,
        UpdateMyPreferencesRequest, UpdateMyProfileRequest,
        preference_service_server::PreferenceService,
    },
    profile::v1::{
        Consent, EraseProfileRequest, Erasure, ExportPart, ExportProfileRequest,
        GetPreferencesRequest, ListConsentHistoryRequest, ListConsentHistoryResponse,
        ListEventsRequest, ListEventsResponse, Preferences as ProfilePreferences, Profile,
        UpdatePreferencesRequest,
    },
};
use attune_errors::Fault;
use attune_rpc::Caller;
use futures::{Stream, StreamExt, stream::BoxStream};
use tonic::{Request, Response, Status};

use super::{Myself, Preferences, gone, scope_name};
use crate::{
    domain::subject::Subject,
    door::{answer, principal_of},
};

type Reply<T> = Result<Response<T>, Status>;

/// The person who asks, if their token allows it.
fn myself<T>(request: Request<T>, scope: SubjectScope) -> Result<(Myself, T), Status> {
    let caller = Caller::of(&request)?;
    let subject = request.extensions().get::<Arc<Subject>>().cloned();
    let subject = subject.ok_or_else(|| Status::from(Fault::subject_token_invalid()))?;
    if !subject.scopes.allow(scope) {
        return Err(Fault::scope_insufficient(scope_name(scope)).into());
    }
    let profile_id = subject.profile_id.clone();
    Ok((Myself { caller, profile_id }, request.into_inner()))
}

#[tonic::async_trait]
impl PreferenceService for Preferences {
    async fn create_subject_token(
        &self,
        request: Request<CreateSubjectTokenRequest>,
    ) -> Reply<SubjectToken> {
        let (who, request) = principal_of(request)?;
        answer(&who.caller, self.create_token(&who.caller, request).await)
    }

    async fn get_my_profile(&self, request: Request<GetMyProfileRequest>) -> Reply<Profile> {
        let (me, _) = myself(request, SubjectScope::SubjectView)?;
        let caller = me.caller.clone();
        answer(&caller, self.profile(me).await)
    }

    async fn update_my_profile(&self, request: Request<UpdateMyProfileRequest>) -> Reply<Profile> {
        let (me, request) = myself(request, SubjectScope::SubjectChange)?;
        let caller = me.caller.clone();
        answer(&caller, self.update(me, request).await)
    }

    async fn list_my_events(
        &self,
        request: Request<ListMyEventsRequest>,
    ) -> Reply<ListEventsResponse> {
        let (me, request) = myself(request, SubjectScope::SubjectView)?;
        let request = me.caller.request(ListEventsRequest {
            profile_id: me.profile_id,
            page_size: request.page_size,
            page_token: request.page_token,
            ..ListEventsRequest::default()
        });
        let listed = self.clients.profile.clone().list_events(request).await;
        Ok(Response::new(listed.map_err(gone)?.into_inner()))
    }

    async fn set_my_consent(&self, request: Request<SetMyConsentRequest>) -> Reply<Consent> {
        let (me, request) = myself(request, SubjectScope::SubjectChange)?;
        let caller = me.caller.clone();
        answer(&caller, self.set_consent(me, request).await)
    }

    async fn list_my_consent_history(
        &self,
        request: Request<ListMyConsentHistoryRequest>,
    ) -> Reply<ListConsentHistoryResponse> {
        let (me, request) = myself(request, SubjectScope::SubjectView)?;
        let request = me.caller.request(ListConsentHistoryRequest {
            profile_id: me.profile_id,
            page_size: request.page_size,
            page_token: request.page_token,
        });
        let mut privacy = self.clients.privacy.clone();
        let listed = privacy.list_consent_history(request).await;
        Ok(Response::new(listed.map_err(gone)?.into_inner()))
    }

    async fn get_my_preferences(
        &self,
        request: Request<GetMyPreferencesRequest>,
    ) -> Reply<ProfilePreferences> {
        let (me, _) = myself(request, SubjectScope::SubjectView)?;
        let profile_id = me.profile_id;
        let request = me.caller.request(GetPreferencesRequest { profile_id });
        let held = self.clients.privacy.clone().get_preferences(request).await;
        Ok(Response::new(held.map_err(gone)?.into_inner()))
    }

    async fn update_my_preferences(
        &self,
        request: Request<UpdateMyPreferencesRequest>,
    ) -> Reply<ProfilePreferences> {
        let (me, request) = myself(request, SubjectScope::SubjectChange)?;
        let request = me.caller.request(UpdatePreferencesRequest {
            profile_id: me.profile_id,
            preferences: request.preferences,
            update_mask: request.update_mask,
        });
        let mut privacy = self.clients.privacy.clone();
        let held = privacy.update_preferences(request).await;
        self.personalization.forget_profiles();
        Ok(Response::new(held.map_err(gone)?.into_inner()))
    }

    type ExportMyDataStream = BoxStream<'static, Result<ExportPart, Status>>;

    async fn export_my_data(
        &self,
        request: Request<ExportMyDataRequest>,
    ) -> Reply<Self::ExportMyDataStream> {
        let (me, _) = myself(request, SubjectScope::SubjectExport)?;
        let profile_id = me.profile_id;
        let request = me.caller.request(ExportProfileRequest { profile_id });
        let parts = self.clients.privacy.clone().export_profile(request).await;
        let parts = parts.map_err(gone)?.into_inner();
        Ok(Response::new(told(parts).boxed()))
    }

    async fn erase_my_data(&self, request: Request<EraseMyDataRequest>) -> Reply<Erasure> {
        let (me, _) = myself(request, SubjectScope::SubjectErase)?;
        let request = me.caller.request(EraseProfileRequest {
            profile_id: me.profile_id,
            reason: "asked for by the person".to_owned(),
        });
        let erasure = self.clients.privacy.clone().erase_profile(request).await;
        self.personalization.forget_profiles();
        Ok(Response::new(erasure.map_err(gone)?.into_inner()))
    }
}

/// A person who is not there may be told with the first part.
fn told<T>(parts: impl Stream<Item = Result<T, Status>>) -> impl Stream<Item = Result<T, Status>> {
    parts.map(|part| part.map_err(gone))
}
