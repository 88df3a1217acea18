//! Finds what a batch needs to know before it can be decided: which messages were seen,
//! who holds which identifier, and which profiles live. Asks memory first, which is true
//! within a turn, and the database for the rest, in bulk.

use std::sync::Arc;

use attune_storage::Tx;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Shared, ingest::Submission, obstacles};
use crate::{
    Error,
    domain::{
        Identity, Kind, Message, Owner, ProfileId, Who,
        linking::{Directory, Group},
        merge::Between,
        purposes::{Learning, Purposes},
        standing::Standing,
    },
    store::{codec::Seals, identities, profiles, timeline},
};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub directory: Directory,
    /// By message id, whose it is; filled up as messages are decided.
    pub seen: FxHashMap<Arc<str>, ProfileId>,
    /// What is known of whether living profiles may be learned from.
    pub learning: FxHashMap<ProfileId, Learning>,
    /// Profiles of one person that messages name together.
    pub pairs: Vec<Between>,
}

/// For messages. `presuming` that none was seen before, where the database finds that out
/// as they are written: see [`super::presumption`].
pub async fn look_up<'a>(
    shared: &Shared,
    tx: &mut Tx,
    seals: &Seals,
    workspace: &Arc<str>,
    submissions: impl Iterator<Item = &'a Submission>,
    presuming: bool,
) -> Result<Found, Error> {
    let messages: Vec<_> = submissions.flat_map(|s| &s.messages).collect();
    let mut look = Look::new(shared, tx, workspace);
    // An id that its own table has is found out as it is written.
    let sought = |among_events: bool| {
        let sought = messages.iter().filter(move |message| {
            let is_event = matches!(message.kind, Kind::Event(_));
            !presuming || is_event != among_events
        });
        sought.map(|message| message.id.clone())
    };
    let sought = (sought(true), sought(false));
    look.found.seen = timeline::seen(look.tx, seals, workspace, sought.0, sought.1).await?;
    let unseen: Vec<_> = messages
        .iter()
        .filter(|m| !look.found.seen.contains_key(&m.id))
        .copied()
        .collect();
    look.find_owners(seals, &unseen).await?;
    let named = messages.iter().filter_map(|m| match m.who {
        Who::Profile(id) => Some(id),
        Who::Identities(_) => None,
    });
    look.find_profiles(named.collect()).await?;
    let groups = look.found.directory.groups(unseen.iter().copied());
    obstacles::find(shared, look.tx, workspace, &mut look.found, groups).await?;
    look.find_encounters(seals, &unseen).await?;
    Ok(look.found)
}

/// For a change of people by their ids, which may be of merged ones.
pub async fn people(
    shared: &Shared,
    tx: &mut Tx,
    workspace: &Arc<str>,
    ids: &[ProfileId],
) -> Result<Found, Error> {
    let mut look = Look::new(shared, tx, workspace);
    look.find_profiles(ids.iter().copied().collect()).await?;
    let mut found = look.found;
    let group = Group::of(&found.directory);
    obstacles::find(shared, tx, workspace, &mut found, vec![group]).await?;
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

/// Identities by what they are found by in the database.
type Sought = FxHashMap<String, Arc<str>>;

/// Looking up, in a writer's turn.
struct Look<'a> {
    shared: &'a Shared,
    tx: &'a mut Tx,
    workspace: &'a Arc<str>,
    found: Found,
}

impl<'a> Look<'a> {
    fn new(shared: &'a Shared, tx: &'a mut Tx, workspace: &'a Arc<str>) -> Self {
        let directory = Directory::new(shared.config.identity.bounds());
        let found = Found {
            directory,
            ..Found::default()
        };
        Self {
            shared,
            tx,
            workspace,
            found,
        }
    }

    /// Whose the identifiers are that messages name, and what is to be known of them.
    async fn find_owners(&mut self, seals: &Seals, messages: &[&Message]) -> Result<(), Error> {
        let memory = &self.shared.memory;
        let mut asked = FxHashSet::default();
        let (mut missing, mut remembered) = (Sought::default(), Vec::new());
        let mut wanted = FxHashSet::default();
        for identity in messages.iter().flat_map(|m| identities_of(m)) {
            if !asked.insert(identity.key()) {
                continue;
            }
            match memory.owner(memory.identity_key(self.workspace, identity)) {
                Some(Some(owner)) => {
                    let key = identity.key().clone();
                    self.found.directory.add_identity(key, owner);
                    wanted.insert(owner.profile_id);
                    remembered.push(identity);
                }
                _ => drop(missing.insert(seals.identity_key(identity), identity.key().clone())),
            }
        }
        self.read_owners(missing, &mut wanted).await?;
        self.find_profiles(wanted).await?;
        // Of whoever was erased memory may still say what they held; it may be somebody
        // else's by now.
        let directory = &self.found.directory;
        remembered.retain(|identity| directory.holder(identity).is_none());
        let held = remembered.into_iter();
        let again: Sought = held
            .map(|identity| (seals.identity_key(identity), identity.key().clone()))
            .collect();
        let mut wanted = FxHashSet::default();
        self.read_owners(again, &mut wanted).await?;
        self.find_profiles(wanted).await
    }

    async fn read_owners(
        &mut self,
        sought: Sought,
        wanted: &mut FxHashSet<ProfileId>,
    ) -> Result<(), Error> {
        if sought.is_empty() {
            return Ok(());
        }
        let keys = sought.keys().cloned().collect();
        for (key, owner) in identities::owners(self.tx, self.workspace, keys).await? {
            let Some(key) = sought.get(&key).cloned() else {
                continue;
            };
            self.found.directory.add_identity(key, owner);
            wanted.insert(owner.profile_id);
        }
        Ok(())
    }

    async fn find_profiles(&mut self, wanted: FxHashSet<ProfileId>) -> Result<(), Error> {
        let memory = &self.shared.memory;
        let mut missing = Vec::new();
        for profile_id in wanted {
            if self.found.learning.contains_key(&profile_id) {
                continue;
            }
            match memory.profile(memory.profile_key(self.workspace, profile_id)) {
                Some(hot) => self.found.add(profile_id, hot.standing, hot.learning),
                None => missing.push(profile_id),
            }
        }
        // A second round for those that merged ids lead to; there is no third, since no
        // id leads to a merged one.
        for _ in 0..2 {
            let mut survivors = Vec::new();
            for profile in profiles::standings(self.tx, self.workspace, &missing).await? {
                let profile_id = profile.profile_id;
                match profile.merged_into {
                    Some(survivor) => {
                        self.found.directory.add_owner(Owner {
                            profile_id: survivor,
                            origin_id: profile_id,
                        });
                        survivors.push(survivor);
                    }
                    None => {
                        let learning = Learning::Decided(profile.learning);
                        self.found.add(profile_id, profile.standing, learning);
                    }
                }
            }
            survivors.retain(|id| !self.found.learning.contains_key(id));
            missing = survivors;
        }
        Ok(())
    }

    /// Customers with whom devices were seen that are named by somebody who does not
    /// hold them.
    async fn find_encounters(&mut self, seals: &Seals, messages: &[&Message]) -> Result<(), Error> {
        let mut sought = Sought::default();
        let directory = &mut self.found.directory;
        for message in messages {
            let Who::Identities(identities) = &message.who else {
                continue;
            };
            let customer = identities.iter().find(|i| i.names_a_customer());
            let Some(customer) = customer.map(|i| directory.holder(i).map(|o| o.profile_id)) else {
                continue;
            };
            let devices = identities.iter().filter(|i| i.names_a_device());
            let met = devices.filter(|i| {
                let held = directory.holder(i).map(|o| o.profile_id);
                held.is_some() && held != customer
            });
            sought.extend(met.map(|i| (seals.identity_key(i), i.key().clone())));
        }
        let keys = sought.keys().cloned().collect();
        for (key, customer) in identities::encounters(self.tx, self.workspace, keys).await? {
            if let Some(key) = sought.get(&key) {
                directory.add_encounter(key.clone(), customer);
            }
        }
        Ok(())
    }
}

impl Found {
    /// Whether they may be learned from, of those where no record is needed to tell.
    pub fn may_learn(&self, purposes: &Purposes) -> FxHashMap<ProfileId, bool> {
        let known = self.learning.iter();
        known
            .filter_map(|(id, learning)| Some((*id, purposes.may_learn_by(*learning)?)))
            .collect()
    }

    fn add(&mut self, profile_id: ProfileId, standing: Standing, learning: Learning) {
        self.directory.add_profile(profile_id, standing);
        self.learning.insert(profile_id, learning);
    }
}
