//! Puts everything that a former master key wrapped under the present one, some at a
//! time and from the start again after an interruption. People are served meanwhile:
//! the keys themselves stay as they are.

use attune_storage::{Database, Error, Tx, args};
use bytes::Bytes;

use crate::{
    Masters,
    ring::{of_owner, of_secret, owner},
};

const PAGE: i64 = 1_000;

/// What a rotation came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Now under the present master key.
    pub rewrapped: u64,
    /// Were so before.
    pub kept: u64,
}

/// Rewraps all keys and secrets of a database. Repeating it changes nothing.
pub async fn rotate(database: &Database, masters: &Masters) -> Result<Rotated, Error> {
    let mut rotated = secrets(database, masters).await?;
    let mut after = (String::new(), String::new());
    loop {
        let (from, masters) = (after.clone(), masters.clone());
        let page = database
            .write(move |tx: &mut Tx| {
                let (after, masters) = (from.clone(), masters.clone());
                Box::pin(async move { page(tx, &masters, after).await })
            })
            .await?;
        rotated.rewrapped += page.rotated.rewrapped;
        rotated.kept += page.rotated.kept;
        match page.last {
            Some(last) => after = last,
            None => return Ok(rotated),
        }
    }
}

struct Page {
    rotated: Rotated,
    /// Workspace and owner of the last; None at the end.
    last: Option<(String, String)>,
}

async fn page(tx: &mut Tx, masters: &Masters, after: (String, String)) -> Result<Page, Error> {
    const READ: &str = "select workspace, owner, wrapped from data_keys \
         where workspace > $1 or (workspace = $1 and owner > $2) \
         order by workspace, owner limit $3";
    const WRITE: &str = "update data_keys set wrapped = $3 \
         where workspace = $1 and owner = $2 and wrapped = $4";
    let rows = tx.fetch_all(READ, args![after.0, after.1, PAGE]).await?;
    let mut page = Page {
        rotated: Rotated::default(),
        last: None,
    };
    for row in rows {
        let workspace: String = row.get(0)?;
        let (id, wrapped): (String, Bytes) = (row.get(1)?, row.get(2)?);
        if masters.is_current(&wrapped) {
            page.rotated.kept += 1;
        } else {
            let bound_to = of_owner(&workspace, owner(&row, 1)?);
            let key = masters.unwrap(&bound_to, &wrapped)?;
            let new = Bytes::from(masters.wrap(&bound_to, &key)?);
            // Only what was read: a key that was destroyed meanwhile stays destroyed.
            let done = tx.execute(WRITE, args![&workspace[..], &id[..], new, wrapped]);
            page.rotated.rewrapped += done.await?;
        }
        page.last = Some((workspace, id));
    }
    Ok(page)
}

async fn secrets(database: &Database, masters: &Masters) -> Result<Rotated, Error> {
    const READ: &str = "select name, wrapped from vault_secrets order by name limit 100";
    const WRITE: &str = "update vault_secrets set wrapped = $2 where name = $1";
    let masters = masters.clone();
    database
        .write(move |tx: &mut Tx| {
            let masters = masters.clone();
            Box::pin(async move {
                let mut rotated = Rotated::default();
                for row in tx.fetch_all(READ, args![]).await? {
                    let (name, wrapped): (String, Bytes) = (row.get(0)?, row.get(1)?);
                    if masters.is_current(&wrapped) {
                        rotated.kept += 1;
                        continue;
                    }
                    let key = masters.unwrap(&of_secret(&name), &wrapped)?;
                    let new = Bytes::from(masters.wrap(&of_secret(&name), &key)?);
                    rotated.rewrapped += tx.execute(WRITE, args![&name[..], new]).await?;
                }
                Ok::<_, Error>(rotated)
            })
        })
        .await
}
