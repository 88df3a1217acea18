//! SQL for putting under keys what was written before there were any. Each function does
//! a page in the transaction it is given and says where the next begins; what is sealed
//! already is passed over. Used at the start only.

use std::sync::Arc;

use attune_api::events::v1::{LogEntry, log_entry::Change};
use attune_storage::{Database, Error, Insert, Kind, Row, Tx, args};
use bytes::Bytes;
use prost::Message as _;
use rustc_hash::FxHashMap;

use super::codec::{self, Codec, Field, Seals};
use crate::domain::{Identity, ProfileId, event};

const PAGE: i64 = 500;

/// Whether everything is sealed.
pub async fn is_done(database: &Database) -> Result<bool, Error> {
    const DONE: &str = "select done from sealing where id = 1";
    let row = database.fetch_optional(DONE, args![]).await?;
    row.map_or(Ok(false), |row| row.get(0))
}

pub async fn set_done(tx: &mut Tx) -> Result<(), Error> {
    const SET: &str = "update sealing set done = true where id = 1";
    tx.execute(SET, args![]).await.map(drop)
}

/// Where a page ended: workspace, id, and the place among the id's rows.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    workspace: String,
    id: String,
    time_ms: i64,
    sequence: i64,
}

/// The keys of one workspace's people, made where they are missing.
struct Opened {
    workspace: Arc<str>,
    seals: Seals,
}

/// By workspace, as rows of several come in one page.
struct Workspaces<'a> {
    codec: &'a Codec,
    opened: FxHashMap<String, Opened>,
}

impl Workspaces<'_> {
    fn new(codec: &Codec) -> Workspaces<'_> {
        Workspaces {
            codec,
            opened: FxHashMap::default(),
        }
    }

    async fn of(
        &mut self,
        tx: &mut Tx,
        workspace: &str,
        owner: ProfileId,
    ) -> Result<&Opened, Error> {
        let codec = self.codec;
        let opened = self.opened.entry(workspace.to_owned()).or_insert_with(|| {
            let workspace: Arc<str> = workspace.into();
            let seals = codec.of(&workspace);
            Opened { workspace, seals }
        });
        opened.seals.ensure(tx, [owner]).await?;
        Ok(opened)
    }
}

/// Everything sealed begins with this, and no clear message does.
fn is_sealed(bytes: &[u8]) -> bool {
    bytes.first() == Some(&attune_vault::VERSION)
}

pub async fn profiles(tx: &mut Tx, codec: &Codec, after: Cursor) -> Result<Option<Cursor>, Error> {
    const READ: &str = "select workspace, profile_id, record, own from profiles \
         where (workspace, profile_id) > ($1, $2) order by workspace, profile_id limit $3";
    const WRITE: &str = "update profiles set record = $3, own = $4 \
         where workspace = $1 and profile_id = $2";
    let args = args![after.workspace, after.id, PAGE];
    let rows = tx.fetch_all(READ, args).await?;
    let mut workspaces = Workspaces::new(codec);
    for row in &rows {
        let (workspace, id): (String, ProfileId) = (row.get(0)?, codec::profile_id(row, 1)?);
        let (record, own): (Bytes, Option<Bytes>) = (row.get(2)?, row.get(3)?);
        let opened = workspaces.of(tx, &workspace, id).await?;
        if !is_sealed(&record) {
            let seal = |clear: &Bytes| opened.seals.seal(id, Field::Record, clear);
            let own = own.as_ref().map(seal).transpose()?;
            let args = args![&opened.workspace, id.to_string(), seal(&record)?, own];
            tx.execute(WRITE, args).await?;
        }
    }
    rows.last().map(|row| cursor(row, None)).transpose()
}

pub async fn identities(
    tx: &mut Tx,
    codec: &Codec,
    after: Cursor,
) -> Result<Option<Cursor>, Error> {
    const READ: &str = "select workspace, key, coalesce(origin_id, profile_id) \
         from identities where (workspace, key) > ($1, $2) and value is null \
         order by workspace, key limit $3";
    const WRITE: &str = "update identities set key = $3, value = $4 \
         where workspace = $1 and key = $2";
    let args = args![after.workspace, after.id, PAGE];
    let rows = tx.fetch_all(READ, args).await?;
    let mut workspaces = Workspaces::new(codec);
    for row in &rows {
        let (workspace, key): (String, String) = (row.get(0)?, row.get(1)?);
        let owner = codec::profile_id(row, 2)?;
        let opened = workspaces.of(tx, &workspace, owner).await?;
        let identity = Identity::from_key(&key).ok_or_else(|| not_clear(1))?;
        let args = args![
            &opened.workspace,
            &key[..],
            opened.seals.identity_key(&identity),
            opened.seals.identity_bytes(owner, &identity)?
        ];
        tx.execute(WRITE, args).await?;
    }
    rows.last().map(|row| cursor(row, None)).transpose()
}

pub async fn events(tx: &mut Tx, codec: &Codec, after: Cursor) -> Result<Option<Cursor>, Error> {
    const READ: &str = "select workspace, profile_id, time_ms, sequence, \
         coalesce(origin_id, profile_id), event_id, event, recent from events \
         where (workspace, profile_id, time_ms, sequence) > ($1, $2, $3, $4) \
         order by workspace, profile_id, time_ms, sequence limit $5";
    const WRITE: &str = "update events set event_id = $5, event = $6, recent = $7 \
         where workspace = $1 and profile_id = $2 and time_ms = $3 and sequence = $4";
    let args = args![
        after.workspace,
        after.id,
        after.time_ms,
        after.sequence,
        PAGE
    ];
    let rows = tx.fetch_all(READ, args).await?;
    let mut workspaces = Workspaces::new(codec);
    for row in &rows {
        let (event, recent): (Bytes, Bytes) = (row.get(6)?, row.get(7)?);
        if is_sealed(&event) {
            continue;
        }
        let (at, owner) = (cursor(row, Some(2))?, codec::profile_id(row, 4)?);
        let opened = workspaces.of(tx, &at.workspace, owner).await?;
        let seals = &opened.seals;
        let args = args![
            &opened.workspace,
            at.id,
            at.time_ms,
            at.sequence,
            seals.message_key(&row.get::<String>(5)?),
            seals.seal(owner, Field::Event, &event)?,
            seals.seal(owner, Field::Recent, &recent)?
        ];
        tx.execute(WRITE, args).await?;
    }
    rows.last().map(|row| cursor(row, Some(2))).transpose()
}

/// Ids of messages go where they are hashes, and are gone from where they were clear.
pub async fn messages(tx: &mut Tx, codec: &Codec, _: Cursor) -> Result<Option<Cursor>, Error> {
    const READ: &str = "select workspace, message_id, profile_id, receive_ms \
         from clear_messages order by workspace, message_id limit $1";
    const DELETE: &str = "delete from clear_messages where workspace = $1 and message_id = $2";
    const WRITE: Insert = Insert {
        table: "messages",
        columns: &[
            ("workspace", Kind::Text),
            ("message_id", Kind::Text),
            ("profile_id", Kind::Text),
            ("receive_ms", Kind::Int),
        ],
        tail: "on conflict do nothing",
    };
    let rows = tx.fetch_all(READ, args![PAGE]).await?;
    let mut hashed = Vec::with_capacity(rows.len());
    for row in &rows {
        let (workspace, id): (String, String) = (row.get(0)?, row.get(1)?);
        let workspace: Arc<str> = workspace.into();
        let key = codec.of(&workspace).message_key(&id);
        let (profile_id, receive_ms): (String, i64) = (row.get(2)?, row.get(3)?);
        hashed.push(args![&workspace, key, profile_id, receive_ms]);
        tx.execute(DELETE, args![&workspace, id]).await?;
    }
    tx.insert_many(&WRITE, hashed).await?;
    rows.last().map(|row| cursor(row, None)).transpose()
}

/// Entries of the log that tell more of an event than others may know.
pub async fn log(tx: &mut Tx, _: &Codec, after: Cursor) -> Result<Option<Cursor>, Error> {
    const READ: &str = "select position, entry from log where position > $1 \
         order by position limit $2";
    const WRITE: &str = "update log set entry = $2 where position = $1";
    let rows = tx.fetch_all(READ, args![after.sequence, PAGE]).await?;
    for row in &rows {
        let (position, bytes): (i64, Bytes) = (row.get(0)?, row.get(1)?);
        let mut entry = LogEntry::decode(bytes).map_err(|_| not_clear(1))?;
        let Some(Change::EventRecorded(recorded)) = &mut entry.change else {
            continue;
        };
        recorded.event = recorded.event.as_ref().map(event::told);
        let entry = Bytes::from(entry.encode_to_vec());
        tx.execute(WRITE, args![position, entry]).await?;
    }
    let last = rows.last().map(|row| row.get(0)).transpose()?;
    Ok(last.map(|sequence| Cursor {
        sequence,
        ..Cursor::default()
    }))
}

/// Of a row that begins with workspace and id; `time` is the column before the sequence.
fn cursor(row: &Row, time: Option<usize>) -> Result<Cursor, Error> {
    let (time_ms, sequence) = match time {
        Some(at) => (row.get(at)?, row.get(at + 1)?),
        None => (0, 0),
    };
    Ok(Cursor {
        workspace: row.get(0)?,
        id: row.get(1)?,
        time_ms,
        sequence,
    })
}

fn not_clear(index: usize) -> Error {
    Error::Column {
        index,
        expected: "what versions before wrote",
        found: "something else".to_owned(),
    }
}
