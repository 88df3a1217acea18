//! SQL for workspaces and keys. Knows nothing of gRPC and never sees a key's secret.
//! Every query is scoped by workspace but those that find a key, which is what tells the
//! workspace, those over the list of workspaces itself, and that for the one key which
//! signs all subject tokens.

use attune_rpc::Workspace;
use attune_storage::{Database, Error, Row, Tx, args};

use crate::domain::key::{KeyHash, Scopes};

/// A key as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredKey {
    pub workspace: String,
    pub api_key_id: String,
    pub hash: KeyHash,
    pub display_name: String,
    pub scopes: Scopes,
    pub requests_per_second_max: u32,
    pub create_ms: i64,
}

/// A workspace as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWorkspace {
    pub workspace: String,
    pub display_name: String,
    pub create_ms: i64,
}

#[derive(Clone)]
pub struct Store(Database);

impl Store {
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Counts the changes of all keys.
    pub async fn key_version(&self) -> Result<i64, Error> {
        const VERSION: &str = "select version from key_version where id = 1";
        let row = self.0.fetch_optional(VERSION, args![]).await?;
        row.map_or(Ok(0), |row| row.get(0))
    }

    /// The secret of a name: the stored one, or `fresh` if there was none. Replicas that
    /// start at once agree on one.
    pub async fn secret_or(&self, name: &'static str, fresh: Vec<u8>) -> Result<Vec<u8>, Error> {
        const PUT: &str =
            "insert into secret_keys (name, value) values ($1, $2) on conflict do nothing";
        const GET: &str = "select value from secret_keys where name = $1";
        self.0
            .write(move |tx: &mut Tx| {
                let fresh = fresh.clone();
                Box::pin(async move {
                    tx.execute(PUT, args![name, fresh.clone()]).await?;
                    let row = tx.fetch_optional(GET, args![name]).await?;
                    row.map_or(Ok(fresh), |row| row.get(0))
                })
            })
            .await
    }

    /// Every key of every workspace.
    pub async fn all_keys(&self) -> Result<Vec<StoredKey>, Error> {
        const ALL: &str = "select workspace, api_key_id, hash, display_name, scopes, \
             requests_per_second_max, create_ms from api_keys order by workspace, api_key_id";
        let rows = self.0.fetch_all(ALL, args![]).await?;
        rows.iter().map(read_key).collect()
    }

    pub async fn keys_after(
        &self,
        workspace: &Workspace,
        after: String,
        limit: i32,
    ) -> Result<Vec<StoredKey>, Error> {
        const PAGE: &str = "select workspace, api_key_id, hash, display_name, scopes, \
             requests_per_second_max, create_ms from api_keys \
             where workspace = $1 and api_key_id > $2 order by api_key_id limit $3";
        let args = args![workspace.as_str(), after, limit];
        let rows = self.0.fetch_all(PAGE, args).await?;
        rows.iter().map(read_key).collect()
    }

    pub async fn add_key(&self, key: StoredKey) -> Result<(), Error> {
        self.0
            .write(move |tx: &mut Tx| {
                let key = key.clone();
                Box::pin(async move { insert_key(tx, key).await })
            })
            .await
    }

    /// False if there is no such key.
    pub async fn delete_key(&self, workspace: &Workspace, id: &str) -> Result<bool, Error> {
        const DELETE: &str = "delete from api_keys where workspace = $1 and api_key_id = $2";
        let (workspace, id) = (workspace.clone(), id.to_owned());
        self.0
            .write(move |tx: &mut Tx| {
                let args = args![workspace.as_str(), id.clone()];
                Box::pin(async move {
                    let deleted = tx.execute(DELETE, args).await? > 0;
                    if deleted {
                        count_change(tx).await?;
                    }
                    Ok(deleted)
                })
            })
            .await
    }

    /// Makes a workspace and its first key together; false if it exists.
    pub async fn add_workspace(
        &self,
        workspace: StoredWorkspace,
        key: StoredKey,
    ) -> Result<bool, Error> {
        self.0
            .write(move |tx: &mut Tx| {
                let (workspace, key) = (workspace.clone(), key.clone());
                Box::pin(async move {
                    let added = insert_workspace(tx, workspace).await?;
                    if added {
                        insert_key(tx, key).await?;
                    }
                    Ok(added)
                })
            })
            .await
    }

    /// Makes the workspace if it is missing and gives it this key, in the place of one
    /// with the same id. Changes nothing where all is as it should be.
    pub async fn bootstrap(
        &self,
        workspace: StoredWorkspace,
        key: Option<StoredKey>,
    ) -> Result<(), Error> {
        const CURRENT: &str = "select hash from api_keys where workspace = $1 and api_key_id = $2";
        const DELETE: &str =
            "delete from api_keys where (workspace = $1 and api_key_id = $2) or hash = $3";
        self.0
            .write(move |tx: &mut Tx| {
                let (workspace, key) = (workspace.clone(), key.clone());
                Box::pin(async move {
                    insert_workspace(tx, workspace).await?;
                    let Some(key) = key else { return Ok(()) };
                    let place = args![key.workspace.clone(), key.api_key_id.clone()];
                    let current = tx.fetch_optional(CURRENT, place.clone()).await?;
                    if current.map(|row| read_hash(&row, 0)).transpose()? == Some(key.hash) {
                        return Ok(());
                    }
                    let mut args = place;
                    args.extend(args![key.hash.0.as_slice()]);
                    tx.execute(DELETE, args).await?;
                    insert_key(tx, key).await
                })
            })
            .await
    }

    pub async fn workspaces_after(
        &self,
        after: String,
        limit: i32,
    ) -> Result<Vec<StoredWorkspace>, Error> {
        const PAGE: &str = "select workspace, display_name, create_ms from workspaces \
             where workspace > $1 order by workspace limit $2";
        let rows = self.0.fetch_all(PAGE, args![after, limit]).await?;
        let read = |row: &Row| {
            Ok(StoredWorkspace {
                workspace: row.get(0)?,
                display_name: row.get(1)?,
                create_ms: row.get(2)?,
            })
        };
        rows.iter().map(read).collect()
    }
}

async fn insert_key(tx: &mut Tx, key: StoredKey) -> Result<(), Error> {
    const INSERT: &str = "insert into api_keys (workspace, api_key_id, hash, display_name, \
         scopes, requests_per_second_max, create_ms) values ($1, $2, $3, $4, $5, $6, $7)";
    let args = args![
        key.workspace,
        key.api_key_id,
        key.hash.0.as_slice(),
        key.display_name,
        key.scopes.bits(),
        key.requests_per_second_max,
        key.create_ms
    ];
    tx.execute(INSERT, args).await?;
    count_change(tx).await
}

/// False if it exists.
async fn insert_workspace(tx: &mut Tx, workspace: StoredWorkspace) -> Result<bool, Error> {
    const INSERT: &str = "insert into workspaces (workspace, display_name, create_ms) \
         values ($1, $2, $3) on conflict (workspace) do nothing";
    let args = args![
        workspace.workspace,
        workspace.display_name,
        workspace.create_ms
    ];
    Ok(tx.execute(INSERT, args).await? > 0)
}

async fn count_change(tx: &mut Tx) -> Result<(), Error> {
    const COUNT: &str = "update key_version set version = version + 1 where id = 1";
    tx.execute(COUNT, args![]).await.map(drop)
}

fn read_key(row: &Row) -> Result<StoredKey, Error> {
    let rate: i64 = row.get(5)?;
    Ok(StoredKey {
        workspace: row.get(0)?,
        api_key_id: row.get(1)?,
        hash: read_hash(row, 2)?,
        display_name: row.get(3)?,
        scopes: Scopes::from_bits(row.get(4)?),
        requests_per_second_max: u32::try_from(rate).unwrap_or(0),
        create_ms: row.get(6)?,
    })
}

fn read_hash(row: &Row, index: usize) -> Result<KeyHash, Error> {
    let bytes: Vec<u8> = row.get(index)?;
    let hash = bytes.try_into().map_err(|bytes: Vec<u8>| Error::Column {
        index,
        expected: "a hash of 32 bytes",
        found: format!("{} bytes", bytes.len()),
    })?;
    Ok(KeyHash(hash))
}
