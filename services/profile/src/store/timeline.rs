//! SQL for events and for the ids by which messages are known again.

use std::sync::Arc;

use attune_api::profile::v1::{Event, RecentEvent};
use attune_storage::{Database, Error, Insert, Kind, Row, Sql, Tx, Value, args};
use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::{
    codec::{self, Codec, Field, Seals},
    profiles::{self, texts},
};
use crate::domain::{
    Occurrence, ProfileId,
    event::Sealed,
    merge::{Merged, Parted},
    outcome::TimelineRow,
    snapshot::EncodedEvent,
};

/// Messages seen before, and whose they are now: those sought among the events, and among
/// the others.
pub async fn seen(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    events: impl Iterator<Item = Arc<str>>,
    others: impl Iterator<Item = Arc<str>>,
) -> Result<FxHashMap<Arc<str>, ProfileId>, Error> {
    const EVENTS: &str = "select event_id, profile_id from events \
         where workspace = $1 and event_id in list($2)";
    // Not joined with who that is now: for the few that are there, all profiles would be
    // read.
    const OTHERS: &str = "select message_id, profile_id from messages \
         where workspace = $1 and message_id in list($2)";
    let keyed = |id: Arc<str>| (seals.message_key(&id), id);
    let (events, others) = (events.map(keyed).collect(), others.map(keyed).collect());
    let mut seen = found(tx, EVENTS, workspace, events).await?;
    let mut others = found(tx, OTHERS, workspace, others).await?;
    let origins: Vec<_> = others.values().copied().collect();
    for profile in profiles::standings(tx, workspace, &origins).await? {
        if let Some(survivor) = profile.merged_into {
            let of_merged = others.values_mut().filter(|id| **id == profile.profile_id);
            of_merged.for_each(|id| *id = survivor);
        }
    }
    seen.extend(others);
    Ok(seen)
}

/// Rows of a message's key and a profile's id, by message.
async fn found(
    tx: &mut Tx,
    sql: &'static str,
    workspace: &Arc<str>,
    by_key: FxHashMap<String, Arc<str>>,
) -> Result<FxHashMap<Arc<str>, ProfileId>, Error> {
    if by_key.is_empty() {
        return Ok(FxHashMap::default());
    }
    let keys: Vec<_> = by_key.keys().cloned().collect();
    let rows = tx.fetch_all(sql, args![workspace, keys]).await?;
    let found = rows.iter().map(|row| {
        let id = by_key.get(&row.get::<String>(0)?);
        Ok(id.cloned().zip(Some(codec::profile_id(row, 1)?)))
    });
    found.filter_map(Result::transpose).collect()
}

/// Adds events, numbered in their order from `sequence` on.
pub async fn append(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    rows: &[TimelineRow],
    sequence: i64,
) -> Result<(), Error> {
    const APPEND: Insert = Insert {
        table: "events",
        columns: &[
            ("workspace", Kind::Text),
            ("profile_id", Kind::Text),
            ("origin_id", Kind::Text),
            ("time_ms", Kind::Int),
            ("sequence", Kind::Int),
            ("event_id", Kind::Text),
            ("type", Kind::Text),
            ("receive_ms", Kind::Int),
            ("event", Kind::Bytes),
            ("recent", Kind::Bytes),
        ],
        tail: "",
    };
    let rows = rows
        .iter()
        .zip(sequence..)
        .map(|(row, sequence)| {
            let (origin_id, event) = (row.owner.origin_id, &row.event);
            let sealed = match event.sealed.get() {
                Some(sealed) if sealed.origin_id == origin_id => sealed.clone(),
                _ => seal(seals, origin_id, event)?,
            };
            Ok(args![
                workspace,
                row.owner.profile_id.to_string(),
                row.owner.origin_column(),
                event.time_ms,
                sequence,
                seals.message_key(&event.event_id),
                &event.kind,
                event.receive_ms,
                sealed.event,
                sealed.recent,
            ])
        })
        .collect::<Result<_, Error>>()?;
    tx.insert_many(&APPEND, rows).await.map(drop)
}

/// Seals an event for the profile it came by.
pub fn seal(seals: &Seals, origin_id: ProfileId, event: &Occurrence) -> Result<Sealed, Error> {
    Ok(Sealed {
        origin_id,
        event: seals.seal(origin_id, Field::Event, &event.encoded)?,
        recent: seals.seal(origin_id, Field::Recent, &event.recent.bytes)?,
    })
}

/// Remembers the ids of messages that are no events.
pub async fn remember(
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    messages: &[(Arc<str>, ProfileId)],
    now_ms: i64,
) -> Result<(), Error> {
    const REMEMBER: Insert = Insert {
        table: "messages",
        columns: &[
            ("workspace", Kind::Text),
            ("message_id", Kind::Text),
            ("profile_id", Kind::Text),
            ("receive_ms", Kind::Int),
        ],
        tail: "",
    };
    let rows = messages
        .iter()
        .map(|(id, profile_id)| {
            let key = seals.message_key(id);
            args![workspace, key, profile_id.to_string(), now_ms]
        })
        .collect();
    tx.insert_many(&REMEMBER, rows).await.map(drop)
}

/// Hands over all events of a merged profile.
pub async fn hand_over(tx: &mut Tx, workspace: &Arc<str>, merged: &Merged) -> Result<(), Error> {
    const HAND_OVER: &str = "update events \
         set profile_id = $3, origin_id = coalesce(origin_id, $2) \
         where workspace = $1 and profile_id = $2";
    let (from, to) = (merged.merged.to_string(), merged.survivor.to_string());
    tx.execute(HAND_OVER, args![workspace, from, to])
        .await
        .map(drop)
}

/// Hands back the events that came by a profile that is a person of its own again, and by
/// those joined to it.
pub async fn hand_back(tx: &mut Tx, workspace: &Arc<str>, parted: &Parted) -> Result<(), Error> {
    const HAND_BACK: &str = "update events \
         set profile_id = $3, origin_id = nullif(origin_id, $3) \
         where workspace = $1 and profile_id = $2 and origin_id in list($4)";
    let (from, to) = (parted.survivor.to_string(), parted.unmerged.to_string());
    let args = args![workspace, from, to, texts(&parted.parts)];
    tx.execute(HAND_BACK, args).await.map(drop)
}

/// The newest events as snapshots hold them, newest first.
pub async fn recent(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    profile_id: ProfileId,
    limit: usize,
) -> Result<Vec<EncodedEvent>, Error> {
    const RECENT: &str = "select coalesce(origin_id, profile_id), time_ms, recent from events \
         where workspace = $1 and profile_id = $2 \
         order by time_ms desc, sequence desc limit $3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let args = args![workspace, profile_id.to_string(), limit];
    let rows = database.fetch_all(RECENT, args).await?;
    let (owned, seals) = codec::owned(database, codec, workspace, &rows).await?;
    owned
        .into_iter()
        .map(|(owner, row)| {
            Ok(EncodedEvent {
                time_ms: row.get(1)?,
                bytes: seals.open(owner, Field::Recent, &row.get::<Bytes>(2)?)?,
            })
        })
        .collect()
}

/// Events of some people, of some types, since a time.
#[derive(Debug, Clone)]
pub struct Past {
    pub profile_ids: Vec<ProfileId>,
    pub types: Vec<String>,
    pub since_ms: i64,
}

impl Default for Past {
    fn default() -> Self {
        Self {
            profile_ids: Vec::new(),
            types: Vec::new(),
            since_ms: i64::MAX,
        }
    }
}

/// Events of a [`Past`] that are read at once.
const PAST_PAGE: usize = 10_000;

/// From where the past is read.
pub enum Reading<'r> {
    /// With whatever this write has added to it.
    Within {
        tx: &'r mut Tx,
        seals: &'r mut Seals,
    },
    /// As it was committed last.
    Committed {
        database: &'r Database,
        codec: &'r Codec,
    },
}

impl Reading<'_> {
    /// Rows that begin with an owner and what is sealed with its key, and what that is;
    /// None of those who were erased since the rows were read.
    async fn events(
        &mut self,
        workspace: &str,
        sql: &'static str,
        args: Vec<Value>,
    ) -> Result<Vec<(Row, Option<RecentEvent>)>, Error> {
        let opened;
        let (rows, seals) = match self {
            Self::Within { tx, seals } => {
                let rows = tx.fetch_all(sql, args).await?;
                let owners = rows.iter().map(|row| codec::profile_id(row, 0));
                let owners: Vec<_> = owners.collect::<Result<_, _>>()?;
                seals.add(tx, owners).await?;
                (rows, &**seals)
            }
            Self::Committed { database, codec } => {
                let rows = database.fetch_all(sql, args).await?;
                let owners = rows.iter().map(|row| codec::profile_id(row, 0));
                let owners: Vec<_> = owners.collect::<Result<_, _>>()?;
                opened = codec.read(database, workspace, owners).await?;
                (rows, &opened)
            }
        };
        rows.into_iter()
            .map(|row| {
                let owner = codec::profile_id(&row, 0)?;
                let event = match seals.has(owner) {
                    true => Some(seals.recent(owner, &row.get::<Bytes>(1)?)?),
                    false => None,
                };
                Ok((row, event))
            })
            .collect()
    }
}

/// Shows a part of the past, each person's oldest first and of one time as they were
/// written. Holds a page of it at a time.
pub async fn past(
    mut reading: Reading<'_>,
    workspace: &str,
    past: &Past,
    mut show: impl FnMut(ProfileId, RecentEvent),
) -> Result<(), Error> {
    // Without a place to go on from: SQLite would look there instead of for the people.
    const PAST: &str = "select coalesce(origin_id, profile_id), recent, profile_id \
         from events \
         where workspace = $1 and profile_id in list($2) and type in list($3) \
         and time_ms >= $4 order by profile_id, time_ms, sequence limit $5";
    if past.profile_ids.is_empty() || past.types.is_empty() {
        return Ok(());
    }
    let limit = i64::try_from(PAST_PAGE + 1).unwrap_or(i64::MAX);
    let args = args![
        workspace,
        texts(&past.profile_ids),
        past.types.clone(),
        past.since_ms,
        limit
    ];
    let events = reading.events(workspace, PAST, args).await?;
    if events.len() > PAST_PAGE {
        drop(events);
        for profile_id in &past.profile_ids {
            past_of_one(&mut reading, workspace, *profile_id, past, &mut show).await?;
        }
        return Ok(());
    }
    for (row, event) in events {
        let profile_id = codec::profile_id(&row, 2)?;
        event.into_iter().for_each(|event| show(profile_id, event));
    }
    Ok(())
}

async fn past_of_one(
    reading: &mut Reading<'_>,
    workspace: &str,
    profile_id: ProfileId,
    past: &Past,
    show: &mut impl FnMut(ProfileId, RecentEvent),
) -> Result<(), Error> {
    const PAST_OF_ONE: &str = "select coalesce(origin_id, profile_id), recent, \
         time_ms, sequence from events \
         where workspace = $1 and profile_id = $2 and type in list($3) \
         and (time_ms, sequence) > ($4, $5) order by time_ms, sequence limit $6";
    let mut after = Place {
        time_ms: past.since_ms,
        sequence: i64::MIN,
    };
    loop {
        let args = args![
            workspace,
            profile_id.to_string(),
            past.types.clone(),
            after.time_ms,
            after.sequence,
            i64::try_from(PAST_PAGE).unwrap_or(i64::MAX)
        ];
        let events = reading.events(workspace, PAST_OF_ONE, args).await?;
        let count = events.len();
        for (row, event) in events {
            after = Place {
                time_ms: row.get(2)?,
                sequence: row.get(3)?,
            };
            event.into_iter().for_each(|event| show(profile_id, event));
        }
        if count < PAST_PAGE {
            return Ok(());
        }
    }
}

/// Where a page of the timeline ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub time_ms: i64,
    pub sequence: i64,
}

impl Place {
    pub const BEFORE_ALL: Self = Self {
        time_ms: i64::MIN,
        sequence: i64::MIN,
    };
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Part of a timeline.
#[derive(Debug, Clone)]
pub struct Page<'a> {
    pub profile_id: ProfileId,
    /// Empty means all.
    pub types: &'a [String],
    /// From the first to before the second.
    pub start_ms: i64,
    pub end_ms: i64,
    pub order: Order,
    /// Where the page before it ended.
    pub after: Option<Place>,
    pub limit: i64,
}

pub async fn page(
    database: &Database,
    codec: &Codec,
    workspace: &str,
    page: &Page<'_>,
) -> Result<Vec<(Place, Event)>, Error> {
    let of_types = match page.types {
        [] => "",
        _ => "and type in list($8)",
    };
    let (direction, beyond, at_first) = match page.order {
        Order::NewestFirst => ("desc", "<", i64::MAX),
        Order::OldestFirst => ("asc", ">", i64::MIN),
    };
    let sql = format!(
        "select coalesce(origin_id, profile_id), time_ms, sequence, event from events \
         where workspace = $1 and profile_id = $2 and time_ms >= $3 and time_ms < $4 \
         and (time_ms, sequence) {beyond} ($5, $6) {of_types} \
         order by time_ms {direction}, sequence {direction} limit $7"
    );
    let after = page.after.unwrap_or(Place {
        time_ms: at_first,
        sequence: at_first,
    });
    // SQLite finds by bounds of a column, and goes through what a place only leaves out.
    let (start_ms, end_ms) = match (page.after, page.order) {
        (None, _) => (page.start_ms, page.end_ms),
        (Some(place), Order::NewestFirst) => {
            let end_ms = place.time_ms.saturating_add(1);
            (page.start_ms, page.end_ms.min(end_ms))
        }
        (Some(place), Order::OldestFirst) => (page.start_ms.max(place.time_ms), page.end_ms),
    };
    let mut args = args![
        workspace,
        page.profile_id.to_string(),
        start_ms,
        end_ms,
        after.time_ms,
        after.sequence,
        page.limit
    ];
    if !page.types.is_empty() {
        args.extend(args![page.types.to_vec()]);
    }
    let rows = database.fetch_all(Sql::built(sql), args).await?;
    let (owned, seals) = codec::owned(database, codec, workspace, &rows).await?;
    owned
        .into_iter()
        .map(|(owner, row)| placed(&seals, owner, row))
        .collect()
}

fn placed(seals: &Seals, owner: ProfileId, row: &Row) -> Result<(Place, Event), Error> {
    let place = Place {
        time_ms: row.get(1)?,
        sequence: row.get(2)?,
    };
    let event = row.get::<Bytes>(3)?;
    Ok((place, seals.event(owner, &event)?))
}

/// Number of events and time of the last, of those profiles that have any.
pub async fn counts(
    database: &Database,
    workspace: &str,
    ids: &[ProfileId],
) -> Result<Vec<(ProfileId, i64, i64)>, Error> {
    const COUNTS: &str = "select profile_id, count(*), max(time_ms) from events \
         where workspace = $1 and profile_id in list($2) group by profile_id";
    let rows = database
        .fetch_all(COUNTS, args![workspace, texts(ids)])
        .await?;
    rows.iter()
        .map(|row| Ok((codec::profile_id(row, 0)?, row.get(1)?, row.get(2)?)))
        .collect()
}
