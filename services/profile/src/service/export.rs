//! A whole person, to take away: one part after the other, read a page at a time as it
//! is asked for, so that a long life costs no more memory than a short one. Says
//! nothing that the other calls would not show; whoever reads it is on the record
//! before the first part.

use std::{collections::BTreeMap, sync::Arc};

use attune_api::{
    json,
    profile::v1::{
        ExportPart, ListConsentHistoryRequest, ListEventsRequest, ListMergesRequest, Profile,
        SegmentMember,
    },
    time::from_ms,
};
use attune_rpc::Caller;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use prost_types::{Value, value::Kind};

use super::{
    Service,
    audit::{Access, EntriesAsked, shown},
    read,
};
use crate::{
    Error, convert,
    domain::ProfileId,
    store::{history, timeline::Place},
};

/// Rows read at once.
const PAGE: i32 = 200;

/// When the person entered the segments they are in, in milliseconds.
type Memberships = BTreeMap<String, i64>;

/// What is read next.
enum Next {
    Profile(Box<Profile>, Memberships),
    /// By page token.
    Consents(String),
    /// After a value of a trait.
    TraitHistory(Option<(String, Place)>),
    /// By page token.
    Events(String),
    /// By page token.
    Merges(String),
    /// Before an entry.
    Audit(Option<i64>),
    Nothing,
}

/// On the way through a person's data.
struct Walk {
    service: Arc<Service>,
    workspace: String,
    profile_id: ProfileId,
    next: Next,
}

/// A part as it was read, still to be shown.
struct Raw {
    kind: &'static str,
    /// The full name of the message.
    name: &'static str,
    wire: Bytes,
    /// A field that the message does not have.
    also: Option<(&'static str, String)>,
}

impl Service {
    /// Everything about a person, from the profile to who looked at it. Begins only
    /// after the export itself is on the record.
    pub async fn export(
        self: &Arc<Self>,
        caller: &Caller,
        profile_id: ProfileId,
    ) -> Result<impl Stream<Item = Result<ExportPart, Error>> + use<>, Error> {
        let workspace = caller.workspace.as_str();
        let row = self.living_row(workspace, profile_id).await?;
        let memberships = row.record.segments.clone();
        let profile = self.one(workspace, row).await?;
        let access = Access::of("ExportProfile", &profile.profile_id);
        self.shared.audit(caller, access).await?;
        let walk = Walk {
            service: self.clone(),
            workspace: workspace.to_owned(),
            // Of the living, if it was merged.
            profile_id: profile.profile_id.parse().unwrap_or(profile_id),
            next: Next::Profile(Box::new(profile), memberships),
        };
        let pages = stream::try_unfold(walk, async |mut walk| {
            if matches!(walk.next, Next::Nothing) {
                return Ok(None);
            }
            let parts = walk.step().await?;
            Ok::<_, Error>(Some((parts, walk)))
        });
        let parts = pages.map_ok(|parts| stream::iter(parts.into_iter().map(Ok)));
        Ok(parts.try_flatten().boxed())
    }
}

impl Walk {
    /// Reads one page and says what comes after it.
    async fn step(&mut self) -> Result<Vec<ExportPart>, Error> {
        let (parts, next) = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Profile(profile, memberships) => {
                let id = self.profile_id;
                let wishes = self.service.preferences(&self.workspace, id).await?;
                let mut parts = vec![
                    raw("profile", "attune.profile.v1.Profile", &*profile),
                    raw("preferences", "attune.profile.v1.Preferences", &wishes),
                ];
                parts.extend(segments(&profile.profile_id, memberships));
                (parts, Next::Consents(String::new()))
            }
            Next::Consents(token) => self.consents(token).await?,
            Next::TraitHistory(after) => self.trait_history(after).await?,
            Next::Events(token) => self.events(token).await?,
            Next::Merges(token) => self.merges(token).await?,
            Next::Audit(before) => self.audit(before).await?,
            Next::Nothing => return Ok(Vec::new()),
        };
        self.next = next;
        // A page takes milliseconds, which no other call should wait for.
        let shown = tokio::task::spawn_blocking(|| parts.into_iter().map(show).collect());
        shown
            .await
            .map_err(|_| attune_storage::Error::Panicked.into())
    }

    /// Every decision, the newest first.
    async fn consents(&self, page_token: String) -> Result<(Vec<Raw>, Next), Error> {
        let asked = convert::consent_history(&ListConsentHistoryRequest {
            profile_id: self.profile_id.to_string(),
            page_size: PAGE,
            page_token,
        })?;
        let page = self.service.consent_history(&self.workspace, asked).await?;
        let next = match page.next_page_token.as_str() {
            "" => Next::TraitHistory(None),
            token => Next::Consents(token.to_owned()),
        };
        let consents = page.consents.iter();
        let parts = consents.map(|consent| raw("consents", "attune.profile.v1.Consent", consent));
        Ok((parts.collect(), next))
    }

    async fn trait_history(
        &self,
        after: Option<(String, Place)>,
    ) -> Result<(Vec<Raw>, Next), Error> {
        let shared = &self.service.shared;
        let (workspace, id) = (self.workspace.as_str(), self.profile_id);
        let rows = history::of_person(
            &shared.database,
            &shared.codec,
            workspace,
            id,
            after.as_ref(),
            PAGE.into(),
        )
        .await?;
        let next = match rows.last() {
            Some((trait_id, place, _)) if rows.len() >= PAGE as usize => {
                Next::TraitHistory(Some((trait_id.clone(), *place)))
            }
            _ => Next::Events(String::new()),
        };
        let parts = rows.into_iter().map(|(trait_id, _, timed)| Raw {
            also: Some(("traitId", trait_id)),
            ..raw(
                "trait_history",
                "attune.profile.v1.TraitValue",
                &read::trait_value(&timed),
            )
        });
        Ok((parts.collect(), next))
    }

    async fn events(&self, page_token: String) -> Result<(Vec<Raw>, Next), Error> {
        let asked = convert::events::list_events(ListEventsRequest {
            profile_id: self.profile_id.to_string(),
            page_size: PAGE,
            page_token,
            ..ListEventsRequest::default()
        })?;
        let page = self.service.events(&self.workspace, asked).await?;
        let next = match page.next_page_token.as_str() {
            "" => Next::Merges(String::new()),
            token => Next::Events(token.to_owned()),
        };
        let events = page.events.iter();
        let parts = events.map(|event| raw("event", "attune.profile.v1.Event", event));
        Ok((parts.collect(), next))
    }

    async fn merges(&self, page_token: String) -> Result<(Vec<Raw>, Next), Error> {
        let (id, before, size) = convert::merges::list(&ListMergesRequest {
            profile_id: self.profile_id.to_string(),
            page_size: PAGE,
            page_token,
        })?;
        let workspace = self.workspace.as_str();
        let page = self.service.merges(workspace, id, &before, size).await?;
        let next = match page.next_page_token.as_str() {
            "" => Next::Audit(None),
            token => Next::Merges(token.to_owned()),
        };
        let merges = page.merges.iter();
        let parts = merges.map(|merge| raw("merge", "attune.profile.v1.Merge", merge));
        Ok((parts.collect(), next))
    }

    async fn audit(&self, before: Option<i64>) -> Result<(Vec<Raw>, Next), Error> {
        let asked = EntriesAsked {
            profile_id: Some(self.profile_id),
            before,
            size: PAGE.into(),
        };
        let (entries, goes_on) = self.service.entries(&self.workspace, asked).await?;
        let last = entries.last().map(|entry| entry.sequence);
        let parts = entries
            .into_iter()
            .map(|entry| raw("audit", "attune.profile.v1.AuditEntry", &shown(entry)));
        let next = match goes_on {
            true => Next::Audit(last),
            false => Next::Nothing,
        };
        Ok((parts.collect(), next))
    }
}

fn segments(profile_id: &str, memberships: Memberships) -> impl Iterator<Item = Raw> {
    memberships.into_iter().map(move |(segment_id, enter_ms)| {
        let member = SegmentMember {
            profile_id: profile_id.to_owned(),
            enter_time: Some(from_ms(enter_ms)),
        };
        Raw {
            also: Some(("segmentId", segment_id)),
            ..raw("segments", "attune.profile.v1.SegmentMember", &member)
        }
    })
}

fn raw(kind: &'static str, name: &'static str, message: &impl Message) -> Raw {
    Raw {
        kind,
        name,
        wire: message.encode_to_vec().into(),
        also: None,
    }
}

fn show(raw: Raw) -> ExportPart {
    let mut data = json::of_message(raw.name, raw.wire);
    if let (Some(data), Some((name, value))) = (&mut data, raw.also) {
        let kind = Some(Kind::StringValue(value));
        data.fields.insert(name.to_owned(), Value { kind });
    }
    ExportPart {
        kind: raw.kind.to_owned(),
        data,
    }
}
