//! `RuleService`, one hop from its use cases. The kinds of resource share their standard
//! methods; only the names of fields differ.

use std::sync::Arc;

use attune_api::rules::v1::{
    CreatePlacementRequest, CreateRuleRequest, CreateStrategyRequest, DeletePlacementRequest,
    DeleteRuleRequest, DeleteStrategyRequest, DiffRuleRequest, DiffRuleResponse,
    DiscardRuleDraftRequest, GetPlacementRequest, GetRuleRequest, GetStrategyRequest,
    ListPlacementsRequest, ListPlacementsResponse, ListRuleVersionsRequest,
    ListRuleVersionsResponse, ListRulesRequest, ListRulesResponse, ListStrategiesRequest,
    ListStrategiesResponse, Placement, PublishRulesRequest, PublishRulesResponse,
    RollbackRuleRequest, Rule, Strategy, UpdatePlacementRequest, UpdateRuleRequest,
    UpdateStrategyRequest, rule_service_server::RuleService,
};
use attune_errors::Violations;
use attune_rpc::Caller;
use attune_storage::resources::{self, Missing, Page, PageRequest, Resource, Table};
use prost_types::FieldMask;
use tonic::{Request, Response, Status};

use crate::{
    convert::resources::{create_id, drafts},
    error::Error,
    service::rules::{Part, RuleFilter, Rules, Wanted},
    store::rules::Side,
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

    async fn list<P: Part, R>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        (page_size, page_token): (i32, String),
        response: impl FnOnce(Page<P>) -> R,
    ) -> Result<Response<R>, Status> {
        let request = PageRequest {
            page_size,
            page_token,
        };
        let page = self.rules.list(table, caller, &request).await;
        answer(caller, page.map(response))
    }

    async fn delete<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        id: &str,
        etag: &str,
    ) -> Result<Response<()>, Status> {
        let deleted = self.rules.delete(table, caller, id, etag).await;
        answer(caller, deleted.map(drop))
    }

    /// An edit of rules, and what it answers of them.
    async fn edit<R>(
        &self,
        caller: &Caller,
        wanted: Result<Wanted, Violations>,
        response: impl FnOnce(Vec<Rule>) -> R,
    ) -> Result<Response<R>, Status> {
        let edited = match wanted {
            Ok(wanted) => self.rules.edit(caller, wanted).await,
            Err(violations) => Err(violations.into()),
        };
        answer(caller, edited.map(response))
    }
}

fn answer<T>(caller: &Caller, result: Result<T, resources::Error>) -> Result<Response<T>, Status> {
    result
        .map(Response::new)
        .map_err(|error| Error::from(error).into_status(caller))
}

/// The resource to create, with its id from wherever it was sent.
fn to_create<P: Resource>(
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

fn to_update<P: Resource>(field: &'static str, body: Option<P>) -> Result<P, Violations> {
    body.ok_or_else(|| Violations::of(field, "must be set"))
}

fn side(is_draft: bool) -> Side {
    if is_draft {
        Side::Draft
    } else {
        Side::Published
    }
}

/// The one rule that an edit was about.
fn only(rules: Vec<Rule>) -> Rule {
    rules.into_iter().next().unwrap_or_default()
}

#[tonic::async_trait]
impl RuleService for RuleBase {
    async fn create_placement(
        &self,
        request: Request<CreatePlacementRequest>,
    ) -> Result<Response<Placement>, Status> {
        let caller = Caller::of(&request)?;
        let sent = request.into_inner();
        let (id, body) = (&sent.placement_id, sent.placement);
        let resource = to_create("placement", "placement_id", id, body, |r| {
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
        let sent = request.into_inner();
        let page = (sent.page_size, sent.page_token);
        self.list(&self.rules.placements, &caller, page, |page| {
            ListPlacementsResponse {
                placements: page.resources,
                next_page_token: page.next_page_token,
            }
        })
        .await
    }

    async fn update_placement(
        &self,
        request: Request<UpdatePlacementRequest>,
    ) -> Result<Response<Placement>, Status> {
        let caller = Caller::of(&request)?;
        let sent = request.into_inner();
        let (body, mask) = (to_update("placement", sent.placement), sent.update_mask);
        let table = &self.rules.placements;
        self.update(table, &caller, body, mask, sent.allow_missing)
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
        let sent = request.into_inner();
        let (id, body) = (&sent.strategy_id, sent.strategy);
        let resource = to_create("strategy", "strategy_id", id, body, |r| &mut r.strategy_id);
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
        let sent = request.into_inner();
        let page = (sent.page_size, sent.page_token);
        self.list(&self.rules.strategies, &caller, page, |page| {
            ListStrategiesResponse {
                strategies: page.resources,
                next_page_token: page.next_page_token,
            }
        })
        .await
    }

    async fn update_strategy(
        &self,
        request: Request<UpdateStrategyRequest>,
    ) -> Result<Response<Strategy>, Status> {
        let caller = Caller::of(&request)?;
        let sent = request.into_inner();
        let (body, mask) = (to_update("strategy", sent.strategy), sent.update_mask);
        let table = &self.rules.strategies;
        self.update(table, &caller, body, mask, sent.allow_missing)
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
        let sent = request.into_inner();
        let (id, side) = (&sent.rule_id, side(sent.draft));
        let rule = to_create("rule", "rule_id", id, sent.rule, |r| &mut r.rule_id);
        let wanted = rule.map(|rule| Wanted::Create { rule, side });
        self.edit(&caller, wanted, only).await
    }

    async fn get_rule(&self, request: Request<GetRuleRequest>) -> Result<Response<Rule>, Status> {
        let caller = Caller::of(&request)?;
        let GetRuleRequest { rule_id, draft } = request.get_ref();
        let rule = self.rules.get_rule(&caller, rule_id, side(*draft)).await;
        answer(&caller, rule)
    }

    async fn list_rules(
        &self,
        request: Request<ListRulesRequest>,
    ) -> Result<Response<ListRulesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let sent = request.into_inner();
        let filter = RuleFilter {
            side: side(sent.drafts),
            tag: sent.tag,
            placement: sent.placement,
        };
        let page = PageRequest {
            page_size: sent.page_size,
            page_token: sent.page_token,
        };
        let page = self.rules.list_rules(&caller, &page, &filter).await;
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
        let sent = request.into_inner();
        let wanted = to_update("rule", sent.rule).map(|rule| Wanted::Update {
            rule,
            mask: sent.update_mask,
            missing: Missing::allowed(sent.allow_missing),
            side: side(sent.draft),
        });
        self.edit(&caller, wanted, only).await
    }

    async fn delete_rule(
        &self,
        request: Request<DeleteRuleRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = Caller::of(&request)?;
        let DeleteRuleRequest { rule_id, etag } = request.into_inner();
        let wanted = Wanted::Delete { rule_id, etag };
        self.edit(&caller, Ok(wanted), drop).await
    }

    async fn publish_rules(
        &self,
        request: Request<PublishRulesRequest>,
    ) -> Result<Response<PublishRulesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let sent = request.into_inner();
        let wanted = drafts(sent.rule_ids, sent.tag).map(|drafts| Wanted::Publish {
            drafts,
            comment: sent.comment,
        });
        let response = |rules| PublishRulesResponse { rules };
        self.edit(&caller, wanted, response).await
    }

    async fn discard_rule_draft(
        &self,
        request: Request<DiscardRuleDraftRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = Caller::of(&request)?;
        let DiscardRuleDraftRequest { rule_id } = request.into_inner();
        let wanted = Wanted::Discard { rule_id };
        self.edit(&caller, Ok(wanted), drop).await
    }

    async fn list_rule_versions(
        &self,
        request: Request<ListRuleVersionsRequest>,
    ) -> Result<Response<ListRuleVersionsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let sent = request.into_inner();
        let page = PageRequest {
            page_size: sent.page_size,
            page_token: sent.page_token,
        };
        let page = self
            .rules
            .list_versions(&caller, &sent.rule_id, &page)
            .await;
        let page = page.map(|(versions, next_page_token)| ListRuleVersionsResponse {
            versions,
            next_page_token,
        });
        answer(&caller, page)
    }

    async fn diff_rule(
        &self,
        request: Request<DiffRuleRequest>,
    ) -> Result<Response<DiffRuleResponse>, Status> {
        let caller = Caller::of(&request)?;
        let sent = request.get_ref();
        let (from, to) = (sent.from_version, sent.to_version);
        let changes = self.rules.diff_rule(&caller, &sent.rule_id, from, to).await;
        answer(&caller, changes.map(|changes| DiffRuleResponse { changes }))
    }

    async fn rollback_rule(
        &self,
        request: Request<RollbackRuleRequest>,
    ) -> Result<Response<Rule>, Status> {
        let caller = Caller::of(&request)?;
        let sent = request.into_inner();
        let wanted = Wanted::Rollback {
            rule_id: sent.rule_id,
            version: sent.version,
            etag: sent.etag,
            comment: sent.comment,
        };
        self.edit(&caller, Ok(wanted), only).await
    }
}
