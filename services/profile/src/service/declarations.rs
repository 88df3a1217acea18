//! What each workspace declares, compiled and held for writers and readers alike. A
//! writer names the revision it got with its turn, so it never works by declarations
//! older than its transaction; readers take what is held, which other processes' edits
//! reach within a poll of the log. Never decides what may be declared.

use std::sync::Arc;

use attune_storage::Database;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use crate::Error;

/// What one workspace declares.
#[derive(Debug, Clone, Default)]
pub struct Declarations {
    /// Of the database when this was read.
    pub revision: i64,
}

impl Declarations {
    async fn read(_database: &Database, _workspace: &str, revision: i64) -> Result<Self, Error> {
        Ok(Self { revision })
    }
}

/// The declarations of all workspaces in use.
#[derive(Debug, Default)]
pub struct Declared {
    held: RwLock<FxHashMap<Arc<str>, Arc<Declarations>>>,
    /// The newest revision that this process heard of.
    newest: RwLock<i64>,
}

impl Declared {
    /// Those of the revision, or newer. Call it inside a write with the turn's revision.
    pub async fn at(
        &self,
        database: &Database,
        workspace: &Arc<str>,
        revision: i64,
    ) -> Result<Arc<Declarations>, Error> {
        let held = self.held.read().get(workspace).cloned();
        match held {
            Some(held) if held.revision >= revision => Ok(held),
            _ => self.read(database, workspace, revision).await,
        }
    }

    /// Those that this process knows to be the newest.
    pub async fn current(
        &self,
        database: &Database,
        workspace: &Arc<str>,
    ) -> Result<Arc<Declarations>, Error> {
        let newest = *self.newest.read();
        self.at(database, workspace, newest).await
    }

    /// Hears that something was declared, here or elsewhere.
    pub fn raise(&self, revision: i64) {
        let mut newest = self.newest.write();
        *newest = (*newest).max(revision);
    }

    async fn read(
        &self,
        database: &Database,
        workspace: &Arc<str>,
        revision: i64,
    ) -> Result<Arc<Declarations>, Error> {
        let read = Arc::new(Declarations::read(database, workspace, revision).await?);
        self.raise(revision);
        let mut held = self.held.write();
        let newer = held
            .get(workspace)
            .filter(|other| other.revision > revision)
            .cloned();
        if let Some(newer) = newer {
            return Ok(newer);
        }
        held.insert(workspace.clone(), read.clone());
        Ok(read)
    }
}
