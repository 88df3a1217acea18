//! What belongs to the person: purposes and preferences, merges that can be undone,
//! export, erasure and the record of who looked.

use std::sync::Arc;

use attune_api::profile::v1::{
    CreatePurposeRequest, DeletePurposeRequest, EraseProfileRequest, Erasure, ExportPart,
    ExportProfileRequest, GetPreferencesRequest, GetPurposeRequest, HashAddressesRequest,
    HashAddressesResponse, ListAuditEntriesRequest, ListAuditEntriesResponse,
    ListConsentHistoryRequest, ListConsentHistoryResponse, ListMergesRequest, ListMergesResponse,
    ListPurposesRequest, ListPurposesResponse, Merge, MergeProfilesRequest, Preferences, Purpose,
    RecordAccessRequest, RecordAccessResponse, SetConsentStringRequest, SetConsentStringResponse,
    UnmergeProfilesRequest, UnmergeProfilesResponse, UpdatePreferencesRequest,
    UpdatePurposeRequest, VerifyAuditRequest, VerifyAuditResponse,
    privacy_service_server::PrivacyService,
};
use attune_rpc::Caller;
use attune_storage::resources::PageRequest;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use tonic::{Request, Response, Status};

use super::{Rpc, answer, traceparent};
use crate::{
    convert,
    service::{audit::Access, read},
};

/// Who says that people are one, or two: a key, by its id.
fn operator(caller: &Caller) -> String {
    let actor = caller.actor.as_ref();
    actor.map(ToString::to_string).unwrap_or_default()
}

#[tonic::async_trait]
impl PrivacyService for Rpc {
    async fn create_purpose(
        &self,
        request: Request<CreatePurposeRequest>,
    ) -> Result<Response<Purpose>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let edit = convert::purposes::create(request.into_inner())?;
            let workspace = Arc::from(caller.workspace.as_str());
            self.0.edit_purpose(workspace, edit).await
        };
        answer(&caller, result.await)
    }

    async fn get_purpose(
        &self,
        request: Request<GetPurposeRequest>,
    ) -> Result<Response<Purpose>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let id = &request.get_ref().purpose_id;
            self.0.purpose(caller.workspace.as_str(), id).await
        };
        answer(&caller, result.await)
    }

    async fn list_purposes(
        &self,
        request: Request<ListPurposesRequest>,
    ) -> Result<Response<ListPurposesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let sent = request.into_inner();
            let page = PageRequest {
                page_size: sent.page_size,
                page_token: sent.page_token,
            };
            let page = self
                .0
                .list_purposes(caller.workspace.as_str(), &page)
                .await?;
            Ok(ListPurposesResponse {
                purposes: page.resources,
                next_page_token: page.next_page_token,
            })
        };
        answer(&caller, result.await)
    }

    async fn update_purpose(
        &self,
        request: Request<UpdatePurposeRequest>,
    ) -> Result<Response<Purpose>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let edit = convert::purposes::update(request.into_inner())?;
            let workspace = Arc::from(caller.workspace.as_str());
            self.0.edit_purpose(workspace, edit).await
        };
        answer(&caller, result.await)
    }

    async fn delete_purpose(
        &self,
        request: Request<DeletePurposeRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let edit = convert::purposes::delete(request.into_inner());
            let workspace = Arc::from(caller.workspace.as_str());
            self.0.edit_purpose(workspace, edit).await.map(drop)
        };
        answer(&caller, result.await)
    }

    async fn set_consent_string(
        &self,
        request: Request<SetConsentStringRequest>,
    ) -> Result<Response<SetConsentStringResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let change = convert::set_consent_string(
                caller.workspace.as_str(),
                request.into_inner(),
                traceparent(),
                &self.0.shared.config,
                self.0.shared.clock.now_ms(),
            )?;
            let access = Access::of("SetConsentString", change.profile_id);
            self.seen(&caller, access).await?;
            let held = self.0.set_consent(change).await?;
            let consents = held.iter().map(|(p, decision)| read::consent(p, decision));
            Ok(SetConsentStringResponse {
                consents: consents.collect(),
            })
        };
        answer(&caller, result.await)
    }

    async fn list_consent_history(
        &self,
        request: Request<ListConsentHistoryRequest>,
    ) -> Result<Response<ListConsentHistoryResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let asked = convert::consent_history(request.get_ref())?;
            let access = Access::of("ListConsentHistory", asked.profile_id);
            let workspace = caller.workspace.as_str();
            let listed = self.0.consent_history(workspace, asked).await?;
            self.seen(&caller, access).await?;
            Ok(listed)
        };
        answer(&caller, result.await)
    }

    async fn get_preferences(
        &self,
        request: Request<GetPreferencesRequest>,
    ) -> Result<Response<Preferences>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let id = convert::profile_id(&request.get_ref().profile_id)?;
            let preferences = self.0.preferences(caller.workspace.as_str(), id).await?;
            self.seen(&caller, Access::of("GetPreferences", id)).await?;
            Ok(preferences)
        };
        answer(&caller, result.await)
    }

    async fn update_preferences(
        &self,
        request: Request<UpdatePreferencesRequest>,
    ) -> Result<Response<Preferences>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let change = convert::preferences::update(
                caller.workspace.as_str(),
                request.into_inner(),
                traceparent(),
            )?;
            let access = Access::of("UpdatePreferences", change.profile_id);
            self.seen(&caller, access).await?;
            self.0.update_preferences(change).await
        };
        answer(&caller, result.await)
    }

    async fn merge_profiles(
        &self,
        request: Request<MergeProfilesRequest>,
    ) -> Result<Response<Merge>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let workspace = caller.workspace.as_str();
            let (request, operator) = (request.into_inner(), operator(&caller));
            let asked = convert::merges::merge(workspace, request, operator, traceparent())?;
            let (one, other) = (asked.profile_id, asked.other_id);
            for (id, with) in [(one, other), (other, one)] {
                let access = Access::of("MergeProfiles", id).saying(format!("with {with}"));
                self.seen(&caller, access).await?;
            }
            self.0.merge(asked).await
        };
        answer(&caller, result.await)
    }

    async fn unmerge_profiles(
        &self,
        request: Request<UnmergeProfilesRequest>,
    ) -> Result<Response<UnmergeProfilesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let workspace = caller.workspace.as_str();
            let (request, operator) = (request.into_inner(), operator(&caller));
            let merge = format!("merge {}", request.merge_id);
            let asked = convert::merges::unmerge(workspace, request, operator, traceparent())?;
            let parted = self.0.unmerge(asked).await?;
            // Only now is it known who they are; the merge itself says who undid it.
            for profile in &parted.profiles {
                let access = Access::of("UnmergeProfiles", &profile.profile_id);
                self.seen(&caller, access.saying(&merge)).await?;
            }
            Ok(parted)
        };
        answer(&caller, result.await)
    }

    async fn list_merges(
        &self,
        request: Request<ListMergesRequest>,
    ) -> Result<Response<ListMergesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let (id, before, size) = convert::merges::list(request.get_ref())?;
            let workspace = caller.workspace.as_str();
            let listed = self.0.merges(workspace, id, &before, size).await?;
            self.seen(&caller, Access::of("ListMerges", id)).await?;
            Ok(listed)
        };
        answer(&caller, result.await)
    }

    type ExportProfileStream = BoxStream<'static, Result<ExportPart, Status>>;

    async fn export_profile(
        &self,
        request: Request<ExportProfileRequest>,
    ) -> Result<Response<Self::ExportProfileStream>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let id = convert::profile_id(&request.get_ref().profile_id)?;
            let parts = self.0.export(&caller, id).await?;
            let caller = caller.clone();
            let parts = parts.map_err(move |error| error.into_status(caller.request_id.as_str()));
            Ok(parts.boxed())
        };
        answer(&caller, result.await)
    }

    async fn erase_profile(
        &self,
        request: Request<EraseProfileRequest>,
    ) -> Result<Response<Erasure>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let request = request.into_inner();
            let asked = convert::erase::request(&caller, request, traceparent())?;
            self.0.erase(asked).await.map(convert::erase::shown)
        };
        answer(&caller, result.await)
    }

    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let asked = convert::list_audit_entries(request.get_ref())?;
            let workspace = caller.workspace.as_str();
            self.0.audit_entries(workspace, asked).await
        };
        answer(&caller, result.await)
    }

    async fn verify_audit(
        &self,
        request: Request<VerifyAuditRequest>,
    ) -> Result<Response<VerifyAuditResponse>, Status> {
        let caller = Caller::of(&request)?;
        answer(
            &caller,
            self.0.verify_audit(caller.workspace.as_str()).await,
        )
    }

    async fn hash_addresses(
        &self,
        request: Request<HashAddressesRequest>,
    ) -> Result<Response<HashAddressesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = convert::addresses(request.get_ref()).map(|addresses| {
            let keys = self.0.address_keys(caller.workspace.as_str(), addresses);
            HashAddressesResponse { keys }
        });
        answer(&caller, result)
    }

    async fn record_access(
        &self,
        request: Request<RecordAccessRequest>,
    ) -> Result<Response<RecordAccessResponse>, Status> {
        let caller = Caller::of(&request)?;
        let result = async {
            let access = convert::record_access(request.into_inner())?;
            self.seen(&caller, access).await?;
            Ok(RecordAccessResponse {})
        };
        answer(&caller, result.await)
    }
}
