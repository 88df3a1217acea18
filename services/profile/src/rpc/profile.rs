//! The generated trait, one line of conversion per call. Decides nothing.

use std::sync::Arc;

use attune_api::profile::v1::{
    Consent, GetProfileRequest, GetSnapshotRequest, GetSnapshotResponse, IngestRequest,
    IngestResponse, IngestResult, ListEventsRequest, ListEventsResponse, ListProfilesRequest,
    ListProfilesResponse, LookupProfileRequest, Profile, SetConsentRequest,
    profile_service_server::{ProfileService, ProfileServiceServer},
};
use attune_rpc::{Answer, Caller, Hot, MESSAGE_BYTES_MAX, answer_unary};
use tonic::{Request, Response, Status, body::Body};

use super::{Rpc, answer, traceparent};
use crate::{
    convert,
    service::{
        audit::Access,
        ingest::{self, Submission},
        read,
    },
};

const GET_SNAPSHOT: &str = "/attune.profile.v1.ProfileService/GetSnapshot";

/// The generated server, but for the one call that every personalized answer makes.
pub fn profile_server(
    rpc: Rpc,
) -> Hot<ProfileServiceServer<Rpc>, impl Fn(http::Request<Body>) -> Answer + Clone> {
    let generated = ProfileServiceServer::new(rpc.clone())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Hot::new(generated, GET_SNAPSHOT, move |request| {
        let rpc = rpc.clone();
        Box::pin(async move { Ok(answer_unary(request, |m| rpc.get_snapshot(m)).await) })
    })
}

#[tonic::async_trait]
impl ProfileService for Rpc {
    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let id = convert::get_profile(request.get_ref())?;
            let profile = self.0.profile(caller.workspace.as_str(), id).await?;
            self.seen(&caller, Access::of("GetProfile", &profile.profile_id))
                .await?;
            Ok(profile)
        };
        answer(&caller, result.await)
    }

    async fn lookup_profile(
        &self,
        request: Request<LookupProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let identity = convert::lookup(request.get_ref(), &self.0.shared.namespaces)?;
            let profile = self.0.lookup(caller.workspace.as_str(), &identity).await?;
            self.seen(&caller, Access::of("LookupProfile", &profile.profile_id))
                .await?;
            Ok(profile)
        };
        answer(&caller, result.await)
    }

    async fn list_profiles(
        &self,
        request: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let (after, size) = convert::list_profiles(request.get_ref())?;
            let workspace = caller.workspace.as_str();
            let listed = self.0.profiles(workspace, &after, size).await?;
            let access = Access::of_many("ListProfiles", listed.profiles.len());
            self.seen(&caller, access).await?;
            Ok(listed)
        };
        answer(&caller, result.await)
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let asked = convert::events::list_events(request.into_inner())?;
            let profile_id = asked.profile_id;
            let listed = self.0.events(caller.workspace.as_str(), asked).await?;
            let access = Access::of("ListEvents", profile_id)
                .saying(format!("{} events", listed.events.len()));
            self.seen(&caller, access).await?;
            Ok(listed)
        };
        answer(&caller, result.await)
    }

    async fn set_consent(
        &self,
        request: Request<SetConsentRequest>,
    ) -> Result<Response<Consent>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let change = convert::set_consent(
                caller.workspace.as_str(),
                request.into_inner(),
                traceparent(),
                &self.0.shared.config,
                self.0.shared.clock.now_ms(),
            )?;
            let access = Access::of("SetConsent", change.profile_id).saying(change.about());
            self.seen(&caller, access).await?;
            let held = self.0.set_consent(change).await?;
            let shown = held.first().map(|(p, decision)| read::consent(p, decision));
            // One purpose was asked about, and one is answered.
            Ok(shown.unwrap_or_default())
        };
        answer(&caller, result.await)
    }

    async fn ingest(
        &self,
        request: Request<IngestRequest>,
    ) -> Result<Response<IngestResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let sent = convert::message::named(request.into_inner().messages, &caller);
            let now_ms = self.0.shared.clock.now_ms();
            let workspace: Arc<str> = Arc::from(caller.workspace.as_str());
            let shared = &self.0.shared;
            let declared = shared.declared.current(&shared.database, &workspace);
            let schema = declared.await?.schema.clone();
            let messages = convert::message::messages(sent, shared.rules(&schema), now_ms)
                .map_err(|refused| {
                    shared.quality.add(&workspace, refused.tally);
                    refused.violations
                })?;
            let ids: Vec<_> = messages.iter().map(|m| m.id.clone()).collect();
            let submission = Submission {
                workspace,
                messages,
                schema,
                traceparent: traceparent(),
            };
            let results = self.0.ingest(submission).await?;
            Ok(ingested(&ids, results))
        };
        answer(&caller, result.await)
    }

    async fn get_snapshot(
        &self,
        request: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let namespaces = &self.0.shared.namespaces;
            let (subject, asked) = convert::snapshot(request.into_inner(), namespaces)?;
            let workspace = caller.workspace.as_str();
            self.0.snapshot(workspace, subject, asked).await
        };
        answer(&caller, result.await)
    }
}

fn ingested(ids: &[Arc<str>], results: Vec<ingest::Result>) -> IngestResponse {
    let results = ids.iter().zip(results).map(|(id, result)| IngestResult {
        message_id: id.to_string(),
        profile_id: result.profile_id.to_string(),
        status: result.status.to_proto().into(),
    });
    IngestResponse {
        results: results.collect(),
    }
}
