//! Decides which profile each message of a batch belongs to: identifiers that are seen
//! together name one person, and profiles that turn out to be one person are merged
//! into the older. Works on what was looked up before; knows no store, and nothing of
//! traits or consents.
//!
//! A device is not a person. Where a message names a customer together with an
//! identifier whose profile is a *different* known customer (a shared tablet, a sign-in
//! after someone else's), the identifier stays where it is and the message goes to the
//! stronger one: user id before the workspace's own namespaces, e-mail, phone and
//! anonymous id. Segment Unify does the same. Only `alias` joins two known customers,
//! because there the sender says that they are one. A device that was seen with several
//! customers is nobody's from then on: its identifier gets a profile that joins nothing.
//!
//! How much one person may come to is bounded. What would go beyond is not joined, the
//! message goes to the stronger side, and the refusal is recorded.

mod devices;
mod step;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Identity, Kind, Message, Owner, ProfileId, Who,
    merge::{Evidence, MergeId, Merged, Parted, Refused},
    record::Listed,
    standing::{Bounds, Refusal, Standing},
};
pub use step::{NotTaken, Step};

/// What was known about the people a batch may concern, kept true as it is decided.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    bounds: Bounds,
    /// By identity key, the profile it began with; may be a merged one.
    origins: FxHashMap<Arc<str>, ProfileId>,
    /// Where a merged id leads; one hop, or more while a batch is being decided.
    merged: FxHashMap<ProfileId, ProfileId>,
    living: FxHashMap<ProfileId, Standing>,
    /// Identifiers by namespace, of those living profiles that hold many.
    namespaces: FxHashMap<ProfileId, FxHashMap<Box<str>, u32>>,
    /// Living profiles that are kept apart, both ways round.
    apart: FxHashSet<(ProfileId, ProfileId)>,
    /// By key of a device's identity, customers it was seen with besides its holder.
    encounters: FxHashMap<Arc<str>, Vec<ProfileId>>,
}

/// Who says that two profiles are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// A message named identifiers of both.
    Together,
    /// An alias or an operator, who may also overrule that they are kept apart.
    Expressly,
}

impl Directory {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    /// Whose an identifier is.
    pub fn add_identity(&mut self, key: Arc<str>, owner: Owner) {
        self.origins.insert(key, owner.origin_id);
        self.add_owner(owner);
    }

    pub fn add_profile(&mut self, profile_id: ProfileId, standing: Standing) {
        self.living.insert(profile_id, standing);
    }

    /// Of whom a profile is part now.
    pub fn add_owner(&mut self, owner: Owner) {
        if owner.profile_id != owner.origin_id {
            self.merged.insert(owner.origin_id, owner.profile_id);
        }
    }

    /// How many identifiers of a namespace a living profile holds.
    pub fn add_count(&mut self, profile_id: ProfileId, namespace: &str, count: u32) {
        let counts = self.namespaces.entry(profile_id).or_default();
        counts.insert(namespace.into(), count);
    }

    /// Two living profiles that are kept apart.
    pub fn add_apart(&mut self, one: ProfileId, other: ProfileId) {
        if one != other {
            self.apart.extend([(one, other), (other, one)]);
        }
    }

    /// A customer that a device was seen with.
    pub fn add_encounter(&mut self, key: Arc<str>, customer: ProfileId) {
        self.encounters.entry(key).or_default().push(customer);
    }

    /// The living profile an id stands for; None if nothing is known of it.
    pub fn living(&self, profile_id: ProfileId) -> Option<ProfileId> {
        let id = self.follow(profile_id);
        self.living.contains_key(&id).then_some(id)
    }

    /// Whose something is that came by a profile's id.
    pub fn owner(&self, profile_id: ProfileId) -> Option<Owner> {
        Some(Owner {
            profile_id: self.living(profile_id)?,
            origin_id: profile_id,
        })
    }

    fn follow(&self, mut id: ProfileId) -> ProfileId {
        // A merge always leads to an older id, so this ends; a newer one would be a
        // circle, and is not followed.
        while let Some(survivor) = self.merged.get(&id).filter(|survivor| **survivor < id) {
            id = *survivor;
        }
        id
    }

    /// The living profile that a message would be about as things are; None where it
    /// would make one.
    pub fn held(&self, who: &Who) -> Option<ProfileId> {
        match who {
            Who::Profile(id) => self.living(*id),
            Who::Identities(identities) => {
                let mut holders = identities.iter().filter_map(|i| self.holder(i));
                holders.next().map(|owner| owner.profile_id)
            }
        }
    }

    /// Who holds which identifier now, by key.
    pub fn owners(&self) -> impl Iterator<Item = (&Arc<str>, Owner)> {
        let origins = self.origins.iter();
        origins.filter_map(|(key, id)| Some((key, self.owner(*id)?)))
    }

    /// Of a living profile, as it is after what was decided.
    pub fn standing(&self, profile_id: ProfileId) -> Option<Standing> {
        self.living.get(&profile_id).copied()
    }

    /// Of all living profiles that are known here.
    pub fn standings(&self) -> impl Iterator<Item = (ProfileId, Standing)> {
        self.living.iter().map(|(id, standing)| (*id, *standing))
    }

    /// Who holds an identifier; None if nobody does.
    pub fn holder(&self, identity: &Identity) -> Option<Owner> {
        self.owner(*self.origins.get(identity.key())?)
    }

    fn is_known(&self, profile_id: ProfileId) -> bool {
        self.standing(profile_id).is_some_and(|s| s.known)
    }

    fn is_shared(&self, profile_id: ProfileId) -> bool {
        self.standing(profile_id).is_some_and(|s| s.shared)
    }

    /// Turns a message into steps and says whose it is. `fresh` makes ids, each
    /// greater than the one before.
    pub fn decide(
        &mut self,
        message: &Message,
        fresh: &mut impl FnMut() -> ProfileId,
        steps: &mut Vec<Step>,
    ) -> Result<Owner, NotTaken> {
        let owner = match &message.who {
            Who::Profile(id) => self.owner(*id).ok_or(NotTaken::Nobody)?,
            Who::Identities(_) => self.join(message, fresh, steps),
        };
        let time_ms = message.time_ms;
        match &message.kind {
            Kind::Identify(traits) => steps.push(Step::Identify {
                owner,
                traits: traits.clone(),
                time_ms,
                provenance: message.provenance.clone(),
            }),
            Kind::Group { group_id, traits } => steps.push(Step::Group {
                owner,
                group_id: group_id.clone(),
                traits: traits.clone(),
                time_ms,
                provenance: message.provenance.clone(),
            }),
            Kind::Event(event) => steps.push(Step::Event {
                owner,
                event: event.clone(),
            }),
            Kind::List {
                segment_id,
                member,
                born,
            } => steps.push(Step::List {
                owner,
                segment_id: segment_id.clone(),
                listed: Listed {
                    member: *member,
                    time_ms,
                    born: *born,
                },
            }),
            Kind::Alias { previous } => {
                self.alias(message, owner, previous, steps)
                    .map_err(NotTaken::Alias)?;
                return Ok(self.owner(owner.origin_id).unwrap_or(owner));
            }
        }
        Ok(owner)
    }

    /// Whose a message is by its identifiers, after linking them.
    fn join(
        &mut self,
        message: &Message,
        fresh: &mut impl FnMut() -> ProfileId,
        steps: &mut Vec<Step>,
    ) -> Owner {
        let named = named(message);
        let identities = match self.without_shared(named) {
            Ok(identities) => identities,
            Err(device) => return device,
        };
        let unheld: Vec<_> = identities
            .iter()
            .filter(|i| self.holder(i).is_none())
            .map(|i| (*i).clone())
            .collect();
        let names_new_customer = unheld.iter().any(Identity::names_a_customer);
        let mut target: Option<ProfileId> = None;
        for identity in &identities {
            // Asked in each round, since an earlier one may have merged it.
            let Some(held) = self.holder(identity).map(|o| o.profile_id) else {
                continue;
            };
            match target {
                None if names_new_customer && self.is_known(held) => {}
                None => target = Some(held),
                Some(target) if target == held => {}
                Some(target)
                    if self.is_known(held) && (names_new_customer || self.is_known(target)) => {}
                Some(first) => match self.fits(first, held, Says::Together) {
                    Ok(()) => target = Some(self.merge(first, held, evidence(message), steps)),
                    Err(refusal) => refuse(first, held, refusal, evidence(message), steps),
                },
            }
        }
        let target = target.unwrap_or_else(|| self.create(fresh(), steps));
        let owner = self.strongest(&identities, target);
        for identity in unheld {
            match self.link_fits(target, &identity) {
                Ok(()) => self.link(identity, owner, steps),
                Err(refusal) => refuse(target, target, refusal, evidence(message), steps),
            }
        }
        for identity in identities.iter().filter(|i| i.names_a_device()) {
            self.meet(message, identity, target, fresh, steps);
        }
        owner
    }

    /// Whose a message of a person is: by the strongest identifier it names of theirs.
    fn strongest(&self, identities: &[&Identity], target: ProfileId) -> Owner {
        let mut held = identities.iter().filter_map(|i| self.holder(i));
        held.find(|owner| owner.profile_id == target)
            .unwrap_or(Owner::only(target))
    }

    /// The sender says that `previous` and the message's person are one.
    fn alias(
        &mut self,
        message: &Message,
        owner: Owner,
        previous: &Identity,
        steps: &mut Vec<Step>,
    ) -> Result<(), Refusal> {
        let profile_id = owner.profile_id;
        match self.holder(previous).map(|o| o.profile_id) {
            None => {
                self.link_fits(profile_id, previous)?;
                self.link(previous.clone(), owner, steps);
            }
            Some(held) if held == profile_id => {}
            Some(held) => {
                self.unite(profile_id, held, evidence(message), steps)?;
            }
        }
        Ok(())
    }

    /// Makes two living profiles one because somebody says so expressly, also if they
    /// were kept apart until now. Says which one stays.
    pub fn unite(
        &mut self,
        one: ProfileId,
        other: ProfileId,
        evidence: Evidence,
        steps: &mut Vec<Step>,
    ) -> Result<ProfileId, Refusal> {
        self.fits(one, other, Says::Expressly)?;
        Ok(self.merge(one, other, evidence, steps))
    }

    /// Makes two people of one again, as they stand without each other.
    pub fn part(
        &mut self,
        parted: Parted,
        survivor: Standing,
        unmerged: Standing,
        steps: &mut Vec<Step>,
    ) {
        for part in &parted.parts {
            self.merged.insert(*part, parted.unmerged);
        }
        self.merged.remove(&parted.unmerged);
        self.living.insert(parted.survivor, survivor);
        self.living.insert(parted.unmerged, unmerged);
        self.add_apart(parted.survivor, parted.unmerged);
        steps.push(Step::Unmerge(parted));
    }

    /// Whether two living profiles may become one.
    fn fits(&self, one: ProfileId, other: ProfileId, says: Says) -> Result<(), Refusal> {
        let (Some(a), Some(b)) = (self.living.get(&one), self.living.get(&other)) else {
            return Ok(());
        };
        let joined = a.joined(*b);
        if joined.shared {
            return Err(Refusal::SharedDevice);
        }
        if says == Says::Together && self.apart.contains(&(one, other)) {
            return Err(Refusal::KeptApart);
        }
        if joined.profiles > self.bounds.profiles_max {
            return Err(Refusal::TooManyProfiles);
        }
        if joined.identities > self.bounds.identities_max {
            return Err(Refusal::TooManyIdentities);
        }
        Ok(())
    }

    /// Whether a living profile may hold one more. The bound of a namespace is held
    /// against what was counted before the batch and what it added since.
    fn link_fits(&self, profile_id: ProfileId, identity: &Identity) -> Result<(), Refusal> {
        let standing = self.standing(profile_id).unwrap_or_default();
        let counts = self.namespaces.get(&profile_id);
        let in_namespace = counts.and_then(|c| c.get(identity.namespace())).copied();
        let full = standing.identities >= self.bounds.identities_max
            || in_namespace.is_some_and(|n| n >= self.bounds.namespace_identities_max);
        match (standing.shared, full) {
            (true, _) => Err(Refusal::SharedDevice),
            (_, true) => Err(Refusal::TooManyIdentities),
            _ => Ok(()),
        }
    }

    fn create(&mut self, profile_id: ProfileId, steps: &mut Vec<Step>) -> ProfileId {
        self.living.insert(profile_id, Standing::NEW);
        steps.push(Step::Create { profile_id });
        profile_id
    }

    fn link(&mut self, identity: Identity, owner: Owner, steps: &mut Vec<Step>) {
        self.origins.insert(identity.key().clone(), owner.origin_id);
        let standing = self.living.entry(owner.profile_id).or_default();
        standing.known |= identity.names_a_customer();
        standing.identities += 1;
        if let Some(counts) = self.namespaces.get_mut(&owner.profile_id) {
            *counts.entry(identity.namespace().into()).or_default() += 1;
        }
        steps.push(Step::Link { identity, owner });
    }

    fn merge(
        &mut self,
        a: ProfileId,
        b: ProfileId,
        evidence: Evidence,
        steps: &mut Vec<Step>,
    ) -> ProfileId {
        let (survivor, merged) = (a.min(b), a.max(b));
        let theirs = self.living.remove(&merged).unwrap_or_default();
        let ours = self.living.entry(survivor).or_default();
        *ours = ours.joined(theirs);
        self.merged.insert(merged, survivor);
        let overrules = self.apart.contains(&(survivor, merged));
        if let Some(theirs) = self.namespaces.remove(&merged) {
            let ours = self.namespaces.entry(survivor).or_default();
            for (namespace, count) in theirs {
                *ours.entry(namespace).or_default() += count;
            }
        }
        if !self.apart.is_empty() {
            let now = |id| if id == merged { survivor } else { id };
            let apart = self.apart.drain().map(|(a, b)| (now(a), now(b)));
            self.apart = apart.filter(|(a, b)| a != b).collect();
        }
        steps.push(Step::Merge(Merged {
            merge_id: MergeId::fresh(),
            survivor,
            merged,
            overrules,
            evidence,
        }));
        survivor
    }
}

fn named(message: &Message) -> &[Identity] {
    match &message.who {
        Who::Identities(identities) => identities,
        Who::Profile(_) => &[],
    }
}

/// What a message says about who is who.
fn evidence(message: &Message) -> Evidence {
    let previous = match &message.kind {
        Kind::Alias { previous } => Some(previous),
        _ => None,
    };
    let identities = named(message).iter().chain(previous);
    Evidence {
        message_id: message.id.to_string(),
        identities: identities.map(|i| i.key().to_string()).collect(),
        ..Evidence::default()
    }
}

fn refuse(
    profile_id: ProfileId,
    other_id: ProfileId,
    refusal: Refusal,
    evidence: Evidence,
    steps: &mut Vec<Step>,
) {
    steps.push(Step::Refuse(Refused {
        merge_id: MergeId::fresh(),
        profile_id,
        other_id,
        refusal,
        evidence,
    }));
}

#[cfg(test)]
mod tests;
