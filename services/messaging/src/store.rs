//! SQL for messages and their queue. Knows nothing of gRPC or SMTP; every query but
//! the workers' own is scoped by workspace, and theirs carry it along.

use std::sync::Arc;

use attune_storage::{Database, Row, Sql, Tx, args};

use crate::{
    Error,
    domain::message::{Content, Message, State},
};

#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
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
}

impl Store {
    pub fn new(database: &Database) -> Self {
        Self {
            database: database.clone(),
        }
    }

    pub async fn get(&self, workspace: &str, message_id: &str) -> Result<Option<Message>, Error> {
        const GET: &str = "select workspace, message_id, channel, recipient, profile_id, \
             template_id, locale, subject, body_text, body_html, state, attempt_count, \
             last_error, create_ms, due_ms, delivery_ms \
             from messages where workspace = $1 and message_id = $2";
        let row = self
            .database
            .fetch_optional(GET, args![workspace, message_id])
            .await?;
        row.as_ref().map(message).transpose()
    }

    /// The message that this request made, if it was made before.
    pub async fn by_request(
        &self,
        workspace: &str,
        request_id: &str,
    ) -> Result<Option<Message>, Error> {
        let row = self
            .database
            .fetch_optional(BY_REQUEST, args![workspace, request_id])
            .await?;
        row.as_ref().map(message).transpose()
    }

    /// Queues a message, once per request id. `committed` runs after the commit.
    pub async fn queue(
        &self,
        new: NewMessage,
        committed: impl FnOnce(&Queued) + Send + 'static,
    ) -> Result<Queued, Error> {
        let new = Arc::new(new);
        self.database
            .write_then(
                move |tx: &mut Tx| {
                    let new = Arc::clone(&new);
                    Box::pin(async move { insert(tx, &new).await })
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
        self.database
            .write(move |tx: &mut Tx| {
                Box::pin(async move {
                    let args = args![lease_until_ms, now_ms, count];
                    let rows = tx.fetch_all(claim_sql(), args).await?;
                    rows.iter().map(message).collect()
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
        const DELIVERED: &str = "update messages set state = 2, delivery_ms = $3, last_error = '' \
             where workspace = $1 and message_id = $2 and state <> 2";
        self.execute(DELIVERED, move || {
            args![&claim.workspace, &claim.message_id, now_ms]
        })
        .await
    }

    pub async fn retry(&self, claim: Claim, due_ms: i64, error: String) -> Result<(), Error> {
        const RETRY: &str = "update messages set due_ms = $4, last_error = $5 \
             where workspace = $1 and message_id = $2 and attempt_count = $3 and state = 1";
        self.execute(RETRY, move || {
            args![
                &claim.workspace,
                &claim.message_id,
                claim.attempt_count,
                due_ms,
                &error
            ]
        })
        .await
    }

    pub async fn failed(&self, claim: Claim, error: String) -> Result<(), Error> {
        const FAILED: &str = "update messages set state = 3, last_error = $4 \
             where workspace = $1 and message_id = $2 and attempt_count = $3 and state = 1";
        self.execute(FAILED, move || {
            args![
                &claim.workspace,
                &claim.message_id,
                claim.attempt_count,
                &error
            ]
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
        args: impl Fn() -> Vec<attune_storage::Value> + Send + 'static,
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

const BY_REQUEST: &str = "select workspace, message_id, channel, recipient, profile_id, \
     template_id, locale, subject, body_text, body_html, state, attempt_count, last_error, \
     create_ms, due_ms, delivery_ms \
     from messages where workspace = $1 and request_id = $2";

async fn insert(tx: &mut Tx, new: &NewMessage) -> Result<Queued, Error> {
    const INSERT: &str = "insert into messages (workspace, message_id, request_id, channel, \
         recipient, profile_id, template_id, locale, subject, body_text, body_html, state, \
         attempt_count, last_error, create_ms, due_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, 0, '', $12, $13) \
         on conflict do nothing";
    let message_ = &new.message;
    let content = &message_.content;
    let inserted = tx
        .execute(
            INSERT,
            args![
                &message_.workspace,
                &message_.message_id,
                new.request_id.clone(),
                &message_.channel,
                &message_.to,
                &message_.profile_id,
                &content.template_id,
                &content.locale,
                &content.subject,
                &content.text,
                &content.html,
                message_.create_ms,
                message_.due_ms
            ],
        )
        .await?;
    if inserted == 1 {
        return Ok(Queued::New(message_.clone()));
    }
    let request_id = new.request_id.clone().unwrap_or_default();
    let before = tx
        .fetch_optional(BY_REQUEST, args![&message_.workspace, request_id])
        .await?;
    match before {
        Some(row) => Ok(Queued::Before(message(&row)?)),
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
                "returning messages.workspace, messages.message_id, channel, recipient, ",
                "profile_id, template_id, locale, subject, body_text, body_html, state, ",
                "attempt_count, last_error, create_ms, due_ms, delivery_ms"
            )
        };
    }
    Sql::each(claim!(""), claim!("for update skip locked"))
}

fn message(row: &Row) -> Result<Message, Error> {
    let state: i64 = row.get(10)?;
    Ok(Message {
        workspace: row.get(0)?,
        message_id: row.get(1)?,
        channel: row.get(2)?,
        to: row.get(3)?,
        profile_id: row.get(4)?,
        content: Content {
            template_id: row.get(5)?,
            locale: row.get(6)?,
            subject: row.get(7)?,
            text: row.get(8)?,
            html: row.get(9)?,
        },
        state: State::from_code(state).ok_or(Error::StateUnknown(state))?,
        attempt_count: row.get(11)?,
        last_error: row.get(12)?,
        create_ms: row.get(13)?,
        due_ms: row.get(14)?,
        delivery_ms: row.get(15)?,
    })
}
