//! Finds what may keep people from becoming one, and what makes them one already, of those
//! whom a batch may bring together. Most batches bring nobody together, and ask nothing.

use std::sync::Arc;

use attune_storage::Tx;
use quick_cache::sync::Cache;
use rustc_hash::FxHashMap;

use super::{Shared, lookup::Found};
use crate::{
    Error,
    domain::{ProfileId, linking::Group, merge::Between},
    memory::Key,
    store::{identities, merges},
};

/// Two profiles of one person of which it is known that naming them together adds nothing,
/// so that it is not looked up with every message of somebody with two devices. Forgotten
/// where a merge is undone. What is forgotten costs a look-up.
pub struct Settled(Cache<Key, ()>);

impl Default for Settled {
    fn default() -> Self {
        Self(Cache::new(Self::PAIRS_MAX))
    }
}

impl Settled {
    /// A few megabytes.
    const PAIRS_MAX: usize = 65_536;

    pub fn forget_all(&self) {
        self.0.clear();
    }
}

/// Looks up what the groups of a batch need, once their people are known.
pub async fn find(
    shared: &Shared,
    tx: &mut Tx,
    workspace: &Arc<str>,
    found: &mut Found,
    groups: Vec<Group>,
) -> Result<(), Error> {
    find_counts(shared, tx, workspace, found, &groups).await?;
    find_apart(tx, workspace, found).await?;
    find_ties(shared, tx, workspace, found, &groups).await?;
    found.pairs = groups.into_iter().flat_map(|group| group.pairs).collect();
    Ok(())
}

/// How many identifiers of which namespace they hold who may come to its bound.
async fn find_counts(
    shared: &Shared,
    tx: &mut Tx,
    workspace: &Arc<str>,
    found: &mut Found,
    groups: &[Group],
) -> Result<(), Error> {
    let max = u64::from(shared.config.identity.namespace_identities_max);
    let many = groups.iter().filter(|group| group.identities > max);
    let many: Vec<_> = many.collect();
    if many.is_empty() {
        return Ok(());
    }
    let people = many.iter().flat_map(|group| &group.people);
    let people: Vec<_> = people.copied().collect();
    found.directory.count_all_of(&people);
    for (id, namespace, count) in identities::counts(tx, workspace, &people).await? {
        found.directory.add_count(id, &namespace, count);
    }
    Ok(())
}

async fn find_apart(tx: &mut Tx, workspace: &Arc<str>, found: &mut Found) -> Result<(), Error> {
    let standings = found.directory.standings();
    let apart = standings.filter(|(_, standing)| standing.apart);
    let apart: Vec<_> = apart.map(|(profile_id, _)| profile_id).collect();
    for (one, other) in merges::kept_apart(tx, workspace, &apart).await? {
        found.directory.add_apart(one, other);
    }
    Ok(())
}

async fn find_ties(
    shared: &Shared,
    tx: &mut Tx,
    workspace: &Arc<str>,
    found: &mut Found,
    groups: &[Group],
) -> Result<(), Error> {
    let wanted = untold(shared, workspace, found, groups);
    if wanted.is_empty() {
        return Ok(());
    }
    let mut ties: FxHashMap<ProfileId, Vec<Between>> = FxHashMap::default();
    for (living, tie) in merges::ties(tx, workspace, &wanted).await? {
        ties.entry(living).or_default().push(tie.between());
    }
    for living in &wanted {
        let ties = ties.remove(living).unwrap_or_default();
        found.directory.add_tied(*living, ties, []);
    }
    for (living, origin) in merges::customers(tx, workspace, &wanted).await? {
        found.directory.add_tied(living, [], [origin]);
    }
    Ok(())
}

/// People of several profiles to whose ties the batch may add.
fn untold(
    shared: &Shared,
    workspace: &Arc<str>,
    found: &Found,
    groups: &[Group],
) -> Vec<ProfileId> {
    let settled = |between: &Between| {
        let key = shared.memory.pair_key(workspace, *between);
        shared.settled.0.get(&key).is_some()
    };
    let unsettled = groups
        .iter()
        .filter(|group| group.people.len() > 1 || group.adds || !group.pairs.iter().all(settled));
    let people = unsettled.flat_map(|group| &group.people).copied();
    let several = |id: &ProfileId| {
        let standing = found.directory.standing(*id);
        standing.is_some_and(|standing| standing.profiles > 1)
    };
    people.filter(several).collect()
}

/// After the commit: what the batch named together adds nothing the next time.
pub fn settle(shared: &Shared, workspace: &Arc<str>, found: &Found) {
    for between in &found.pairs {
        let living = found.directory.living(between.one);
        if living.is_some_and(|living| found.directory.is_settled(living, *between)) {
            let key = shared.memory.pair_key(workspace, *between);
            shared.settled.0.insert(key, ());
        }
    }
}
