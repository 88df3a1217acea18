//! The record of who looked at or changed whose data. An access by an operator, or by
//! customers at their own door, is answered only after its entry is durable; what our
//! services read to serve customers is not recorded. Entries that wait are appended
//! together, in one write.

use std::{borrow::Cow, collections::BTreeMap, fmt::Display, sync::Arc};

use attune_api::{
    profile::v1::{AuditEntry, ListAuditEntriesResponse, VerifyAuditResponse},
    time::{from_ms, now_ms},
};
use attune_rpc::Caller;
use attune_storage::{Batcher, BatcherOptions, Database, Tx};
use futures::FutureExt;

use super::{Service, Shared};
use crate::{
    Error,
    convert::page,
    domain::{
        ProfileId,
        audit::{self, Entry, Link},
    },
    store::{self, audit as stored, erasure, profiles},
};

/// Entries read at once.
const BATCH: i64 = 1_000;
/// Times that a chain is followed anew because its oldest entries went meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// An access to personal data, as a use case knows it.
#[derive(Debug, Clone)]
pub struct Access {
    action: Cow<'static, str>,
    profile_id: String,
    detail: String,
}

impl Access {
    /// To one person's data. `action` is the method: `GetProfile`.
    pub fn of(action: impl Into<Cow<'static, str>>, profile_id: impl ToString) -> Self {
        Self {
            action: action.into(),
            profile_id: profile_id.to_string(),
            detail: String::new(),
        }
    }

    /// To a list of people.
    pub fn of_many(action: &'static str, count: usize) -> Self {
        Self {
            action: action.into(),
            profile_id: String::new(),
            detail: format!("{count} profiles"),
        }
    }

    /// To people in a segment that there is.
    pub fn of_members(action: &'static str, segment_id: &str, count: impl Display) -> Self {
        Self {
            action: action.into(),
            profile_id: String::new(),
            detail: format!("{count} profiles of {segment_id}"),
        }
    }

    /// With what else there is to say; never a personal value.
    pub fn saying(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// As the entry says it.
    fn by(self, actor: &str, request_id: &str) -> audit::Access {
        audit::Access {
            time_ms: now_ms(),
            actor: actor.to_owned(),
            action: self.action.into_owned(),
            profile_id: self.profile_id,
            request_id: request_id.to_owned(),
            detail: self.detail,
        }
    }
}

/// Who is told to have done what was done by nobody who asked.
const SERVICE: &str = "attune";

/// Appends as part of a write, which holds [`store::lock`], and says where it lies:
/// for what must never be done without its entry. Recorded whoever asked.
pub async fn append(tx: &mut Tx, caller: &Caller, access: Access) -> Result<Entry, Error> {
    let actor = caller.actor.as_ref().map_or(SERVICE, |a| a.as_str());
    let access = access.by(actor, caller.request_id.as_str());
    let entries = stored::append(tx, caller.workspace.as_str(), vec![access]).await?;
    // One was given, and one comes back.
    let entry = entries.into_iter().next();
    entry.ok_or_else(|| attune_storage::Error::Panicked.into())
}

/// An entry's hash as the contract shows it.
pub fn hex(hash: &audit::Hash) -> String {
    blake3::Hash::from(*hash).to_hex().to_string()
}

/// An access of a workspace, on its way into the log.
type Waiting = (Arc<str>, audit::Access);

/// Where accesses wait for the next write.
pub struct Log(Batcher<Waiting, Result<(), Error>>);

impl Log {
    pub fn new(database: Database) -> Self {
        let options = BatcherOptions::default();
        Self(Batcher::new(options, move |waiting| {
            write(database.clone(), waiting)
        }))
    }

    pub async fn close(&self) {
        self.0.close().await;
    }
}

async fn write(database: Database, waiting: Vec<Waiting>) -> Vec<Result<(), Error>> {
    let count = waiting.len();
    // In the order of their names, in every process.
    let mut parts: BTreeMap<Arc<str>, Vec<audit::Access>> = BTreeMap::new();
    for (workspace, access) in waiting {
        parts.entry(workspace).or_default().push(access);
    }
    let parts = Arc::new(parts);
    let written = database
        .write(move |tx| {
            let parts = parts.clone();
            async move {
                store::lock(tx, 0).await?;
                for (workspace, accesses) in parts.iter() {
                    stored::append(tx, workspace, accesses.clone()).await?;
                }
                Ok::<_, Error>(())
            }
            .boxed()
        })
        .await;
    vec![written; count]
}

impl Shared {
    /// Records an access on behalf of whoever the caller speaks for; where that is
    /// nobody, there is nothing to record. For a read: after it was done and before it
    /// is answered. For a change: before it is made, so that there is none without its
    /// entry; an entry does not mean that the change was made.
    pub async fn audit(&self, caller: &Caller, access: Access) -> Result<(), Error> {
        let Some(actor) = &caller.actor else {
            return Ok(());
        };
        let access = access.by(actor.as_str(), caller.request_id.as_str());
        let workspace = Arc::from(caller.workspace.as_str());
        self.audit_log.0.submit((workspace, access)).await?
    }
}

/// Part of the log.
#[derive(Debug, Clone)]
pub struct EntriesAsked {
    /// None means anybody's.
    pub profile_id: Option<ProfileId>,
    pub before: Option<i64>,
    pub size: i64,
}

impl Service {
    pub async fn audit_entries(
        &self,
        workspace: &str,
        asked: EntriesAsked,
    ) -> Result<ListAuditEntriesResponse, Error> {
        let (entries, goes_on) = self.entries(workspace, asked).await?;
        let last = entries.last().filter(|_| goes_on);
        Ok(ListAuditEntriesResponse {
            next_page_token: last
                .map(|entry| page::sequence_token(entry.sequence))
                .unwrap_or_default(),
            entries: entries.into_iter().map(shown).collect(),
        })
    }

    /// Part of the log, newest first, and whether there is more of it.
    pub async fn entries(
        &self,
        workspace: &str,
        asked: EntriesAsked,
    ) -> Result<(Vec<Entry>, bool), Error> {
        let database = &self.shared.database;
        let ids = match asked.profile_id {
            Some(id) => {
                let mut ids = profiles::one_person(database, workspace, id).await?;
                // Of somebody who was erased, whichever of their ids is asked for.
                let erased = erasure::erased_with(database, workspace, id).await?;
                ids.extend(
                    erased
                        .into_iter()
                        .filter(|id| !ids.contains(id))
                        .collect::<Vec<_>>(),
                );
                ids
            }
            None => Vec::new(),
        };
        let before = asked.before.unwrap_or(i64::MAX);
        let mut entries = stored::before(database, workspace, &ids, before, asked.size + 1).await?;
        let size = usize::try_from(asked.size).unwrap_or(usize::MAX);
        let goes_on = entries.len() > size;
        entries.truncate(size);
        Ok((entries, goes_on))
    }

    /// Follows the chain from its oldest entry to its newest, a batch at a time.
    pub async fn verify_audit(&self, workspace: &str) -> Result<VerifyAuditResponse, Error> {
        let database = &self.shared.database;
        let mut attempt = 1;
        loop {
            let base = stored::ends(database, workspace).await?.base;
            let followed = follow(database, workspace, base).await?;
            // Entries that went while they were read are missed for no other reason.
            let moved = stored::ends(database, workspace).await?.base != base;
            if followed.broken.is_none() || !moved || attempt == ATTEMPTS_MAX {
                return Ok(VerifyAuditResponse {
                    intact: followed.broken.is_none(),
                    entry_count: followed.count,
                    broken_sequence: followed.broken.unwrap_or(0),
                    first_sequence: base.sequence + 1,
                    head_hash: hex(&followed.last.hash),
                });
            }
            attempt += 1;
        }
    }
}

/// How far a chain holds.
struct Followed {
    last: Link,
    /// Entries that fit.
    count: i64,
    /// Where the first one was expected that does not.
    broken: Option<i64>,
}

async fn follow(database: &Database, workspace: &str, base: Link) -> Result<Followed, Error> {
    let mut followed = Followed {
        last: base,
        count: 0,
        broken: None,
    };
    loop {
        let entries = stored::after(database, workspace, followed.last.sequence, BATCH).await?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            if !followed.last.leads_to(workspace, entry) {
                followed.broken = Some(followed.last.sequence + 1);
                return Ok(followed);
            }
            followed.last = Link::from(entry);
            followed.count += 1;
        }
    }
    // The head is read after the entries: it can only have gone on. Where it is behind
    // them or says otherwise, the end was tampered with.
    let head = stored::ends(database, workspace).await?.head;
    let last = followed.last;
    if head.sequence < last.sequence || (head.sequence == last.sequence && head != last) {
        followed.broken = Some(last.sequence);
    } else if head.sequence > last.sequence {
        let next = stored::after(database, workspace, last.sequence, 1).await?;
        if next
            .first()
            .is_none_or(|entry| !last.leads_to(workspace, entry))
        {
            followed.broken = Some(last.sequence + 1);
        }
    }
    Ok(followed)
}

pub fn shown(entry: Entry) -> AuditEntry {
    let access = entry.access;
    AuditEntry {
        sequence: entry.sequence,
        time: Some(from_ms(access.time_ms)),
        actor: access.actor,
        action: access.action,
        profile_id: access.profile_id,
        request_id: access.request_id,
        detail: access.detail,
        hash: hex(&entry.hash),
    }
}
