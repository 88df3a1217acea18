//! The store of what people edit: placements, rules, templates. One table for all
//! kinds, protobuf inside, with the standard methods' semantics (etags, masks, pages).
//! Knows what a resource is; a service's own rules come in through `check`.

mod error;
mod kinds;
mod page;
mod update;

use std::{collections::HashMap, sync::Arc};

use attune_api::time;
use futures::future::BoxFuture;
use prost::Message;
use prost_types::FieldMask;

pub use error::Error;
pub use page::{Page, PageRequest};
pub use update::{etag_of, merge};

use crate::{Database, Row, Tx, args};

/// A message of the contract that people edit. `kinds` says which these are.
pub trait Resource: Message + Default + Clone + Send + Sync + 'static {
    /// The resource's name in answers and in the table: `placement`.
    const KIND: &'static str;
    /// The message's full name: `attune.rules.v1.Placement`.
    const FULL_NAME: &'static str;
    fn id(&self) -> &str;
    /// What the sender believes the stored etag to be; empty if it does not care.
    fn etag(&self) -> &str;
    /// Fills in what only the store knows; `None` clears it.
    fn stamp(&mut self, stamp: Option<Stamp>);
}

/// What the store adds to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub etag: String,
    pub create_ms: i64,
    pub update_ms: i64,
}

/// `resource!(Placement, "placement", "attune.rules.v1.Placement", placement_id)` for
/// a message with the fields `etag`, `create_time` and `update_time`.
#[macro_export]
macro_rules! resource {
    ($message:ty, $kind:literal, $full_name:literal, $id:ident) => {
        impl $crate::resources::Resource for $message {
            const KIND: &'static str = $kind;
            const FULL_NAME: &'static str = $full_name;
            fn id(&self) -> &str {
                &self.$id
            }
            fn etag(&self) -> &str {
                &self.etag
            }
            fn stamp(&mut self, stamp: Option<$crate::resources::Stamp>) {
                let times = stamp.as_ref().map(|s| (s.create_ms, s.update_ms));
                self.create_time = times.map(|(ms, _)| $crate::resources::timestamp(ms));
                self.update_time = times.map(|(_, ms)| $crate::resources::timestamp(ms));
                self.etag = stamp.map(|s| s.etag).unwrap_or_default();
            }
        }
    };
}

#[doc(hidden)]
pub fn timestamp(ms: i64) -> prost_types::Timestamp {
    time::from_ms(ms)
}

/// A resource came to be, changed or went away.
#[derive(Debug, Clone)]
pub struct Change<R> {
    pub workspace: Arc<str>,
    /// None if it is new.
    pub before: Option<R>,
    /// None if it is deleted.
    pub after: Option<R>,
}

/// What an update does with a resource that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Reject,
    Create,
}

impl Missing {
    /// From a request's `allow_missing`.
    pub fn allowed(allow_missing: bool) -> Self {
        if allow_missing {
            Self::Create
        } else {
            Self::Reject
        }
    }
}

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

    pub async fn create(&self, workspace: &Arc<str>, resource: R) -> Result<R, Error> {
        let resource = Arc::new(resource);
        self.change(workspace, move |tx, workspace| {
            let resource = Arc::clone(&resource);
            Box::pin(async move {
                if find::<R>(tx, &workspace, resource.id()).await?.is_some() {
                    return Err(Error::Exists {
                        kind: R::KIND,
                        id: resource.id().to_owned(),
                    });
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
        const PUT: &str = "insert into resources \
             (workspace, kind, id, etag, data, create_ms, update_ms) \
             values ($1, $2, $3, $4, $5, $6, $7) \
             on conflict (workspace, kind, id) do update set etag = excluded.etag, \
             data = excluded.data, update_ms = excluded.update_ms";
        let change = Change {
            workspace,
            before: before.as_ref().map(Stored::stamped),
            after: after.as_ref().map(Stored::stamped),
        };
        if let Some(check) = &self.0.check {
            check(tx, &change).await?;
        }
        let workspace = &change.workspace;
        match (before, after) {
            (_, Some(Stored { resource, stamp })) => {
                let (create_ms, update_ms) = (stamp.create_ms, stamp.update_ms);
                let (id, data) = (resource.id(), resource.encode_to_vec());
                let args = args![
                    workspace,
                    R::KIND,
                    id,
                    stamp.etag,
                    data,
                    create_ms,
                    update_ms
                ];
                tx.execute(PUT, args).await?;
            }
            (Some(gone), None) => {
                let args = args![workspace, R::KIND, gone.resource.id()];
                tx.execute(DELETE, args).await?;
            }
            (None, None) => {}
        }
        Ok(change)
    }
}

/// A resource without its stamp, as its bytes are stored, and the stamp.
pub(crate) struct Stored<R> {
    pub(crate) resource: R,
    pub(crate) stamp: Stamp,
}

impl<R: Resource> Stored<R> {
    fn stamped(&self) -> R {
        let mut resource = self.resource.clone();
        resource.stamp(Some(self.stamp.clone()));
        resource
    }
}

async fn find<R: Resource>(
    tx: &mut Tx,
    workspace: &Arc<str>,
    id: &str,
) -> Result<Option<Stored<R>>, Error> {
    let row = tx
        .fetch_optional(GET, args![workspace, R::KIND, id])
        .await?;
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

fn decode<R: Resource>(row: &Row, column: usize) -> Result<R, Error> {
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

fn check_etag<R: Resource>(stored: &Stored<R>, sent: &str) -> Result<(), Error> {
    if sent.is_empty() || sent == stored.stamp.etag {
        return Ok(());
    }
    Err(Error::EtagMismatch {
        kind: R::KIND,
        id: stored.resource.id().to_owned(),
    })
}
