//! Reading rules: what is in force, drafts, versions, and what differs between them.

use attune_api::{
    diff,
    rules::v1::{FieldChange, Rule, RuleVersion},
    time,
};
use attune_errors::{Fault, Violations};
use attune_rpc::Caller;
use attune_storage::resources::{Error, Page, PageRequest, Resource};

use super::{
    Rules,
    written::{not_found, stamped},
};
use crate::store::{
    self,
    rule_versions::StoredVersion,
    rules::{Side, StoredRule},
};

/// Rules looked at for one page; a page may be short, or empty, and not be the last.
const LOOKED_AT_MAX: usize = 10_000;
const BLOCK: i64 = 1000;

/// Which rules a list is of.
#[derive(Debug, Clone)]
pub struct RuleFilter {
    pub side: Side,
    /// Empty means any.
    pub tag: String,
    /// Empty means any.
    pub placement: String,
}

impl RuleFilter {
    fn takes(&self, rule: &Rule) -> bool {
        let is_in = |list: &[String], wanted: &String| list.iter().any(|held| held == wanted);
        (self.tag.is_empty() || is_in(&rule.tags, &self.tag))
            && (self.placement.is_empty()
                || rule.placements.is_empty()
                || is_in(&rule.placements, &self.placement))
    }

    /// What a page token is bound to.
    fn name(&self) -> String {
        format!("rule {:?} {:?} {:?}", self.side, self.tag, self.placement)
    }
}

impl Rules {
    pub async fn get_rule(
        &self,
        caller: &Caller,
        rule_id: &str,
        side: Side,
    ) -> Result<Rule, Error> {
        let stored = self.find(caller, rule_id).await?;
        let stored = stored.ok_or_else(|| not_found(rule_id))?;
        let draft = match side {
            Side::Draft => stamped(&stored, Side::Draft),
            Side::Published => None,
        };
        let rule = draft.or_else(|| stamped(&stored, Side::Published));
        rule.ok_or_else(|| not_found(rule_id))
    }

    pub async fn list_rules(
        &self,
        caller: &Caller,
        request: &PageRequest,
        filter: &RuleFilter,
    ) -> Result<Page<Rule>, Error> {
        let name = filter.name();
        let (size, mut after) = request.resolve(&name)?;
        let workspace = caller.workspace.as_str();
        let wanted = usize::try_from(size).unwrap_or(0) + 1;
        let (mut read, mut looked_at) = (Vec::new(), 0);
        while read.len() < wanted {
            let block = if filter.tag.is_empty() && filter.placement.is_empty() {
                i64::from(size) + 1
            } else {
                BLOCK
            };
            let page = store::rules::page(&self.database, workspace, filter.side, &after, block);
            let page = page.await?;
            let Some(last) = page.last() else {
                break;
            };
            after.clone_from(&last.rule_id);
            looked_at += page.len();
            let rules = page.iter().filter_map(|held| stamped(held, filter.side));
            read.extend(rules.filter(|rule| filter.takes(rule)));
            if looked_at >= LOOKED_AT_MAX && read.len() < wanted {
                return Ok(Page::short(&name, read, &after));
            }
        }
        Ok(Page::cut(&name, size, read, |rule| &rule.rule_id))
    }

    /// The newest first. NOT_FOUND for a rule of which there is nothing at all.
    pub async fn list_versions(
        &self,
        caller: &Caller,
        rule_id: &str,
        request: &PageRequest,
    ) -> Result<(Vec<RuleVersion>, String), Error> {
        let list = format!("rule_version {rule_id}");
        let (size, before) = request.resolve(&list)?;
        let before = before.parse().unwrap_or(i64::MAX);
        let workspace = caller.workspace.as_str();
        let limit = i64::from(size) + 1;
        let read =
            store::rule_versions::page(&self.database, workspace, rule_id, before, limit).await?;
        if read.is_empty() && self.find(caller, rule_id).await?.is_none() {
            return Err(not_found(rule_id));
        }
        let keyed = read.into_iter().map(|version| {
            let key = version.version.to_string();
            (key, told(version))
        });
        let page = Page::cut(&list, size, keyed.collect(), |(key, _)| key);
        let versions = page.resources.into_iter().map(|(_, version)| version);
        Ok((versions.collect(), page.next_page_token))
    }

    /// What differs from one version to another; 0 means what is published, and the
    /// draft. Where nothing is in force, nothing is there.
    pub async fn diff_rule(
        &self,
        caller: &Caller,
        rule_id: &str,
        from_version: i64,
        to_version: i64,
    ) -> Result<Vec<FieldChange>, Error> {
        let workspace = caller.workspace.as_str();
        let stored = self.find(caller, rule_id).await?;
        let is_known = stored.is_some();
        let stored = stored.unwrap_or_default();
        let from = match from_version {
            0 => stored.published.map(|side| side.rule),
            version => {
                let field = "from_version";
                state_of(self.version(workspace, rule_id, version, field).await?)
            }
        };
        let to = match to_version {
            0 => match stored.draft {
                Some(draft) => Some(draft.rule),
                None if is_known => {
                    return Err(Fault::wrong_state("rule", "without a draft").into());
                }
                None => return Err(not_found(rule_id)),
            },
            version => state_of(
                self.version(workspace, rule_id, version, "to_version")
                    .await?,
            ),
        };
        let absent = || Rule {
            rule_id: rule_id.to_owned(),
            ..Rule::default()
        };
        let (from, to) = (from.unwrap_or_else(absent), to.unwrap_or_else(absent));
        let changes = diff::changes(Rule::FULL_NAME, &from, &to).into_iter();
        let told = changes.map(|change| FieldChange {
            field: change.field,
            before: change.before,
            after: change.after,
        });
        Ok(told.collect())
    }

    /// A version that the caller names in `field`.
    pub(super) async fn version(
        &self,
        workspace: &str,
        rule_id: &str,
        version: i64,
        field: &str,
    ) -> Result<StoredVersion, Error> {
        let (database, none) = (&self.database, || {
            Violations::of(field, "must be a version of this rule")
        });
        if version < 1 {
            return Err(none().into());
        }
        let found = store::rule_versions::get(database, workspace, rule_id, version).await?;
        Ok(found.ok_or_else(none)?)
    }

    async fn find(&self, caller: &Caller, rule_id: &str) -> Result<Option<StoredRule>, Error> {
        let ids = vec![rule_id.to_owned()];
        let workspace = caller.workspace.as_str();
        let mut stored = store::rules::get(&self.database, workspace, ids).await?;
        Ok(stored.pop())
    }
}

/// What was in force with a version.
fn state_of(version: StoredVersion) -> Option<Rule> {
    (!version.is_deletion).then_some(version.rule)
}

fn told(stored: StoredVersion) -> RuleVersion {
    let mut rule = stored.rule;
    rule.version = stored.version;
    RuleVersion {
        version: stored.version,
        publish_time: Some(time::from_ms(stored.publish_ms)),
        rule: Some(rule),
        comment: stored.comment,
        deleted: stored.is_deletion,
    }
}
