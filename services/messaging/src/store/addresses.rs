//! SQL for what the addresses of messages to no profile are known by: asked of the
//! profile service when somebody is erased, and kept, so that each is asked once.

use std::sync::Arc;

use attune_storage::{Tx, args};

use super::{
    Store,
    personal::{COLUMNS, Sealed},
};
use crate::Error;

/// A message whose address is not known by anything yet.
#[derive(Debug, Clone)]
pub(crate) struct Unhashed {
    pub message_id: String,
    pub channel: String,
    /// Empty where the key is gone, and with it the address.
    pub to: String,
}

impl Store {
    /// Some messages to no profile, those that were asked about already left out.
    pub async fn unhashed(&self, workspace: &str, limit: i64) -> Result<Vec<Unhashed>, Error> {
        let sql = format!(
            "select {COLUMNS} from messages where workspace = $1 and profile_id = '' \
             and address_key is null order by message_id limit $2"
        );
        let sql = attune_storage::Sql::built(sql);
        let rows = self
            .database
            .fetch_all(sql, args![workspace, limit])
            .await?;
        let sealed: Vec<_> = rows.iter().map(Sealed::read).collect::<Result<_, _>>()?;
        let owners: Vec<_> = sealed.iter().map(|one| one.owner).collect();
        let keys = self.keys.read(&self.database, workspace, owners).await?;
        let unhashed = sealed.into_iter().map(|one| {
            let (message_id, channel) =
                (one.message.message_id.clone(), one.message.channel.clone());
            Ok(Unhashed {
                message_id,
                channel,
                to: one.open(&keys)?.map_or(String::new(), |message| message.to),
            })
        });
        unhashed.collect()
    }

    /// Each `(message id, key)`.
    pub async fn set_address_keys(
        &self,
        workspace: &str,
        hashed: Vec<(String, String)>,
    ) -> Result<(), Error> {
        const SET: &str = "update messages set address_key = $3 \
             where workspace = $1 and message_id = $2 and profile_id = ''";
        let hashed = Arc::new((workspace.to_owned(), hashed));
        self.database
            .write(move |tx: &mut Tx| {
                let hashed = Arc::clone(&hashed);
                Box::pin(async move {
                    let (workspace, hashed) = &*hashed;
                    for (message_id, key) in hashed {
                        tx.execute(SET, args![workspace, message_id, key]).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}
