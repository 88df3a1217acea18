//! What each workspace declares, compiled and held for writers and readers alike. A
//! writer names the revision it got with its turn, so it never works by declarations
//! older than its transaction; readers take what is held, which other processes' edits
//! reach within a poll of the log. Never decides what may be declared.

use std::sync::Arc;

use attune_storage::{
    Database,
    resources::{self, PageRequest, Resource, Table},
};
use futures::future::BoxFuture;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use super::{Service, Shared, schema::Schema};
use crate::{
    Error,
    domain::purposes::{DefaultConsent, Purposes, TraitTerms},
    store::{self, purposes},
};

/// What one workspace declares.
#[derive(Debug, Clone)]
pub struct Declarations {
    /// Of the database when this was read.
    pub revision: i64,
    pub schema: Arc<Schema>,
    pub purposes: Purposes,
}

impl Declarations {
    /// What has not changed since `held` was read is taken from it.
    async fn read(
        database: &Database,
        workspace: &Arc<str>,
        revision: i64,
        held: Option<&Self>,
        default_consent: DefaultConsent,
    ) -> Result<Self, Error> {
        let schema = held.map(|held| &held.schema);
        let schema = Schema::read(database, workspace, schema).await?;
        let stored = purposes::all(database, workspace).await?;
        let terms = schema.traits.iter().map(|(trait_id, declared)| TraitTerms {
            trait_id,
            purpose: &declared.purpose,
            sensitive: declared.sensitive,
        });
        Ok(Self {
            revision,
            purposes: Purposes::new(&stored, terms, default_consent),
            schema,
        })
    }
}

/// All resources of a kind in a workspace.
pub async fn all<R: Resource>(
    database: &Database,
    workspace: &str,
) -> Result<Vec<R>, resources::Error> {
    let table = Table::<R>::new(database);
    let mut all = Vec::new();
    let mut page = PageRequest {
        page_size: 1_000,
        page_token: String::new(),
    };
    loop {
        let read = table.list(workspace, &page).await?;
        all.extend(read.resources);
        page.page_token = read.next_page_token;
        if page.page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// The declarations of all workspaces in use.
#[derive(Debug)]
pub struct Declared {
    default_consent: DefaultConsent,
    held: RwLock<FxHashMap<Arc<str>, Arc<Declarations>>>,
    /// The newest revision that this process heard of.
    newest: RwLock<i64>,
}

impl Declared {
    pub fn new(default_consent: DefaultConsent) -> Self {
        Self {
            default_consent,
            held: RwLock::default(),
            newest: RwLock::default(),
        }
    }

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
        workspace: &str,
    ) -> Result<Arc<Declarations>, Error> {
        let newest = *self.newest.read();
        let held = self.held.read().get(workspace).cloned();
        match held {
            Some(held) if held.revision >= newest => Ok(held),
            _ => self.read(database, &Arc::from(workspace), newest).await,
        }
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
        let before = self.held.read().get(workspace).cloned();
        let (before, default) = (before.as_deref(), self.default_consent);
        let read = Declarations::read(database, workspace, revision, before, default).await?;
        let read = Arc::new(read);
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

impl Service {
    /// Makes an edit of what is declared, in the writer's turn: it shares its
    /// transaction with no batch of messages, which would work by what is not committed
    /// yet. This process knows of it before the caller does.
    pub async fn declare<T, F>(&self, edit: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Shared>) -> BoxFuture<'static, Result<T, resources::Error>> + Send + 'static,
    {
        self.in_turn(move |shared| {
            Box::pin(async move {
                let edited = edit(shared.clone()).await?;
                let revision = store::revision(&shared.database).await?;
                shared.declared.raise(revision);
                Ok(edited)
            })
        })
        .await
    }
}
