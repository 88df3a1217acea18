//! The rule base as the database has it: read at the start, and again whenever another
//! replica has changed it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use attune_api::rules::v1::{Placement, Rule, Strategy};
use attune_rpc::{Slept, Tasks};
use attune_storage::{
    Database, Error, Tx,
    resources::{self, Resource, Table},
};
use parking_lot::Mutex;

use super::{
    rules::{Part, Rules},
    workspace::Workspaces,
};
use crate::store;

const POLL_EVERY: Duration = Duration::from_secs(1);

/// Which revision of each workspace's rule base is in memory.
#[derive(Default)]
pub struct Revisions(Mutex<HashMap<Arc<str>, i64>>);

impl Revisions {
    /// Reads everything, once, at the start.
    pub async fn load(
        &self,
        database: &Database,
        rules: &Rules,
        workspaces: &Workspaces,
    ) -> Result<(), resources::Error> {
        // Before the resources: what changes meanwhile is then read again.
        let revisions = store::revisions::all(database).await?;
        install_all(&rules.strategies, workspaces).await?;
        install_all(&rules.placements, workspaces).await?;
        install_all(&rules.rules, workspaces).await?;
        for state in workspaces.all() {
            state.assemble();
        }
        *self.0.lock() = revisions;
        Ok(())
    }

    /// Follows the revisions until it is time to stop. For databases that others may
    /// write to.
    pub async fn follow(
        self: Arc<Self>,
        tasks: Tasks,
        database: Database,
        workspaces: Arc<Workspaces>,
    ) {
        while tasks.sleep(POLL_EVERY).await == Slept::Through {
            if let Err(error) = self.poll(&database, &workspaces).await {
                tracing::warn!(%error, "the rule base could not be compared with the database");
            }
        }
    }

    async fn poll(&self, database: &Database, workspaces: &Workspaces) -> Result<(), Error> {
        for (workspace, revision) in store::revisions::all(database).await? {
            let is_known = self.0.lock().get(&workspace) == Some(&revision);
            if !is_known {
                reload(database, &workspace, workspaces).await?;
                self.0.lock().insert(workspace, revision);
            }
        }
        Ok(())
    }
}

async fn install_all<P: Part>(
    table: &Table<P>,
    workspaces: &Workspaces,
) -> Result<(), resources::Error> {
    for (workspace, resource) in table.load_all().await? {
        let state = workspaces.get_or_add(&workspace);
        P::install(&state, resource.id(), Some(&resource));
    }
    Ok(())
}

/// Reads one workspace anew. Through the queue of writes, because edits made here take
/// effect in memory in the order of that queue, and none can slip in between.
async fn reload(
    database: &Database,
    workspace: &Arc<str>,
    workspaces: &Workspaces,
) -> Result<(), Error> {
    let state = workspaces.get_or_add(workspace);
    let workspace = Arc::clone(workspace);
    type Everything = (Vec<Strategy>, Vec<Placement>, Vec<Rule>);
    database
        .write_then(
            move |tx: &mut Tx| {
                let workspace = Arc::clone(&workspace);
                Box::pin(async move {
                    Ok::<Everything, Error>((
                        read_all(tx, &workspace).await?,
                        read_all(tx, &workspace).await?,
                        read_all(tx, &workspace).await?,
                    ))
                })
            },
            move |(strategies, placements, rules): &Everything| {
                state.parts.lock().clear();
                for strategy in strategies {
                    Strategy::install(&state, strategy.id(), Some(strategy));
                }
                for placement in placements {
                    Placement::install(&state, placement.id(), Some(placement));
                }
                for rule in rules {
                    Rule::install(&state, rule.id(), Some(rule));
                }
                state.assemble();
            },
        )
        .await
        .map(drop)
}

async fn read_all<R: Resource>(tx: &mut Tx, workspace: &Arc<str>) -> Result<Vec<R>, Error> {
    const ALL: &str = "select id, data from resources \
         where workspace = $1 and kind = $2 and id > $3 order by id limit 1000";
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let args = attune_storage::args![workspace, R::KIND, &after];
        let rows = tx.fetch_all(ALL, args).await?;
        let Some(last) = rows.last() else {
            return Ok(all);
        };
        after = last.get(0)?;
        for row in &rows {
            let data: Vec<u8> = row.get(1)?;
            match R::decode(data.as_slice()) {
                Ok(resource) => all.push(resource),
                Err(error) => {
                    tracing::error!(kind = R::KIND, %error, "a stored resource cannot be read");
                }
            }
        }
    }
}
