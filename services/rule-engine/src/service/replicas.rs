//! The rule base as the database has it: read at the start, and again whenever another
//! replica has changed it.

use std::{sync::Arc, time::Duration};

use attune_api::rules::v1::{Placement, Rule, Strategy};
use attune_rpc::{Slept, Tasks};
use attune_storage::{
    Database, Error, Tx,
    resources::{self, Resource, Table},
};

use super::{
    rules::{Part, Rules},
    workspace::{State, Workspaces},
};
use crate::store;

const POLL_EVERY: Duration = Duration::from_secs(1);

/// Reads everything, once, at the start.
pub async fn load(
    database: &Database,
    rules: &Rules,
    workspaces: &Workspaces,
) -> Result<(), resources::Error> {
    // Before the resources: what changes meanwhile is then read again.
    let revisions = store::revisions::all(database).await?;
    install_all(&rules.strategies, workspaces).await?;
    install_all(&rules.placements, workspaces).await?;
    install_rules(database, workspaces).await?;
    for (workspace, revision) in revisions {
        let state = workspaces.get_or_add(&workspace);
        state.parts.lock().revision = revision;
    }
    for state in workspaces.all() {
        state.assemble();
    }
    Ok(())
}

/// Follows the revisions until it is time to stop. For databases that others may
/// write to.
pub async fn follow(tasks: Tasks, database: Database, workspaces: Arc<Workspaces>) {
    while tasks.sleep(POLL_EVERY).await == Slept::Through {
        if let Err(error) = poll(&database, &workspaces).await {
            tracing::warn!(%error, "the rule base could not be compared with the database");
        }
    }
}

async fn poll(database: &Database, workspaces: &Workspaces) -> Result<(), Error> {
    for (workspace, revision) in store::revisions::all(database).await? {
        let state = workspaces.get_or_add(&workspace);
        // Memory may be ahead, by what was committed since the query.
        let is_behind = state.parts.lock().revision < revision;
        if is_behind {
            reload(database, &workspace, workspaces).await?;
        }
    }
    Ok(())
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

async fn install_rules(database: &Database, workspaces: &Workspaces) -> Result<(), Error> {
    let (mut workspace, mut rule_id) = (Arc::<str>::from(""), String::new());
    loop {
        let page = store::rules::published_after(database, &workspace, &rule_id).await?;
        let Some((last_workspace, last_id, _)) = page.last() else {
            return Ok(());
        };
        (workspace, rule_id) = (Arc::clone(last_workspace), last_id.clone());
        for (workspace, _, rule) in &page {
            install_rule(&workspaces.get_or_add(workspace), rule.as_ref());
        }
    }
}

/// One that cannot be read was told of where it was read.
fn install_rule(state: &State, rule: Option<&Rule>) {
    if let Some(rule) = rule {
        let mut parts = state.parts.lock();
        parts.put_stored_rule(rule, &mut state.items.write());
    }
}

/// The rule base of a workspace as one transaction sees it.
struct Everything {
    revision: i64,
    strategies: Vec<Strategy>,
    placements: Vec<Placement>,
    rules: Vec<Rule>,
}

/// Reads one workspace anew. Through the queue of writes, because edits made here take
/// effect in memory in the order of that queue, and none can slip in between.
pub async fn reload(
    database: &Database,
    workspace: &Arc<str>,
    workspaces: &Workspaces,
) -> Result<(), Error> {
    let state = workspaces.get_or_add(workspace);
    let workspace = Arc::clone(workspace);
    database
        .write_then(
            move |tx: &mut Tx| {
                let workspace = Arc::clone(&workspace);
                Box::pin(async move {
                    Ok::<Everything, Error>(Everything {
                        revision: store::revisions::get(tx, &workspace).await?,
                        strategies: read_all(tx, &workspace).await?,
                        placements: read_all(tx, &workspace).await?,
                        rules: read_rules(tx, &workspace).await?,
                    })
                })
            },
            move |everything: &Everything| {
                state.parts.lock().clear();
                for strategy in &everything.strategies {
                    Strategy::install(&state, strategy.id(), Some(strategy));
                }
                for placement in &everything.placements {
                    Placement::install(&state, placement.id(), Some(placement));
                }
                for rule in &everything.rules {
                    install_rule(&state, Some(rule));
                }
                state.parts.lock().revision = everything.revision;
                state.assemble();
            },
        )
        .await
        .map(drop)
}

async fn read_rules(tx: &mut Tx, workspace: &Arc<str>) -> Result<Vec<Rule>, Error> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = store::rules::published_within(tx, workspace, &after).await?;
        let Some((last, _)) = page.last() else {
            return Ok(all);
        };
        after.clone_from(last);
        all.extend(page.into_iter().filter_map(|(_, rule)| rule));
    }
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
