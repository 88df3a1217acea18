//! What an edit of rules comes to: the rows it writes, and how a side of a rule is made,
//! checked and answered. Decides nothing about whether the edit may be.

use std::sync::Arc;

use attune_api::{rules::v1::Rule, time};
use attune_storage::{
    Tx,
    resources::{Error, Missing, Resource, Stamp, etag_of, merge},
};
use prost_types::FieldMask;

use crate::store::{
    self,
    rule_versions::StoredVersion,
    rules::{Side, StoredRule, StoredSide},
};

/// A rule that is to be in force.
pub(super) struct Publication {
    pub(super) before: StoredRule,
    pub(super) rule: Rule,
    /// Whether it was the draft, which then is none any more.
    pub(super) was_draft: bool,
}

/// What an edit writes.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) put: Vec<StoredRule>,
    pub(super) deleted: Option<String>,
    pub(super) versions: Vec<StoredVersion>,
}

/// Why an edit was not committed.
pub(super) enum Failed {
    /// The rule base is not the one it was prepared for.
    Moved,
    Storage(attune_storage::Error),
}

impl From<attune_storage::Error> for Failed {
    fn from(error: attune_storage::Error) -> Self {
        Self::Storage(error)
    }
}

impl Stored {
    pub(super) fn is_empty(&self) -> bool {
        self.put.is_empty() && self.deleted.is_none() && self.versions.is_empty()
    }

    /// `newest` is the newest version that there was of a rule that is not in force.
    /// What is in force already gets no new one.
    pub(super) fn publish(&mut self, new: Publication, newest: i64, comment: &str) -> StoredRule {
        let mut after = new.before;
        let published = new_side(new.rule, after.published.as_ref());
        let held = after.published.as_ref().map(|side| &side.etag);
        let is_same = held == Some(&published.etag);
        if new.was_draft {
            after.draft = None;
        }
        if !is_same {
            after.version = after.version.max(newest) + 1;
            self.versions.push(StoredVersion {
                version: after.version,
                publish_ms: published.update_ms,
                comment: comment.to_owned(),
                is_deletion: false,
                rule: published.rule.clone(),
            });
            after.published = Some(published);
        }
        if new.was_draft || !is_same {
            self.put.push(after.clone());
        }
        after
    }

    /// The revision first: whoever edits the same rule base waits here.
    pub(super) async fn write(
        &self,
        tx: &mut Tx,
        workspace: &Arc<str>,
        revision: i64,
    ) -> Result<(), Failed> {
        if store::revisions::raise(tx, workspace).await? != revision + 1 {
            return Err(Failed::Moved);
        }
        if let Some(rule_id) = &self.deleted {
            store::rules::delete(tx, workspace, rule_id).await?;
        }
        store::rules::put(tx, workspace, &self.put).await?;
        Ok(store::rule_versions::append(tx, workspace, &self.versions).await?)
    }
}

/// What an update makes of a rule. A draft begins as what is published.
pub(super) fn updated(
    before: &StoredRule,
    sent: &Rule,
    mask: Option<&FieldMask>,
    missing: Missing,
    side: Side,
) -> Result<Rule, Error> {
    let base = match side {
        Side::Published => before.published.as_ref(),
        Side::Draft => before.draft.as_ref().or(before.published.as_ref()),
    };
    let Some(base) = base else {
        // An etag says that the sender has seen it, so it was deleted since.
        return match missing == Missing::Create && sent.etag.is_empty() {
            true => Ok(sent.clone()),
            false => Err(not_found(&sent.rule_id)),
        };
    };
    check_etag(&sent.rule_id, Some(base), &sent.etag)?;
    merge(&base.rule, sent, mask)
}

pub(super) fn new_side(mut rule: Rule, before: Option<&StoredSide>) -> StoredSide {
    rule.stamp(None);
    let now_ms = time::now_ms();
    StoredSide {
        etag: etag_of(&rule),
        rule,
        create_ms: before.map_or(now_ms, |before| before.create_ms),
        update_ms: before.map_or(now_ms, |before| now_ms.max(before.update_ms)),
    }
}

/// One side of a rule as it is answered.
pub(super) fn stamped(stored: &StoredRule, side: Side) -> Option<Rule> {
    use attune_api::rules::v1::RuleState;
    let (held, version, state) = match side {
        Side::Published => (&stored.published, stored.version, RuleState::RulePublished),
        Side::Draft => (&stored.draft, 0, RuleState::RuleDraft),
    };
    let held = held.as_ref()?;
    let mut rule = held.rule.clone();
    rule.stamp(Some(Stamp {
        etag: held.etag.clone(),
        create_ms: held.create_ms,
        update_ms: held.update_ms,
    }));
    rule.version = version;
    rule.has_draft = stored.draft.is_some();
    rule.set_state(state);
    Some(rule)
}

pub(super) fn check_etag(
    rule_id: &str,
    held: Option<&StoredSide>,
    sent: &str,
) -> Result<(), Error> {
    if sent.is_empty() || held.is_some_and(|held| held.etag == sent) {
        return Ok(());
    }
    Err(Error::EtagMismatch {
        kind: Rule::KIND,
        id: rule_id.to_owned(),
    })
}

pub(super) fn not_found(rule_id: &str) -> Error {
    Error::NotFound {
        kind: Rule::KIND,
        id: rule_id.to_owned(),
    }
}

pub(super) fn exists(rule_id: &str) -> Error {
    Error::Exists {
        kind: Rule::KIND,
        id: rule_id.to_owned(),
    }
}
