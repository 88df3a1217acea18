//! SQL for sealing at the start what versions before encryption wrote in clear, a page
//! at a time, so that an interrupted start goes on where it was.

use std::sync::Arc;

use attune_storage::{Error, Tx, args};
use attune_vault::KeyRing;

use super::{Store, personal};
use crate::domain::message::{Content, Message, State};

const PAGE: i64 = 200;

impl Store {
    /// Returns when nothing is clear any more.
    pub async fn seal_all(&self) -> Result<(), Error> {
        let mut sealed = 0;
        loop {
            let keys = Arc::clone(&self.keys);
            let count = self
                .database
                .write(move |tx: &mut Tx| {
                    let keys = Arc::clone(&keys);
                    Box::pin(async move { seal_page(tx, &keys).await })
                })
                .await?;
            if count == 0 {
                break;
            }
            sealed += count;
        }
        if sealed > 0 {
            tracing::info!(sealed, "messages stored in clear are sealed; writing anew");
            self.database.rewrite(&["messages"]).await?;
        }
        Ok(())
    }
}

async fn seal_page(tx: &mut Tx, ring: &KeyRing) -> Result<usize, Error> {
    const READ: &str = "select workspace, message_id, request_id, recipient, profile_id, \
         subject, body_text, body_html, last_error from messages where sealed is null \
         order by workspace, message_id limit $1";
    const WRITE: &str = "update messages set request_id = $3, sealed = $4, sealed_error = $5, \
         recipient = '', subject = '', body_text = '', body_html = '', last_error = '' \
         where workspace = $1 and message_id = $2";
    let rows = tx.fetch_all(READ, args![PAGE]).await?;
    for row in &rows {
        let workspace: Arc<str> = row.get(0)?;
        let request_id: Option<String> = row.get(2)?;
        let message = Message {
            workspace: workspace.to_string(),
            message_id: row.get(1)?,
            channel: String::new(),
            to: row.get(3)?,
            profile_id: row.get(4)?,
            content: Content {
                subject: row.get(5)?,
                text: row.get(6)?,
                html: row.get(7)?,
                ..Content::default()
            },
            state: State::Queued,
            attempt_count: 0,
            last_error: row.get(8)?,
            create_ms: 0,
            due_ms: 0,
            delivery_ms: None,
        };
        let mut keys = ring.none(&workspace);
        let owner = personal::owner_of(&message)?;
        ring.ensure(tx, &mut keys, [owner]).await?;
        let error = match message.last_error.as_str() {
            "" => None,
            error => Some(personal::seal_error(&keys, owner, error)?),
        };
        let args = args![
            &workspace,
            &message.message_id,
            request_id.map(|id| super::request_key(ring, &workspace, &id)),
            personal::seal(&keys, &message)?,
            error
        ];
        tx.execute(WRITE, args).await?;
    }
    Ok(rows.len())
}
