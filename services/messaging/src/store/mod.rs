//! SQL for messages and their queue. Knows nothing of gRPC or SMTP; every query but
//! the workers' own is scoped by workspace, and theirs carry it along. To whom a message
//! goes and what it says is sealed with that person's key; what it is asked for by is
//! hashed.

pub(crate) mod addresses;
pub(crate) mod erasure;
mod personal;
mod sealing;

use std::sync::Arc;

use attune_storage::{Database, Row, Sql, Tx, Value, args};
use attune_vault::KeyRing;
use bytes::Bytes;
use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::{Error, domain::message::Message};
use personal::{COLUMNS, Sealed};

#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
    keys: Arc<KeyRing>,
}

/// A message as it is queued.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage {
    pub message: Message,
    /// None: every call sends.
    pub request_id: Option<String>,
}

/// What became of a request to queue.
#[derive(Debug)]
pub(crate) enum Queued {
    New(Message),
    /// The request was made before; this is what it gave then.
    Before(Message),
}

/// Which attempt of which message, so that a worker whose lease has ended changes
/// nothing that another one does.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub workspace: String,
    pub message_id: String,
    pub attempt_count: i32,
    /// Whose key seals it.
    owner: Option<Uuid>,
}

impl Claim {
    pub fn of(message: &Message) -> Self {
        Self {
            workspace: message.workspace.clone(),
            message_id: message.message_id.clone(),
            attempt_count: message.attempt_count,
            owner: personal::owner(&message.profile_id, &message.message_id),
        }
    }
}

impl Store {
    pub fn new(database: &Database, keys: KeyRing) -> Self {
        Self {
            database: database.clone(),
            keys: Arc::new(keys),
        }
    }

    pub async fn get(&self, workspace: &str, message_id: &str) -> Result<Option<Message>, Error> {
        let sql =
            format!("select {COLUMNS} from messages where workspace = $1 and message_id = $2");
        self.one(workspace, Sql::built(sql), args![workspace, message_id])
            .await
    }

    /// The message that this request made, if it was made before.
    pub async fn by_request(
        &self,
        workspace: &str,
        request_id: &str,
    ) -> Result<Option<Message>, Error> {
        let key = request_key(&self.keys, workspace, request_id);
        self.one(workspace, by_request(), args![workspace, key])
            .await
    }

    async fn one(
        &self,
        workspace: &str,
        sql: Sql,
        args: Vec<Value>,
    ) -> Result<Option<Message>, Error> {
        let row = self.database.fetch_optional(sql, args).await?;
        let Some(sealed) = row.as_ref().map(Sealed::read).transpose()? else {
            return Ok(None);
        };
        let keys = self
            .keys
            .read(&self.database, workspace, [sealed.owner])
            .await?;
        Ok(sealed.open(&keys)?)
    }

    /// Queues a message, once per request id. `committed` runs after the commit.
    pub async fn queue(
        &self,
        new: NewMessage,
        committed: impl FnOnce(&Queued) + Send + 'static,
    ) -> Result<Queued, Error> {
        let (new, keys) = (Arc::new(new), Arc::clone(&self.keys));
        self.database
            .write_then(
                move |tx: &mut Tx| {
                    let (new, keys) = (Arc::clone(&new), Arc::clone(&keys));
                    Box::pin(async move { insert(tx, &keys, &new).await })
                },
                committed,
            )
            .await
    }

    /// Takes up to `count` due messages until `lease_until_ms`, the longest due first,
    /// and counts the attempt: a message that kills its worker must not do so for ever.
    pub async fn claim(
        &self,
        now_ms: i64,
        lease_until_ms: i64,
        count: usize,
    ) -> Result<Vec<Message>, Error> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let keys = Arc::clone(&self.keys);
        self.database
            .write(move |tx: &mut Tx| {
                let keys = Arc::clone(&keys);
                Box::pin(async move {
                    let args = args![lease_until_ms, now_ms, count];
                    let rows = tx.fetch_all(claim_sql(), args).await?;
                    open_all(tx, &keys, &rows).await
                })
            })
            .await
    }

    /// When the next message is due, if any is queued.
    pub async fn next_due_ms(&self) -> Result<Option<i64>, Error> {
        const NEXT: &str = "select due_ms from messages where state = 1 order by due_ms limit 1";
        let row = self.database.fetch_optional(NEXT, args![]).await?;
        Ok(row.map(|row| row.get(0)).transpose()?)
    }

    /// Whatever became of the lease: what was delivered was delivered.
    pub async fn delivered(&self, claim: Claim, now_ms: i64) -> Result<(), Error> {
        const DELIVERED: &str = "update messages set state = 2, delivery_ms = $3, \
             sealed_error = null \
             where workspace = $1 and message_id = $2 and state <> 2";
        self.execute(DELIVERED, move || {
            args![&claim.workspace, &claim.message_id, now_ms]
        })
        .await
    }

    pub async fn retry(&self, claim: Claim, due_ms: i64, error: String) -> Result<(), Error> {
        const RETRY: &str = "update messages set due_ms = $4, sealed_error = $5 \
             where workspace = $1 and message_id = $2 and attempt_count = $3 and state = 1";
        self.failed_with(claim, error, move |claim, error| {
            let args = args![
                &claim.workspace,
                &claim.message_id,
                claim.attempt_count,
                due_ms,
                error
            ];
            (RETRY, args)
        })
        .await
    }

    pub async fn failed(&self, claim: Claim, error: String) -> Result<(), Error> {
        const FAILED: &str = "update messages set state = 3, sealed_error = $4 \
             where workspace = $1 and message_id = $2 and attempt_count = $3 and state = 1";
        self.failed_with(claim, error, |claim, error| {
            let args = args![
                &claim.workspace,
                &claim.message_id,
                claim.attempt_count,
                error
            ];
            (FAILED, args)
        })
        .await
    }

    /// Writes down an error, which may name the recipient.
    async fn failed_with(
        &self,
        claim: Claim,
        error: String,
        statement: impl Fn(&Claim, Bytes) -> (&'static str, Vec<Value>) + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let Some(owner) = claim.owner else {
            return Ok(());
        };
        let told = Arc::new((self.keys.clone(), claim, error, statement));
        self.database
            .write(move |tx: &mut Tx| {
                let told = Arc::clone(&told);
                Box::pin(async move {
                    let (ring, claim, error, statement) = &*told;
                    let mut keys = ring.none(&Arc::from(claim.workspace.as_str()));
                    ring.add(tx, &mut keys, [owner]).await?;
                    if !keys.has(owner) {
                        // The person is gone, and the message with them.
                        return Ok(());
                    }
                    let error = personal::seal_error(&keys, owner, error)?;
                    let (sql, args) = statement(claim, error);
                    tx.execute(sql, args).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Gives back what was taken and not tried.
    pub async fn release(&self, claim: Claim, now_ms: i64) -> Result<(), Error> {
        const RELEASE: &str = "update messages set due_ms = $4, attempt_count = attempt_count - 1 \
             where workspace = $1 and message_id = $2 and attempt_count = $3 and state = 1";
        self.execute(RELEASE, move || {
            args![
                &claim.workspace,
                &claim.message_id,
                claim.attempt_count,
                now_ms
            ]
        })
        .await
    }

    async fn execute(
        &self,
        sql: &'static str,
        args: impl Fn() -> Vec<Value> + Send + 'static,
    ) -> Result<(), Error> {
        self.database
            .write(move |tx: &mut Tx| {
                let args = args();
                Box::pin(async move {
                    tx.execute(sql, args).await?;
                    Ok(())
                })
            })
            .await
    }
}

fn by_request() -> Sql {
    let sql = format!("select {COLUMNS} from messages where workspace = $1 and request_id = $2");
    Sql::built(sql)
}

/// What a request is known again by: senders put what they like into its id.
fn request_key(keys: &KeyRing, workspace: &str, request_id: &str) -> String {
    keys.index().of(workspace, "request").hash(request_id)
}

/// Claimed messages are of any workspace. Those of people who are gone are left out.
async fn open_all(tx: &mut Tx, ring: &KeyRing, rows: &[Row]) -> Result<Vec<Message>, Error> {
    let mut sealed = Vec::with_capacity(rows.len());
    let mut owners: FxHashMap<String, Vec<Uuid>> = FxHashMap::default();
    for row in rows {
        let one = Sealed::read(row)?;
        let workspace = one.message.workspace.clone();
        owners.entry(workspace).or_default().push(one.owner);
        sealed.push(one);
    }
    let mut keys = FxHashMap::default();
    for (workspace, owners) in owners {
        let mut held = ring.none(&Arc::from(workspace.as_str()));
        ring.add(tx, &mut held, owners).await?;
        keys.insert(workspace, held);
    }
    let mut messages = Vec::with_capacity(sealed.len());
    for one in sealed {
        if let Some(keys) = keys.get(&one.message.workspace) {
            messages.extend(one.open(keys)?);
        }
    }
    Ok(messages)
}

async fn insert(tx: &mut Tx, ring: &KeyRing, new: &NewMessage) -> Result<Queued, Error> {
    const INSERT: &str = "insert into messages (workspace, message_id, request_id, channel, \
         profile_id, template_id, locale, sealed, state, attempt_count, create_ms, due_ms, \
         recipient, subject, body_text, body_html, last_error) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, 1, 0, $9, $10, '', '', '', '', '') \
         on conflict do nothing";
    let message = &new.message;
    let workspace: Arc<str> = Arc::from(message.workspace.as_str());
    let profile_id = message.profile_id.as_str();
    if !profile_id.is_empty() && erasure::is_erased(tx, &workspace, profile_id).await? {
        return Err(Error::not_found("profile", profile_id));
    }
    let mut keys = ring.none(&workspace);
    ring.ensure(tx, &mut keys, [personal::owner_of(message)?])
        .await?;
    let asked = new.request_id.as_deref();
    let asked = asked.map(|id| request_key(ring, &workspace, id));
    let args = args![
        &workspace,
        &message.message_id,
        asked.clone(),
        &message.channel,
        &message.profile_id,
        &message.content.template_id,
        &message.content.locale,
        personal::seal(&keys, message)?,
        message.create_ms,
        message.due_ms
    ];
    if tx.execute(INSERT, args).await? == 1 {
        return Ok(Queued::New(message.clone()));
    }
    let args = args![&workspace, asked.unwrap_or_default()];
    let before = tx.fetch_all(by_request(), args).await?;
    match open_all(tx, ring, &before).await?.pop() {
        Some(before) => Ok(Queued::Before(before)),
        // Only the request's id can have been taken: message ids are fresh.
        None => Err(attune_storage::Error::UniqueViolation.into()),
    }
}

/// SQLite has one writer; on PostgreSQL several processes claim side by side, and
/// none waits for another's rows. Materialized, so that the rows are picked once.
fn claim_sql() -> Sql {
    macro_rules! claim {
        ($lock:literal) => {
            concat!(
                "with due as materialized (select workspace, message_id from messages ",
                "where state = 1 and due_ms <= $2 order by due_ms limit $3 ",
                $lock,
                ") update messages set due_ms = $1, attempt_count = attempt_count + 1 from due ",
                "where messages.workspace = due.workspace ",
                "and messages.message_id = due.message_id ",
                "returning messages.workspace, messages.message_id, channel, profile_id, ",
                "template_id, locale, sealed, state, attempt_count, sealed_error, ",
                "create_ms, due_ms, delivery_ms"
            )
        };
    }
    Sql::each(claim!(""), claim!("for update skip locked"))
}
