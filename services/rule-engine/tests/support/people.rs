//! The profile service as far as the rule-engine asks it: people's snapshots.

use std::{collections::HashMap, sync::Arc};

use attune_api::profile::v1::{
    Consent, GetProfileRequest, GetSnapshotRequest, GetSnapshotResponse, IngestRequest,
    IngestResponse, ListEventsRequest, ListEventsResponse, ListProfilesRequest,
    ListProfilesResponse, LookupProfileRequest, Profile, SetConsentRequest, Snapshot,
    profile_service_server::ProfileService,
};
use attune_api::r#type::v1::subject::Id;
use parking_lot::Mutex;
use prost::Message as _;
use tonic::{Request, Response, Status};

/// People by profile id. Clones share them.
#[derive(Clone, Default)]
pub struct People(Arc<Mutex<HashMap<String, Snapshot>>>);

impl People {
    pub fn put(&self, person: Snapshot) {
        self.0.lock().insert(person.profile_id.clone(), person);
    }

    pub fn remove(&self, profile_id: &str) {
        self.0.lock().remove(profile_id);
    }
}

fn never<T>() -> Result<Response<T>, Status> {
    Err(Status::internal("not asked by the rule-engine"))
}

#[tonic::async_trait]
impl ProfileService for People {
    async fn get_snapshot(
        &self,
        request: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        let subject = request.into_inner().subject.and_then(|subject| subject.id);
        let Some(Id::ProfileId(id)) = subject else {
            return never();
        };
        let person = self.0.lock().get(&id).cloned();
        let found =
            person.map_or_else(GetSnapshotResponse::default, |person| GetSnapshotResponse {
                found: true,
                profile_id: id,
                basis: person.basis,
                snapshot: person.encode_to_vec().into(),
                ..Default::default()
            });
        Ok(Response::new(found))
    }

    async fn get_profile(
        &self,
        _: Request<GetProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        never()
    }

    async fn lookup_profile(
        &self,
        _: Request<LookupProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        never()
    }

    async fn list_profiles(
        &self,
        _: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        never()
    }

    async fn list_events(
        &self,
        _: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        never()
    }

    async fn set_consent(
        &self,
        _: Request<SetConsentRequest>,
    ) -> Result<Response<Consent>, Status> {
        never()
    }

    async fn ingest(&self, _: Request<IngestRequest>) -> Result<Response<IngestResponse>, Status> {
        never()
    }
}
