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

use super::{Service, Shared, derive::Nobody, schema::Schema};
use crate::{
    Error,
    domain::{
        derive::{Definition, Derived, Name, Rule},
        purposes::{DefaultConsent, Purposes, TraitTerms},
        segments::Segments,
    },
    store::{self, purposes},
};

/// What one workspace declares.
#[derive(Debug, Clone)]
pub struct Declarations {
    /// Of the database when this was read.
    pub revision: i64,
    pub schema: Arc<Schema>,
    pub purposes: Purposes,
    pub segments: Arc<Segments>,
    /// Of the segments and the computed traits.
    pub derived: Arc<Derived>,
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
        let schema = Schema::read(database, workspace, held.map(|h| &h.schema)).await?;
        let since = held.map_or(0, |held| held.revision);
        let changed = store::segments::changed_since(database, workspace, since).await?;
        let stored = purposes::all(database, workspace).await?;
        let terms = schema.traits.iter().map(|(trait_id, declared)| TraitTerms {
            trait_id,
            purpose: &declared.purpose,
            sensitive: declared.sensitive,
        });
        let purposes = Purposes::new(&stored, terms, default_consent);
        let (segments, derived) = match held {
            Some(held) if changed.is_empty() && Arc::ptr_eq(&schema, &held.schema) => {
                (held.segments.clone(), held.derived.clone())
            }
            _ => {
                let before = held.map(|held| held.segments.clone()).unwrap_or_default();
                let segments = before.with(changed);
                let derived = derived(workspace, &schema, &segments, &purposes);
                (Arc::new(segments), Arc::new(derived))
            }
        };
        let purposes = purposes.with_conclusions(&derived);
        Ok(Self {
            revision,
            purposes,
            schema,
            segments,
            derived,
        })
    }
}

fn derived(workspace: &str, schema: &Schema, segments: &Segments, purposes: &Purposes) -> Derived {
    let computed = schema.traits.iter().filter_map(|(id, declared)| {
        Some(Definition {
            name: Name::Trait(id.as_str().into()),
            rule: Rule::Expression(declared.computed.clone()?),
        })
    });
    let nobody = Nobody {
        purposes,
        now_ms: attune_api::time::now_ms(),
    };
    let definitions = computed.chain(segments.definitions()).collect();
    let needed = |trait_id: &str| schema.traits.purposes_of(trait_id);
    let (derived, cycles) = Derived::new(definitions, &needed, &nobody);
    for cycle in cycles {
        tracing::error!(%workspace, %cycle, "what leads back to itself is not derived");
    }
    derived
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
                shared.fills.wake();
                Ok(edited)
            })
        })
        .await
    }
}
