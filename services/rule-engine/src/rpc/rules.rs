//! `RuleService`, one hop from its use cases. The three kinds of resource share their
//! standard methods; only the names of fields differ.

use std::sync::Arc;

use attune_api::rules::v1::{
    CreatePlacementRequest, CreateRuleRequest, CreateStrategyRequest, DeletePlacementRequest,
    DeleteRuleRequest, DeleteStrategyRequest, GetPlacementRequest, GetRuleRequest,
    GetStrategyRequest, ListPlacementsRequest, ListPlacementsResponse, ListRulesRequest,
    ListRulesResponse, ListStrategiesRequest, ListStrategiesResponse, Placement, Rule, Strategy,
    UpdatePlacementRequest, UpdateRuleRequest, UpdateStrategyRequest,
    rule_service_server::RuleService,
};
use attune_errors::Violations;
use attune_rpc::Caller;
use attune_storage::resources::{Missing, PageRequest, Table};
use prost_types::FieldMask;
use tonic::{Request, Response, Status};

use crate::{
    convert::resources::create_id,
    error::Error,
    service::rules::{Part, Rules, workspace},
};

#[derive(Clone)]
pub struct RuleBase {
    pub rules: Arc<Rules>,
}

impl RuleBase {
    async fn create<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        resource: Result<P, Violations>,
    ) -> Result<Response<P>, Status> {
        let created = match resource {
            Ok(resource) => self.rules.create(table, caller, resource).await,
            Err(violations) => Err(violations.into()),
        };
        answer(caller, created)
    }

    async fn update<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        resource: Result<P, Violations>,
        update_mask: Option<FieldMask>,
        allow_missing: bool,
    ) -> Result<Response<P>, Status> {
        let missing = Missing::allowed(allow_missing);
        let updated = match resource {
            Ok(resource) => {
                self.rules
                    .update(table, caller, resource, update_mask, missing)
                    .await
            }
            Err(violations) => Err(violations.into()),
        };
        answer(caller, updated)
    }

    async fn get<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        id: &str,
    ) -> Result<Response<P>, Status> {
        answer(caller, table.get(caller.workspace.as_str(), id).await)
    }

    async fn delete<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        id: &str,
        etag: &str,
    ) -> Result<Response<()>, Status> {
        let deleted = table.delete(&workspace(caller), id, etag).await;
        answer(caller, deleted.map(drop))
    }
}

fn answer<T>(
    caller: &Caller,
    result: Result<T, attune_storage::resources::Error>,
) -> Result<Response<T>, Status> {
    result
        .map(Response::new)
        .map_err(|error| Error::from(error).into_status(caller))
}

/// The resource to create, with its id from wherever it was sent.
fn to_create<P: Part>(
    field: &'static str,
    id_field: &'static str,
    request_id: &str,
    body: Option<P>,
    id: impl Fn(&mut P) -> &mut String,
) -> Result<P, Violations> {
    let Some(mut body) = body else {
        return Err(Violations::of(field, "must be set"));
    };
    let mut found = Violations::new();
    create_id(&mut found, id_field, request_id, id(&mut body));
    found.into_result().map(|()| body)
}

fn to_update<P: Part>(field: &'static str, body: Option<P>) -> Result<P, Violations> {
    body.ok_or_else(|| Violations::of(field, "must be set"))
}

#[tonic::async_trait]
impl RuleService for RuleBase {
    async fn create_placement(
        &self,
        request: Request<CreatePlacementRequest>,
    ) -> Result<Response<Placement>, Status> {
        let caller = Caller::of(&request)?;
        let CreatePlacementRequest {
            placement_id,
            placement,
        } = request.into_inner();
        let resource = to_create("placement", "placement_id", &placement_id, placement, |r| {
            &mut r.placement_id
        });
        self.create(&self.rules.placements, &caller, resource).await
    }

    async fn get_placement(
        &self,
        request: Request<GetPlacementRequest>,
    ) -> Result<Response<Placement>, Status> {
        let caller = Caller::of(&request)?;
        let id = &request.get_ref().placement_id;
        self.get(&self.rules.placements, &caller, id).await
    }

    async fn list_placements(
        &self,
        request: Request<ListPlacementsRequest>,
    ) -> Result<Response<ListPlacementsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let ListPlacementsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let page = PageRequest {
            page_size,
            page_token,
        };
        let page = self
            .rules
            .list(&self.rules.placements, &caller, &page)
            .await;
        let page = page.map(|page| ListPlacementsResponse {
            placements: page.resources,
            next_page_token: page.next_page_token,
        });
        answer(&caller, page)
    }

    async fn update_placement(
        &self,
        request: Request<UpdatePlacementRequest>,
    ) -> Result<Response<Placement>, Status> {
        let caller = Caller::of(&request)?;
        let UpdatePlacementRequest {
            placement,
            update_mask,
            allow_missing,
        } = request.into_inner();
        let resource = to_update("placement", placement);
        let table = &self.rules.placements;
        self.update(table, &caller, resource, update_mask, allow_missing)
            .await
    }

    async fn delete_placement(
        &self,
        request: Request<DeletePlacementRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = Caller::of(&request)?;
        let DeletePlacementRequest { placement_id, etag } = request.get_ref();
        self.delete(&self.rules.placements, &caller, placement_id, etag)
            .await
    }

    async fn create_strategy(
        &self,
        request: Request<CreateStrategyRequest>,
    ) -> Result<Response<Strategy>, Status> {
        let caller = Caller::of(&request)?;
        let CreateStrategyRequest {
            strategy_id,
            strategy,
        } = request.into_inner();
        let resource = to_create("strategy", "strategy_id", &strategy_id, strategy, |r| {
            &mut r.strategy_id
        });
        self.create(&self.rules.strategies, &caller, resource).await
    }

    async fn get_strategy(
        &self,
        request: Request<GetStrategyRequest>,
    ) -> Result<Response<Strategy>, Status> {
        let caller = Caller::of(&request)?;
        let id = &request.get_ref().strategy_id;
        self.get(&self.rules.strategies, &caller, id).await
    }

    async fn list_strategies(
        &self,
        request: Request<ListStrategiesRequest>,
    ) -> Result<Response<ListStrategiesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let ListStrategiesRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let page = PageRequest {
            page_size,
            page_token,
        };
        let page = self
            .rules
            .list(&self.rules.strategies, &caller, &page)
            .await;
        let page = page.map(|page| ListStrategiesResponse {
            strategies: page.resources,
            next_page_token: page.next_page_token,
        });
        answer(&caller, page)
    }

    async fn update_strategy(
        &self,
        request: Request<UpdateStrategyRequest>,
    ) -> Result<Response<Strategy>, Status> {
        let caller = Caller::of(&request)?;
        let UpdateStrategyRequest {
            strategy,
            update_mask,
            allow_missing,
        } = request.into_inner();
        let resource = to_update("strategy", strategy);
        let table = &self.rules.strategies;
        self.update(table, &caller, resource, update_mask, allow_missing)
            .await
    }

    async fn delete_strategy(
        &self,
        request: Request<DeleteStrategyRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = Caller::of(&request)?;
        let DeleteStrategyRequest { strategy_id, etag } = request.get_ref();
        self.delete(&self.rules.strategies, &caller, strategy_id, etag)
            .await
    }

    async fn create_rule(
        &self,
        request: Request<CreateRuleRequest>,
    ) -> Result<Response<Rule>, Status> {
        let caller = Caller::of(&request)?;
        let CreateRuleRequest { rule_id, rule, .. } = request.into_inner();
        let resource = to_create("rule", "rule_id", &rule_id, rule, |r| &mut r.rule_id);
        self.create(&self.rules.rules, &caller, resource).await
    }

    async fn get_rule(&self, request: Request<GetRuleRequest>) -> Result<Response<Rule>, Status> {
        let caller = Caller::of(&request)?;
        let id = &request.get_ref().rule_id;
        self.get(&self.rules.rules, &caller, id).await
    }

    async fn list_rules(
        &self,
        request: Request<ListRulesRequest>,
    ) -> Result<Response<ListRulesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let ListRulesRequest {
            page_size,
            page_token,
            ..
        } = request.into_inner();
        let page = PageRequest {
            page_size,
            page_token,
        };
        let page = self.rules.list(&self.rules.rules, &caller, &page).await;
        let page = page.map(|page| ListRulesResponse {
            rules: page.resources,
            next_page_token: page.next_page_token,
        });
        answer(&caller, page)
    }

    async fn update_rule(
        &self,
        request: Request<UpdateRuleRequest>,
    ) -> Result<Response<Rule>, Status> {
        let caller = Caller::of(&request)?;
        let UpdateRuleRequest {
            rule,
            update_mask,
            allow_missing,
            ..
        } = request.into_inner();
        let resource = to_update("rule", rule);
        let table = &self.rules.rules;
        self.update(table, &caller, resource, update_mask, allow_missing)
            .await
    }

    async fn delete_rule(
        &self,
        request: Request<DeleteRuleRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = Caller::of(&request)?;
        let DeleteRuleRequest { rule_id, etag } = request.get_ref();
        self.delete(&self.rules.rules, &caller, rule_id, etag).await
    }

    async fn publish_rules(
        &self,
        _: Request<attune_api::rules::v1::PublishRulesRequest>,
    ) -> Result<Response<attune_api::rules::v1::PublishRulesResponse>, Status> {
        Err(Status::unimplemented("drafts and versions"))
    }

    async fn discard_rule_draft(
        &self,
        _: Request<attune_api::rules::v1::DiscardRuleDraftRequest>,
    ) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("drafts and versions"))
    }

    async fn list_rule_versions(
        &self,
        _: Request<attune_api::rules::v1::ListRuleVersionsRequest>,
    ) -> Result<Response<attune_api::rules::v1::ListRuleVersionsResponse>, Status> {
        Err(Status::unimplemented("drafts and versions"))
    }

    async fn diff_rule(
        &self,
        _: Request<attune_api::rules::v1::DiffRuleRequest>,
    ) -> Result<Response<attune_api::rules::v1::DiffRuleResponse>, Status> {
        Err(Status::unimplemented("drafts and versions"))
    }

    async fn rollback_rule(
        &self,
        _: Request<attune_api::rules::v1::RollbackRuleRequest>,
    ) -> Result<Response<Rule>, Status> {
        Err(Status::unimplemented("drafts and versions"))
    }
}
