//! Editing rules: saving, publishing, discarding, deleting, rolling back. An edit is
//! prepared from what is stored and what is in memory, then committed with its versions
//! if nobody else has edited the workspace's rule base meanwhile; else it is prepared
//! anew.

use std::sync::Arc;

use attune_api::{rules::v1::Rule, time};
use attune_errors::{Fault, Violations};
use attune_rpc::Caller;
use attune_storage::{
    Tx,
    resources::{Error, Missing},
};
use prost_types::FieldMask;

use super::{
    Rules,
    check::{Naming, Standing, ToCheck},
    written::{
        Failed, Publication, Stored, check_etag, exists, new_side, not_found, stamped, updated,
    },
};
use crate::{
    convert::resources::Drafts,
    domain::claims::Claim,
    service::{replicas, workspace::State},
    store::{
        self,
        rule_versions::StoredVersion,
        rules::{Side, StoredRule},
    },
};

/// Times that an edit is prepared while others edit the same rule base.
const ATTEMPTS_MAX: usize = 5;
/// Rules published at once.
const PUBLISHED_MAX: usize = 1000;
const COMMENT_CHARS_MAX: usize = 1000;

/// An edit of rules, as it was asked for.
#[derive(Debug, Clone)]
pub enum Wanted {
    Create {
        rule: Rule,
        side: Side,
    },
    Update {
        rule: Rule,
        mask: Option<FieldMask>,
        missing: Missing,
        side: Side,
    },
    Delete {
        rule_id: String,
        etag: String,
    },
    Publish {
        drafts: Drafts,
        comment: String,
    },
    Discard {
        rule_id: String,
    },
    Rollback {
        rule_id: String,
        version: i64,
        etag: String,
        comment: String,
    },
}

/// An edit, ready to be committed.
#[derive(Default)]
struct Prepared {
    stored: Stored,
    /// What memory learns when it is committed.
    in_force: Vec<Claim>,
    out_of_force: Vec<String>,
    /// What the caller is answered.
    answer: Vec<Rule>,
}

impl Rules {
    /// Makes an edit and answers with the rules that it was about, as they are now.
    pub async fn edit(&self, caller: &Caller, wanted: Wanted) -> Result<Vec<Rule>, Error> {
        let state = self.workspaces.get_or_add(caller.workspace.as_str());
        let _turn = state.editing.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let revision = state.parts.lock().revision;
            let prepared = self.prepare(caller, &state, &wanted).await?;
            match self.commit(&state, revision, prepared).await {
                Ok(rules) => return Ok(rules),
                Err(Failed::Moved) => {
                    replicas::reload(&self.database, &state.name, &self.workspaces).await?;
                }
                Err(Failed::Storage(error)) => return Err(error.into()),
            }
        }
        Err(Fault::etag_mismatch("rule_base", &*state.name).into())
    }

    async fn prepare(
        &self,
        caller: &Caller,
        state: &Arc<State>,
        wanted: &Wanted,
    ) -> Result<Prepared, Error> {
        match wanted.clone() {
            Wanted::Create { rule, side } => {
                if self.stored(state, &rule.rule_id).await?.is_some() {
                    return Err(exists(&rule.rule_id));
                }
                let before = StoredRule {
                    rule_id: rule.rule_id.clone(),
                    ..StoredRule::default()
                };
                self.save(caller, state, before, rule, side).await
            }
            Wanted::Update {
                rule,
                mask,
                missing,
                side,
            } => {
                let before = self.stored(state, &rule.rule_id).await?;
                let before = before.unwrap_or_else(|| StoredRule {
                    rule_id: rule.rule_id.clone(),
                    ..StoredRule::default()
                });
                let rule = updated(&before, &rule, mask.as_ref(), missing, side)?;
                self.save(caller, state, before, rule, side).await
            }
            Wanted::Delete { rule_id, etag } => self.delete_rule(state, rule_id, &etag).await,
            Wanted::Publish { drafts, comment } => {
                self.publish(caller, state, &drafts, &comment).await
            }
            Wanted::Discard { rule_id } => self.discard(state, &rule_id).await,
            Wanted::Rollback {
                rule_id,
                version,
                etag,
                comment,
            } => {
                check_comment(&comment)?;
                let (before, rule) = self.earlier(state, &rule_id, version, &etag).await?;
                let publication = Publication {
                    before,
                    rule,
                    was_draft: false,
                };
                self.put_in_force(caller, state, vec![publication], &comment, Naming::One)
                    .await
            }
        }
    }

    async fn save(
        &self,
        caller: &Caller,
        state: &Arc<State>,
        before: StoredRule,
        rule: Rule,
        side: Side,
    ) -> Result<Prepared, Error> {
        if side == Side::Published {
            let publication = Publication {
                before,
                rule,
                was_draft: false,
            };
            return self
                .put_in_force(caller, state, vec![publication], "", Naming::One)
                .await;
        }
        let to_check = ToCheck {
            rules: vec![rule.clone()],
            standing: Standing::Draft,
            naming: Naming::One,
            leaving: Vec::new(),
        };
        self.checked(caller, state, to_check).await?;
        let draft = new_side(rule, before.draft.as_ref());
        let after = StoredRule {
            draft: Some(draft),
            ..before
        };
        Ok(Prepared {
            answer: stamped(&after, Side::Draft).into_iter().collect(),
            stored: Stored {
                put: vec![after],
                ..Stored::default()
            },
            ..Prepared::default()
        })
    }

    /// Makes these rules what is in force, all of them or none. One that is so already
    /// gets no version.
    async fn put_in_force(
        &self,
        caller: &Caller,
        state: &Arc<State>,
        rules: Vec<Publication>,
        comment: &str,
        naming: Naming,
    ) -> Result<Prepared, Error> {
        let to_check = ToCheck {
            rules: rules.iter().map(|new| new.rule.clone()).collect(),
            standing: Standing::Published,
            naming,
            leaving: Vec::new(),
        };
        let in_force = self.checked(caller, state, to_check).await?;
        let new = rules.iter().filter(|new| new.before.version == 0);
        let new: Vec<String> = new.map(|new| new.before.rule_id.clone()).collect();
        let newest = match new.is_empty() {
            true => Default::default(),
            false => store::rule_versions::newest(&self.database, &state.name, new).await?,
        };
        let mut prepared = Prepared {
            in_force,
            ..Prepared::default()
        };
        for new in rules {
            let disabled = new.rule.disabled.then(|| new.rule.rule_id.clone());
            prepared.out_of_force.extend(disabled);
            let newest = newest.get(&new.before.rule_id).copied().unwrap_or(0);
            let after = prepared.stored.publish(new, newest, comment);
            prepared.answer.extend(stamped(&after, Side::Published));
        }
        Ok(prepared)
    }

    async fn publish(
        &self,
        caller: &Caller,
        state: &Arc<State>,
        drafts: &Drafts,
        comment: &str,
    ) -> Result<Prepared, Error> {
        check_comment(comment)?;
        let stored = match drafts {
            Drafts::Ids(ids) => self.drafts_by_id(state, ids).await?,
            Drafts::Tagged(tag) => self.drafts_by_tag(state, tag).await?,
        };
        let rules = stored.into_iter().filter_map(|before| {
            Some(Publication {
                rule: before.draft.as_ref()?.rule.clone(),
                before,
                was_draft: true,
            })
        });
        self.put_in_force(caller, state, rules.collect(), comment, Naming::Many)
            .await
    }

    async fn drafts_by_id(&self, state: &State, ids: &[String]) -> Result<Vec<StoredRule>, Error> {
        let mut found = Violations::new();
        if ids.len() > PUBLISHED_MAX {
            found.push("rule_ids", format!("must be at most {PUBLISHED_MAX}"));
            return Err(found.into());
        }
        let stored = store::rules::get(&self.database, &state.name, ids.to_vec()).await?;
        let has_draft = |id: &String| {
            let mut stored = stored.iter();
            stored.any(|rule| rule.rule_id == *id && rule.draft.is_some())
        };
        for (index, id) in ids.iter().enumerate() {
            if ids[..index].contains(id) {
                found.push(format!("rule_ids[{index}]"), "must not be listed twice");
            } else if !has_draft(id) {
                found.push(format!("rule_ids[{index}]"), "must be a rule with a draft");
            }
        }
        found.into_result()?;
        Ok(stored)
    }

    async fn drafts_by_tag(&self, state: &State, tag: &str) -> Result<Vec<StoredRule>, Error> {
        const PAGE: i64 = 1000;
        let mut tagged = Vec::new();
        let mut after = String::new();
        loop {
            let (database, name) = (&self.database, &state.name);
            let page = store::rules::page(database, name, Side::Draft, &after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(tagged);
            };
            after.clone_from(&last.rule_id);
            tagged.extend(page.into_iter().filter(|stored| {
                let mut drafts = stored.draft.iter();
                drafts.any(|draft| draft.rule.tags.iter().any(|held| held == tag))
            }));
            if tagged.len() > PUBLISHED_MAX {
                let rule = format!("must select at most {PUBLISHED_MAX} drafts");
                return Err(Violations::of("tag", rule).into());
            }
        }
    }

    async fn discard(&self, state: &State, rule_id: &str) -> Result<Prepared, Error> {
        let stored = self.stored(state, rule_id).await?;
        let Some(mut stored) = stored.filter(|stored| stored.draft.is_some()) else {
            return Err(not_found(rule_id));
        };
        stored.draft = None;
        let mut edit = Stored::default();
        match stored.published {
            Some(_) => edit.put.push(stored),
            None => edit.deleted = Some(stored.rule_id),
        }
        Ok(Prepared {
            stored: edit,
            ..Prepared::default()
        })
    }

    async fn delete_rule(
        &self,
        state: &State,
        rule_id: String,
        etag: &str,
    ) -> Result<Prepared, Error> {
        let Some(stored) = self.stored(state, &rule_id).await? else {
            return Err(not_found(&rule_id));
        };
        let side = stored.published.as_ref().or(stored.draft.as_ref());
        check_etag(&rule_id, side, etag)?;
        let versions = stored.published.map(|published| StoredVersion {
            version: stored.version + 1,
            publish_ms: time::now_ms(),
            comment: String::new(),
            is_deletion: true,
            rule: published.rule,
        });
        Ok(Prepared {
            stored: Stored {
                deleted: Some(rule_id.clone()),
                versions: versions.into_iter().collect(),
                ..Stored::default()
            },
            out_of_force: vec![rule_id],
            ..Prepared::default()
        })
    }

    /// The rule as it is and as it was in an earlier version.
    async fn earlier(
        &self,
        state: &State,
        rule_id: &str,
        version: i64,
        etag: &str,
    ) -> Result<(StoredRule, Rule), Error> {
        let stored = self.stored(state, rule_id).await?;
        let before = stored.unwrap_or_else(|| StoredRule {
            rule_id: rule_id.to_owned(),
            ..StoredRule::default()
        });
        check_etag(rule_id, before.published.as_ref(), etag)?;
        let earlier = self
            .version(&state.name, rule_id, version, "version")
            .await?;
        if earlier.is_deletion {
            let rule = "must not be the version that deleted the rule";
            return Err(Violations::of("version", rule).into());
        }
        Ok((before, earlier.rule))
    }

    pub(super) async fn stored(
        &self,
        state: &State,
        rule_id: &str,
    ) -> Result<Option<StoredRule>, Error> {
        let ids = vec![rule_id.to_owned()];
        let mut stored = store::rules::get(&self.database, &state.name, ids).await?;
        Ok(stored.pop())
    }

    async fn commit(
        &self,
        state: &Arc<State>,
        revision: i64,
        prepared: Prepared,
    ) -> Result<Vec<Rule>, Failed> {
        let Prepared {
            stored,
            in_force,
            out_of_force,
            answer,
        } = prepared;
        if stored.is_empty() {
            return Ok(answer);
        }
        let stored = Arc::new(stored);
        let (workspace, then) = (Arc::clone(&state.name), Arc::clone(state));
        let write = self.database.write_then(
            move |tx: &mut Tx| {
                let (workspace, stored) = (Arc::clone(&workspace), Arc::clone(&stored));
                Box::pin(async move { stored.write(tx, &workspace, revision).await })
            },
            move |(): &()| {
                let mut parts = then.parts.lock();
                out_of_force.iter().for_each(|id| parts.remove_rule(id));
                in_force.into_iter().for_each(|claim| parts.put_rule(claim));
                parts.raised = revision + 1;
                parts.edited();
                drop(parts);
                then.assemble();
            },
        );
        write.await.map(|()| answer)
    }
}

fn check_comment(comment: &str) -> Result<(), Violations> {
    if comment.chars().count() > COMMENT_CHARS_MAX {
        let rule = format!("must be at most {COMMENT_CHARS_MAX} characters");
        return Err(Violations::of("comment", rule));
    }
    Ok(())
}
