//! Seals at the start what versions before encryption wrote in clear: page by page, so
//! that an interrupted start goes on where it was, and then the files are written anew,
//! so that nothing of it is left in them.

use attune_storage::{Database, Error, Tx};
use futures::{FutureExt, future::BoxFuture};

use crate::store::{
    self,
    codec::Codec,
    sealing::{self, Cursor},
};

/// The tables that held something clear.
const TABLES: [&str; 5] = ["profiles", "identities", "events", "clear_messages", "log"];

/// Returns when nothing is clear any more.
pub async fn seal_all(database: &Database, codec: &Codec) -> Result<(), Error> {
    if sealing::is_done(database).await? {
        return Ok(());
    }
    let mut sealed = 0;
    sealed += pages(database, codec, |tx, codec, at| {
        sealing::profiles(tx, codec, at).boxed()
    })
    .await?;
    sealed += pages(database, codec, |tx, codec, at| {
        sealing::identities(tx, codec, at).boxed()
    })
    .await?;
    sealed += pages(database, codec, |tx, codec, at| {
        sealing::events(tx, codec, at).boxed()
    })
    .await?;
    sealed += pages(database, codec, |tx, codec, at| {
        sealing::messages(tx, codec, at).boxed()
    })
    .await?;
    sealed += pages(database, codec, |tx, codec, at| {
        sealing::log(tx, codec, at).boxed()
    })
    .await?;
    if sealed > 0 {
        tracing::info!("what was stored in clear is sealed; writing the files anew");
        database.rewrite(&TABLES).await?;
    }
    database
        .write(|tx: &mut Tx| Box::pin(sealing::set_done(tx)))
        .await
}

type Page =
    for<'a> fn(&'a mut Tx, &'a Codec, Cursor) -> BoxFuture<'a, Result<Option<Cursor>, Error>>;

/// Number of pages that were not empty.
async fn pages(database: &Database, codec: &Codec, page: Page) -> Result<u64, Error> {
    let mut after = Cursor::default();
    let mut count = 0;
    loop {
        let (from, codec) = (after, codec.clone());
        let next = database
            .write(move |tx: &mut Tx| {
                let (after, codec) = (from.clone(), codec.clone());
                Box::pin(async move {
                    // In turn with replicas that start at the same time.
                    store::lock(tx, 0).await?;
                    page(tx, &codec, after).await
                })
            })
            .await?;
        match next {
            Some(next) => after = next,
            None => return Ok(count),
        }
        count += 1;
    }
}
