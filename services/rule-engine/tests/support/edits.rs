//! What people do to rules, in short.

use attune_api::rules::v1::{
    DeleteRuleRequest, DiffRuleRequest, DiscardRuleDraftRequest, GetRuleRequest,
    ListRuleVersionsRequest, ListRulesRequest, PublishRulesRequest, RollbackRuleRequest, Rule,
    RuleVersion, UpdateRuleRequest,
};
use tonic::Status;

use super::Running;

impl Running {
    pub async fn draft(&self, rule: Rule) -> Result<Rule, Status> {
        let request = UpdateRuleRequest {
            rule: Some(rule),
            allow_missing: true,
            draft: true,
            ..Default::default()
        };
        let mut client = self.rules.clone();
        Ok(client
            .update_rule(self.request(request))
            .await?
            .into_inner())
    }

    pub async fn rule(&self, rule_id: &str, draft: bool) -> Result<Rule, Status> {
        let rule_id = rule_id.into();
        let request = self.request(GetRuleRequest { rule_id, draft });
        Ok(self.rules.clone().get_rule(request).await?.into_inner())
    }

    pub async fn publish_rules(&self, rule_ids: &[&str], tag: &str) -> Result<Vec<Rule>, Status> {
        let request = self.request(PublishRulesRequest {
            rule_ids: rule_ids.iter().map(ToString::to_string).collect(),
            tag: tag.into(),
            comment: "on with it".into(),
        });
        let answer = self.rules.clone().publish_rules(request).await?;
        Ok(answer.into_inner().rules)
    }

    pub async fn versions(&self, rule_id: &str) -> Result<Vec<RuleVersion>, Status> {
        let request = self.request(ListRuleVersionsRequest {
            rule_id: rule_id.into(),
            ..Default::default()
        });
        let answer = self.rules.clone().list_rule_versions(request).await?;
        Ok(answer.into_inner().versions)
    }

    pub async fn diff(&self, rule_id: &str, from: i64, to: i64) -> Result<Vec<String>, Status> {
        let request = self.request(DiffRuleRequest {
            rule_id: rule_id.into(),
            from_version: from,
            to_version: to,
        });
        let answer = self.rules.clone().diff_rule(request).await?.into_inner();
        let told = answer.changes.into_iter();
        let told = told.map(|c| format!("{}: {} -> {}", c.field, c.before, c.after));
        Ok(told.collect())
    }

    pub async fn rollback(&self, rule_id: &str, version: i64, etag: &str) -> Result<Rule, Status> {
        let request = self.request(RollbackRuleRequest {
            rule_id: rule_id.into(),
            version,
            etag: etag.into(),
            comment: "back".into(),
        });
        Ok(self
            .rules
            .clone()
            .rollback_rule(request)
            .await?
            .into_inner())
    }

    pub async fn remove(&self, rule_id: &str) -> Result<(), Status> {
        let request = self.request(DeleteRuleRequest {
            rule_id: rule_id.into(),
            ..Default::default()
        });
        self.rules.clone().delete_rule(request).await.map(drop)
    }

    pub async fn discard(&self, rule_id: &str) -> Result<(), Status> {
        let rule_id = rule_id.into();
        let request = self.request(DiscardRuleDraftRequest { rule_id });
        self.rules
            .clone()
            .discard_rule_draft(request)
            .await
            .map(drop)
    }

    pub async fn list(&self, request: ListRulesRequest) -> Vec<String> {
        let mut ids = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = self.request(ListRulesRequest {
                page_token,
                ..request.clone()
            });
            let page = self.rules.clone().list_rules(request).await.unwrap();
            let page = page.into_inner();
            ids.extend(page.rules.into_iter().map(|rule| rule.rule_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return ids;
            }
        }
    }
}
