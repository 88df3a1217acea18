//! Editing the rule base: placements, strategies and rules. An edit is checked against
//! the rule base in memory, committed only if that is still what the database has, and
//! in force in memory when the caller is answered.

mod check;
mod declared;
mod edit;
mod learn;

mod part;
mod read;
mod trial;
mod written;

use std::sync::Arc;

use attune_api::rules::v1::{Placement, Strategy};
use attune_rpc::{Caller, Channel};
use attune_storage::{
    Database,
    resources::{Error, Missing, Page, PageRequest, Table},
};
use prost_types::FieldMask;

use super::workspace::Workspaces;
pub use declared::Declared;
use declared::Profile;
pub use edit::Wanted;
use learn::Catalog;
pub use part::{Part, Vocabularies};
pub use read::RuleFilter;
pub use trial::{Drafts, Trial};

/// What people edit here.
pub struct Rules {
    pub placements: Table<Placement>,
    pub strategies: Table<Strategy>,
    database: Database,
    workspaces: Arc<Workspaces>,
    catalog: Catalog,
    profile: Profile,
}

impl Rules {
    pub fn new(database: &Database, workspaces: &Arc<Workspaces>) -> Self {
        Self {
            placements: part::table(database, workspaces),
            strategies: part::table(database, workspaces),
            database: database.clone(),
            workspaces: Arc::clone(workspaces),
            catalog: Catalog::default(),
            profile: Profile::default(),
        }
    }

    /// From now on the catalog and the profile service can be asked.
    pub fn connect(&self, catalog: Channel, profile: Channel) {
        self.catalog.connect(catalog);
        self.profile.connect(profile);
    }

    pub async fn create<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        resource: P,
    ) -> Result<P, Error> {
        let state = self.workspaces.get_or_add(caller.workspace.as_str());
        let _turn = state.editing.lock().await;
        self.learn(caller, &state, &resource).await?;
        table.create(&state.name, resource).await
    }

    pub async fn update<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        resource: P,
        mask: Option<FieldMask>,
        missing: Missing,
    ) -> Result<P, Error> {
        let state = self.workspaces.get_or_add(caller.workspace.as_str());
        let _turn = state.editing.lock().await;
        self.learn(caller, &state, &resource).await?;
        table.update(&state.name, resource, mask, missing).await
    }

    pub async fn delete<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        id: &str,
        etag: &str,
    ) -> Result<P, Error> {
        let state = self.workspaces.get_or_add(caller.workspace.as_str());
        let _turn = state.editing.lock().await;
        table.delete(&state.name, id, etag).await
    }

    pub async fn list<P: Part>(
        &self,
        table: &Table<P>,
        caller: &Caller,
        request: &PageRequest,
    ) -> Result<Page<P>, Error> {
        table.list(caller.workspace.as_str(), request).await
    }

    async fn learn<P: Part>(
        &self,
        caller: &Caller,
        state: &super::workspace::State,
        resource: &P,
    ) -> Result<(), Error> {
        let expressions = resource.item_expressions();
        self.catalog.learn_names(caller, state, &expressions).await;
        self.profile.learn(caller, state, &expressions).await;
        let ids = resource.item_ids();
        self.catalog.learn_items(caller, state, &ids).await
    }
}
