//! Finds what a batch needs to know before it can be decided: which messages were seen,
//! who holds which identifier, and which profiles live. Asks memory first where memory
//! is known to be true, and the database for the rest, in bulk.

use std::sync::Arc;

use attune_storage::Tx;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Shared, ingest::Submission};
use crate::{
    Error,
    domain::{Identity, Kind, Message, ProfileId, Who, linking::Directory},
    store::{codec::Seals, identities, profiles, timeline},
};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub directory: Directory,
    /// By message id, whose it is; filled up as messages are decided.
    pub seen: FxHashMap<Arc<str>, ProfileId>,
    /// Whether a living profile may be used for personalization.
    pub allowed: FxHashMap<ProfileId, bool>,
    /// Whether it is a known customer.
    pub known: FxHashMap<ProfileId, bool>,
}

pub async fn look_up<'a>(
    shared: &Shared,
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    submissions: impl Iterator<Item = &'a Submission>,
) -> Result<Found, Error> {
    let messages: Vec<_> = submissions.flat_map(|s| &s.messages).collect();
    let mut found = Found::default();
    let ids = messages.iter().map(|m| m.id.clone());
    found.seen = timeline::seen(tx, seals, workspace, ids).await?;
    let mut wanted = find_holders(shared, tx, seals, workspace, &messages, &mut found).await?;
    wanted.extend(messages.iter().filter_map(|m| match m.who {
        Who::Profile(id) => Some(id),
        Who::Identities(_) => None,
    }));
    find_profiles(shared, tx, workspace, wanted, &mut found).await?;
    Ok(found)
}

/// For a change of people by their ids, which may be of merged ones.
pub async fn people(
    shared: &Shared,
    tx: &mut Tx,
    workspace: &Arc<str>,
    ids: &[ProfileId],
) -> Result<Found, Error> {
    let mut found = Found::default();
    let wanted = ids.iter().copied().collect();
    find_profiles(shared, tx, workspace, wanted, &mut found).await?;
    Ok(found)
}

/// The identities a message names.
fn identities_of(message: &Message) -> impl Iterator<Item = &Identity> {
    let named = match &message.who {
        Who::Identities(identities) => identities.as_slice(),
        Who::Profile(_) => &[],
    };
    let previous = match &message.kind {
        Kind::Alias { previous } => Some(previous),
        _ => None,
    };
    named.iter().chain(previous)
}

/// Ids of the profiles that hold them.
async fn find_holders(
    shared: &Shared,
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    messages: &[&Message],
    found: &mut Found,
) -> Result<FxHashSet<ProfileId>, Error> {
    let mut holders = FxHashSet::default();
    let mut asked = FxHashSet::default();
    // By what it is found by in the database.
    let mut missing: FxHashMap<String, &Arc<str>> = FxHashMap::default();
    let unseen = messages.iter().filter(|m| !found.seen.contains_key(&m.id));
    for identity in unseen.flat_map(|m| identities_of(m)) {
        if !asked.insert(identity.key()) {
            continue;
        }
        // Where others write too, somebody may have been erased, and their identifier
        // be somebody else's by now.
        let held = match shared.database.is_embedded() {
            true => shared
                .memory
                .holder(shared.memory.identity_key(workspace, identity)),
            false => None,
        };
        match held {
            Some(Some(profile_id)) => {
                found
                    .directory
                    .add_holder(identity.key().clone(), profile_id);
                holders.insert(profile_id);
            }
            _ => drop(missing.insert(seals.identity_key(identity), identity.key())),
        }
    }
    let keys = missing.keys().cloned().collect();
    for (key, profile_id) in identities::holders(tx, workspace, keys).await? {
        if let Some(identity) = missing.get(&key) {
            found.directory.add_holder(Arc::clone(identity), profile_id);
            holders.insert(profile_id);
        }
    }
    Ok(holders)
}

async fn find_profiles(
    shared: &Shared,
    tx: &mut Tx,
    workspace: &Arc<str>,
    wanted: FxHashSet<ProfileId>,
    found: &mut Found,
) -> Result<(), Error> {
    let mut missing = Vec::new();
    for profile_id in wanted {
        let hot = match shared.database.is_embedded() {
            true => shared
                .memory
                .profile(shared.memory.profile_key(workspace, profile_id)),
            false => None,
        };
        match hot {
            Some(hot) => found.add(profile_id, hot.known, hot.allowed),
            None => missing.push(profile_id),
        }
    }
    // A second round for those that merged ids lead to; there is no third, since no id
    // leads to a merged one.
    for _ in 0..2 {
        let mut survivors = Vec::new();
        for standing in profiles::standings(tx, workspace, &missing).await? {
            match standing.merged_into {
                Some(survivor) => {
                    found.directory.add_merged(standing.profile_id, survivor);
                    survivors.push(survivor);
                }
                None => {
                    let allowed = shared.default_consent().allows(standing.personalization);
                    found.add(standing.profile_id, standing.known, allowed);
                }
            }
        }
        survivors.retain(|id| !found.known.contains_key(id));
        missing = survivors;
    }
    Ok(())
}

impl Found {
    fn add(&mut self, profile_id: ProfileId, known: bool, allowed: bool) {
        self.directory.add_profile(profile_id, known);
        self.known.insert(profile_id, known);
        self.allowed.insert(profile_id, allowed);
    }
}
