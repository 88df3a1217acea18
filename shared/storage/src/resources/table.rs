//! One kind of resource in the database: the standard methods. Each change is decided,
//! checked and stored in one transaction, in which nobody else can change the same row.

use std::{collections::HashMap, sync::Arc};

use futures::future::BoxFuture;
use prost_types::FieldMask;

use super::{Change, Error, Missing, Resource, Stamp, Stored, update};
use crate::{Database, Row, Sql, Tx, args};

type Check<R> =
    dyn for<'a> Fn(&'a mut Tx, &'a Change<R>) -> BoxFuture<'a, Result<(), Error>> + Send + Sync;
type Committed<R> = dyn Fn(&Change<R>) + Send + Sync;

/// All resources of one kind. Cheap to clone.
pub struct Table<R: Resource>(Arc<Inner<R>>);

struct Inner<R: Resource> {
    database: Database,
    check: Option<Box<Check<R>>>,
    committed: Option<Box<Committed<R>>>,
}

impl<R: Resource> Clone for Table<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Builds a [`Table`].
pub struct TableBuilder<R: Resource>(Inner<R>);

impl<R: Resource> TableBuilder<R> {
    /// Runs inside the transaction before each change, on the resource as it will be:
    /// the place to validate what a mask has merged, to look up references and to
    /// publish. An error undoes the change. May run more than once.
    #[must_use]
    pub fn check<F>(mut self, check: F) -> Self
    where
        F: for<'a> Fn(&'a mut Tx, &'a Change<R>) -> BoxFuture<'a, Result<(), Error>>
            + Send
            + Sync
            + 'static,
    {
        self.0.check = Some(Box::new(check));
        self
    }

    /// Called after each commit, in commit order, before the caller is answered: the
    /// place to bring memory up to date. Must be short.
    #[must_use]
    pub fn committed(mut self, committed: impl Fn(&Change<R>) + Send + Sync + 'static) -> Self {
        self.0.committed = Some(Box::new(committed));
        self
    }

    pub fn build(self) -> Table<R> {
        Table(Arc::new(self.0))
    }
}

const GET: &str = "select data, etag, create_ms, update_ms from resources \
     where workspace = $1 and kind = $2 and id = $3";
/// [`GET`], and nobody else changes the row before the transaction ends. On SQLite a
/// transaction has the whole database to itself.
const FIND: Sql = Sql::each(
    GET,
    "select data, etag, create_ms, update_ms from resources \
     where workspace = $1 and kind = $2 and id = $3 for update",
);
const DELETE: &str = "delete from resources where workspace = $1 and kind = $2 and id = $3";

impl<R: Resource> Table<R> {
    /// A table without hooks.
    pub fn new(database: &Database) -> Self {
        Self::builder(database).build()
    }

    pub fn builder(database: &Database) -> TableBuilder<R> {
        TableBuilder(Inner {
            database: database.clone(),
            check: None,
            committed: None,
        })
    }

    pub(super) fn database(&self) -> &Database {
        &self.0.database
    }

    pub async fn get(&self, workspace: &str, id: &str) -> Result<R, Error> {
        let row = self
            .0
            .database
            .fetch_optional(GET, args![workspace, R::KIND, id])
            .await?;
        row.map_or_else(|| Err(not_found::<R>(id)), |row| decode(&row, 0))
    }

    /// Every resource of this kind with its workspace: what a service loads when it
    /// starts.
    pub async fn load_all(&self) -> Result<Vec<(Arc<str>, R)>, Error> {
        const ALL: &str = "select workspace, id, data, etag, create_ms, update_ms from resources \
             where kind = $1 and (workspace > $2 or (workspace = $2 and id > $3)) \
             order by workspace, id limit 1000";
        let mut all: Vec<(Arc<str>, R)> = Vec::new();
        loop {
            let (workspace, id) = all.last().map_or(("", ""), |(w, r)| (&**w, r.id()));
            let rows = self
                .0
                .database
                .fetch_all(ALL, args![R::KIND, workspace, id])
                .await?;
            if rows.is_empty() {
                return Ok(all);
            }
            for row in &rows {
                all.push((row.get(0)?, decode(row, 2)?));
            }
        }
    }

    /// The etags of those of `ids` that exist, as a transaction sees them: for writes
    /// that depend on resources staying as they were read.
    pub async fn etags_within(
        tx: &mut Tx,
        workspace: &str,
        ids: Vec<String>,
    ) -> Result<HashMap<String, String>, Error> {
        const ETAGS: &str = "select id, etag from resources \
             where workspace = $1 and kind = $2 and id in list($3)";
        let rows = tx.fetch_all(ETAGS, args![workspace, R::KIND, ids]).await?;
        let read = |row: &Row| Ok((row.get(0)?, row.get(1)?));
        rows.iter().map(read).collect()
    }

    /// Fails if there is one with this id.
    pub async fn create(&self, workspace: &Arc<str>, resource: R) -> Result<R, Error> {
        let resource = Arc::new(resource);
        self.change(workspace, move |tx, workspace| {
            let resource = Arc::clone(&resource);
            Box::pin(async move {
                if find::<R>(tx, &workspace, resource.id()).await?.is_some() {
                    return Err(exists::<R>(resource.id()));
                }
                let after = update::created(&*resource);
                Ok((None, Some(after)))
            })
        })
        .await
    }

    /// Changes the fields that `mask` names; without one, those that are set in
    /// `resource`; with `*`, all.
    pub async fn update(
        &self,
        workspace: &Arc<str>,
        resource: R,
        mask: Option<FieldMask>,
        missing: Missing,
    ) -> Result<R, Error> {
        let wanted = Arc::new((resource, mask));
        self.change(workspace, move |tx, workspace| {
            let wanted = Arc::clone(&wanted);
            Box::pin(async move {
                let (resource, mask) = &*wanted;
                let before = find::<R>(tx, &workspace, resource.id()).await?;
                let after = match &before {
                    Some(before) => {
                        check_etag::<R>(before, resource.etag())?;
                        update::merged(before, resource, mask.as_ref())?
                    }
                    // An etag says that the sender has seen it, so it was deleted since.
                    None if missing == Missing::Create && resource.etag().is_empty() => {
                        update::created(resource)
                    }
                    None => return Err(not_found::<R>(resource.id())),
                };
                Ok((before, Some(after)))
            })
        })
        .await
    }

    /// Returns what was deleted. An empty etag deletes whatever is there.
    pub async fn delete(&self, workspace: &Arc<str>, id: &str, etag: &str) -> Result<R, Error> {
        let wanted = Arc::new((id.to_owned(), etag.to_owned()));
        self.change(workspace, move |tx, workspace| {
            let wanted = Arc::clone(&wanted);
            Box::pin(async move {
                let (id, etag) = &*wanted;
                let Some(before) = find::<R>(tx, &workspace, id).await? else {
                    return Err(not_found::<R>(id));
                };
                check_etag::<R>(&before, etag)?;
                Ok((Some(before), None))
            })
        })
        .await
    }

    /// Decides on a change inside the transaction, has it checked and stores it.
    async fn change<D>(&self, workspace: &Arc<str>, decide: D) -> Result<R, Error>
    where
        D: for<'a> Fn(
                &'a mut Tx,
                Arc<str>,
            )
                -> BoxFuture<'a, Result<(Option<Stored<R>>, Option<Stored<R>>), Error>>
            + Send
            + Sync
            + 'static,
    {
        let workspace = Arc::clone(workspace);
        let table = self.clone();
        let decide = Arc::new(decide);
        let then = self.clone();
        let change = self
            .0
            .database
            .write_then(
                move |tx: &mut Tx| {
                    let (table, decide) = (table.clone(), Arc::clone(&decide));
                    let workspace = Arc::clone(&workspace);
                    Box::pin(async move {
                        let (before, after) = decide(tx, Arc::clone(&workspace)).await?;
                        table.store(tx, workspace, before, after).await
                    })
                },
                move |change: &Change<R>| {
                    if let Some(committed) = &then.0.committed {
                        committed(change);
                    }
                },
            )
            .await?;
        let resource = change.after.or(change.before);
        // Every change is of something.
        Ok(resource.unwrap_or_default())
    }

    async fn store(
        &self,
        tx: &mut Tx,
        workspace: Arc<str>,
        before: Option<Stored<R>>,
        after: Option<Stored<R>>,
    ) -> Result<Change<R>, Error> {
        let change = Change {
            workspace,
            before: before.as_ref().map(Stored::stamped),
            after: after.as_ref().map(Stored::stamped),
        };
        if let Some(check) = &self.0.check {
            check(tx, &change).await?;
        }
        let workspace = &change.workspace;
        let workspace = Arc::clone(workspace);
        match (before, after) {
            (None, Some(new)) => insert(tx, workspace, &new).await?,
            (Some(_), Some(changed)) => replace(tx, workspace, &changed).await?,
            (Some(gone), None) => {
                let args = args![workspace, R::KIND, gone.resource.id()];
                tx.execute(DELETE, args).await?;
            }
            (None, None) => {}
        }
        Ok(change)
    }
}

async fn insert<R: Resource>(
    tx: &mut Tx,
    workspace: Arc<str>,
    new: &Stored<R>,
) -> Result<(), Error> {
    const INSERT: &str = "insert into resources \
         (workspace, kind, id, etag, data, create_ms, update_ms) \
         values ($1, $2, $3, $4, $5, $6, $7)";
    let (id, etag) = (new.resource.id(), &new.stamp.etag);
    let (create_ms, update_ms) = (new.stamp.create_ms, new.stamp.update_ms);
    let data = new.resource.encode_to_vec();
    let args = args![workspace, R::KIND, id, etag, data, create_ms, update_ms];
    match tx.execute(INSERT, args).await {
        // Another process was faster.
        Err(error) if error.is_unique_violation() => Err(exists::<R>(id)),
        result => Ok(result.map(drop)?),
    }
}

async fn replace<R: Resource>(
    tx: &mut Tx,
    workspace: Arc<str>,
    changed: &Stored<R>,
) -> Result<(), Error> {
    const UPDATE: &str = "update resources set etag = $4, data = $5, update_ms = $6 \
         where workspace = $1 and kind = $2 and id = $3";
    let (id, etag) = (changed.resource.id(), &changed.stamp.etag);
    let data = changed.resource.encode_to_vec();
    let args = args![workspace, R::KIND, id, etag, data, changed.stamp.update_ms];
    tx.execute(UPDATE, args).await?;
    Ok(())
}

async fn find<R: Resource>(
    tx: &mut Tx,
    workspace: &Arc<str>,
    id: &str,
) -> Result<Option<Stored<R>>, Error> {
    let args = args![workspace, R::KIND, id];
    let row = tx.fetch_optional(FIND, args).await?;
    row.map(|row| stored(&row, 0)).transpose()
}

/// Reads `data, etag, create_ms, update_ms` from a column on.
fn stored<R: Resource>(row: &Row, column: usize) -> Result<Stored<R>, Error> {
    let data: Vec<u8> = row.get(column)?;
    Ok(Stored {
        resource: R::decode(data.as_slice())?,
        stamp: Stamp {
            etag: row.get(column + 1)?,
            create_ms: row.get(column + 2)?,
            update_ms: row.get(column + 3)?,
        },
    })
}

pub(super) fn decode<R: Resource>(row: &Row, column: usize) -> Result<R, Error> {
    let stored: Stored<R> = stored(row, column)?;
    let mut resource = stored.resource;
    resource.stamp(Some(stored.stamp));
    Ok(resource)
}

fn not_found<R: Resource>(id: &str) -> Error {
    Error::NotFound {
        kind: R::KIND,
        id: id.to_owned(),
    }
}

fn exists<R: Resource>(id: &str) -> Error {
    Error::Exists {
        kind: R::KIND,
        id: id.to_owned(),
    }
}

fn check_etag<R: Resource>(stored: &Stored<R>, sent: &str) -> Result<(), Error> {
    if sent.is_empty() || sent == stored.stamp.etag {
        return Ok(());
    }
    Err(Error::EtagMismatch {
        kind: R::KIND,
        id: stored.resource.id().to_owned(),
    })
}
