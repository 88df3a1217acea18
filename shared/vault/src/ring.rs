//! The keys of people: made, read in bulk, held in memory while they are in use, and
//! destroyed. Within a write, keys are held by that write until it is committed, so that
//! no key is remembered that the database does not have.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use attune_storage::{Database, Error, Insert, Kind, Row, Tx, args};
use bytes::Bytes;
use quick_cache::sync::Cache;
use rustc_hash::FxHashMap;
use uuid::Uuid;

use crate::{Index, Masters, seal::DataKey, sealed_column};

/// What a key in memory takes, the cache's own included.
const KEY_BYTES: u64 = 128;
const INDEX: &str = "index";

/// Owner ids are only unique within a workspace.
type Slot = ([u8; 16], Uuid);

/// The keys of one service's database. One for all its users.
pub struct KeyRing {
    masters: Masters,
    index: Index,
    held: Cache<Slot, DataKey>,
    /// Counts how often keys were destroyed: what was read before is not kept.
    generation: AtomicU64,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}

/// Keys of some owners in one workspace.
#[derive(Clone)]
pub struct Keys {
    workspace: Arc<str>,
    name: [u8; 16],
    held: FxHashMap<Uuid, DataKey>,
    /// Read or made by a write, to be remembered after its commit.
    fresh: Vec<Uuid>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} of {})", self.held.len(), self.workspace)
    }
}

impl Keys {
    /// Whether an owner has a key that was asked for; without one, what it sealed is
    /// lost.
    pub fn has(&self, owner: Uuid) -> bool {
        self.held.contains_key(&owner)
    }

    /// Seals a value of `owner` as `field`, a name of the caller's choice.
    pub fn seal(&self, owner: Uuid, field: &str, plain: &[u8]) -> Result<Bytes, Error> {
        let key = self.of(owner)?;
        let sealed = key.seal(&self.associated(owner, field), plain)?;
        Ok(sealed.into())
    }

    /// Opens what was sealed for the same owner as the same field.
    pub fn open(&self, owner: Uuid, field: &str, sealed: &[u8]) -> Result<Bytes, Error> {
        let key = self.of(owner)?;
        let plain = key.open(&self.associated(owner, field), sealed)?;
        Ok(plain.into())
    }

    fn of(&self, owner: Uuid) -> Result<&DataKey, Error> {
        let key = self.held.get(&owner);
        key.ok_or_else(|| sealed_column("without its key"))
    }

    fn associated(&self, owner: Uuid, field: &str) -> Vec<u8> {
        [
            self.workspace.as_bytes(),
            &[0],
            owner.as_bytes(),
            field.as_bytes(),
        ]
        .concat()
    }

    fn slot(&self, owner: Uuid) -> Slot {
        (self.name, owner)
    }
}

impl KeyRing {
    /// Reads the secret that values are found by, or makes it. Fails where none of the
    /// master keys opens it. `bytes_max` is the memory for keys in use.
    pub async fn open(
        database: &Database,
        masters: Masters,
        bytes_max: u64,
    ) -> Result<Self, Error> {
        let index = index(database, &masters).await?;
        let keys_max = usize::try_from(bytes_max / KEY_BYTES).unwrap_or(usize::MAX);
        Ok(Self {
            masters,
            index,
            held: Cache::new(keys_max.max(1)),
            generation: AtomicU64::new(0),
        })
    }

    /// What sealed values are found by.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// No keys yet.
    pub fn none(&self, workspace: &Arc<str>) -> Keys {
        let mut name = [0; 16];
        name.copy_from_slice(&blake3::hash(workspace.as_bytes()).as_bytes()[..16]);
        Keys {
            workspace: workspace.clone(),
            name,
            held: FxHashMap::default(),
            fresh: Vec::new(),
        }
    }

    /// Keys of those owners that have one, for reading.
    pub async fn read(
        &self,
        database: &Database,
        workspace: &str,
        owners: impl IntoIterator<Item = Uuid>,
    ) -> Result<Keys, Error> {
        let generation = self.generation.load(Ordering::Acquire);
        let mut keys = self.none(&Arc::from(workspace));
        let missing = self.take_held(&mut keys, owners);
        if missing.is_empty() {
            return Ok(keys);
        }
        let rows = database.fetch_all(READ, args![workspace, missing]).await?;
        self.take_rows(&mut keys, &rows)?;
        self.remember(&keys, generation);
        Ok(keys)
    }

    /// Adds the keys of those owners that have one, inside a write.
    pub async fn add(
        &self,
        tx: &mut Tx,
        keys: &mut Keys,
        owners: impl IntoIterator<Item = Uuid>,
    ) -> Result<(), Error> {
        let missing = self.take_held(keys, owners);
        if missing.is_empty() {
            return Ok(());
        }
        let rows = tx.fetch_all(READ, args![&keys.workspace, missing]).await?;
        self.take_rows(keys, &rows)
    }

    /// Adds the keys of all owners, making those that are missing, inside a write.
    pub async fn ensure(
        &self,
        tx: &mut Tx,
        keys: &mut Keys,
        owners: impl IntoIterator<Item = Uuid>,
    ) -> Result<(), Error> {
        let owners: Vec<_> = owners.into_iter().collect();
        self.add(tx, keys, owners.iter().copied()).await?;
        let missing: Vec<_> = owners.into_iter().filter(|o| !keys.has(*o)).collect();
        self.make(tx, keys, missing.iter().copied()).await?;
        // Somebody else may have made some of them in the meantime.
        self.add(tx, keys, missing).await
    }

    /// Makes the keys of owners that have none.
    pub async fn make(
        &self,
        tx: &mut Tx,
        keys: &mut Keys,
        owners: impl IntoIterator<Item = Uuid>,
    ) -> Result<(), Error> {
        const MAKE: Insert = Insert {
            table: "data_keys",
            columns: &[
                ("workspace", Kind::Text),
                ("owner", Kind::Text),
                ("wrapped", Kind::Bytes),
            ],
            tail: "on conflict do nothing returning owner",
        };
        let mut made = FxHashMap::default();
        let mut rows = Vec::new();
        for owner in owners {
            if keys.has(owner) || made.contains_key(&owner) {
                continue;
            }
            let key = DataKey::fresh();
            let wrapped = self.masters.wrap(&of_owner(&keys.workspace, owner), &key)?;
            rows.push(args![
                &keys.workspace,
                owner.to_string(),
                Bytes::from(wrapped)
            ]);
            made.insert(owner, key);
        }
        if rows.is_empty() {
            return Ok(());
        }
        for row in tx.insert_many_returning(&MAKE, rows).await? {
            let owner = owner(&row, 0)?;
            if let Some(key) = made.remove(&owner) {
                keys.held.insert(owner, key);
                keys.fresh.push(owner);
            }
        }
        Ok(())
    }

    /// After the commit of the write that added them.
    pub fn committed(&self, keys: &Keys) {
        let held = keys
            .fresh
            .iter()
            .filter_map(|o| Some((o, keys.held.get(o)?)));
        for (owner, key) in held {
            self.held.insert(keys.slot(*owner), key.clone());
        }
    }

    /// Destroys the keys of some owners inside a write; [`KeyRing::forget`] them after
    /// its commit.
    pub async fn destroy(
        &self,
        tx: &mut Tx,
        workspace: &str,
        owners: &[Uuid],
    ) -> Result<(), Error> {
        // Overwritten before it is deleted, so that no page keeps the old row by chance.
        const OVERWRITE: &str = "update data_keys set wrapped = $3 \
             where workspace = $1 and owner in list($2)";
        const DELETE: &str = "delete from data_keys where workspace = $1 and owner in list($2)";
        let owners: Vec<_> = owners.iter().map(Uuid::to_string).collect();
        // As long as a wrapped key, so that it takes the very place.
        let nothing = Bytes::from(vec![0; WRAPPED_LEN]);
        tx.execute(OVERWRITE, args![workspace, owners.clone(), nothing])
            .await?;
        tx.execute(DELETE, args![workspace, owners]).await.map(drop)
    }

    pub fn forget(&self, workspace: &Arc<str>, owners: impl IntoIterator<Item = Uuid>) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let keys = self.none(workspace);
        for owner in owners {
            self.held.remove(&keys.slot(owner));
        }
    }

    /// Adds the keys of those owners whose keys are in memory.
    pub fn take(&self, keys: &mut Keys, owners: impl IntoIterator<Item = Uuid>) {
        self.take_held(keys, owners);
    }

    /// Takes what memory has; says which are missing, each once.
    fn take_held(&self, keys: &mut Keys, owners: impl IntoIterator<Item = Uuid>) -> Vec<String> {
        let mut missing = Vec::new();
        for owner in owners {
            if keys.has(owner) {
                continue;
            }
            match self.held.get(&keys.slot(owner)) {
                Some(key) => drop(keys.held.insert(owner, key)),
                None => missing.push(owner.to_string()),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn take_rows(&self, keys: &mut Keys, rows: &[Row]) -> Result<(), Error> {
        for row in rows {
            let owner = owner(row, 0)?;
            let wrapped: Bytes = row.get(1)?;
            let key = self
                .masters
                .unwrap(&of_owner(&keys.workspace, owner), &wrapped)?;
            keys.held.insert(owner, key);
            keys.fresh.push(owner);
        }
        Ok(())
    }

    /// Keeps what was read, unless a key was destroyed since.
    fn remember(&self, keys: &Keys, generation: u64) {
        if self.generation.load(Ordering::Acquire) == generation {
            self.committed(keys);
        }
    }
}

/// Master's id, version, nonce, key, tag.
const WRAPPED_LEN: usize = 8 + 1 + 12 + 32 + 16;

const READ: &str = "select owner, wrapped from data_keys \
     where workspace = $1 and owner in list($2)";

/// What a wrapped key is bound to.
pub(crate) fn of_owner(workspace: &str, owner: Uuid) -> Vec<u8> {
    [
        &b"key"[..],
        &[0],
        workspace.as_bytes(),
        &[0],
        owner.as_bytes(),
    ]
    .concat()
}

/// What a wrapped secret is bound to.
pub(crate) fn of_secret(name: &str) -> Vec<u8> {
    [b"secret", &[0][..], name.as_bytes()].concat()
}

pub(crate) fn owner(row: &Row, index: usize) -> Result<Uuid, Error> {
    let text: String = row.get(index)?;
    Uuid::try_parse(&text).map_err(|_| Error::Column {
        index,
        expected: "the id of a key's owner",
        found: "other text".to_owned(),
    })
}

async fn index(database: &Database, masters: &Masters) -> Result<Index, Error> {
    const PUT: &str = "insert into vault_secrets (name, wrapped) values ($1, $2) \
         on conflict do nothing";
    const GET: &str = "select wrapped from vault_secrets where name = $1";
    let found = database.fetch_optional(GET, args![INDEX]).await?;
    let row = match found {
        Some(row) => Some(row),
        None => {
            let wrapped = Bytes::from(masters.wrap(&of_secret(INDEX), &DataKey::fresh())?);
            database
                .write(move |tx: &mut Tx| {
                    let wrapped = wrapped.clone();
                    Box::pin(async move {
                        tx.execute(PUT, args![INDEX, wrapped]).await?;
                        // That of another process, where one was first.
                        tx.fetch_optional(GET, args![INDEX]).await
                    })
                })
                .await?
        }
    };
    let row = row.ok_or_else(|| sealed_column("missing"))?;
    let secret = masters.unwrap(&of_secret(INDEX), &row.get::<Bytes>(0)?)?;
    Ok(Index::new(*secret.bytes()))
}
