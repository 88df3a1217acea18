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
mod limits;
mod reach;
mod step;
mod tied;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Identity, Kind, Message, Owner, ProfileId, Who,
    merge::{Between, Evidence, MergeId, Merged, Refused, Split},
    record::Listed,
    standing::{Bounds, Refusal, Standing},
};
use limits::Counts;
pub use reach::Group;
pub use step::{NotTaken, Step};
use tied::Tied;

/// What was known about the people a batch may concern, kept true as it is decided.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    bounds: Bounds,
    /// By identity key, the profile it began with; may be a merged one.
    origins: FxHashMap<Arc<str>, ProfileId>,
    /// Where a merged id leads; one hop, or more while a batch is being decided.
    merged: FxHashMap<ProfileId, ProfileId>,
    living: FxHashMap<ProfileId, Standing>,
    counts: Counts,
    /// Of living profiles with parts, where a message may add to what ties them.
    tied: FxHashMap<ProfileId, Tied>,
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
        let mut target: Option<Owner> = None;
        for identity in &identities {
            // Asked in each round, since an earlier one may have merged it.
            let Some(held) = self.holder(identity) else {
                continue;
            };
            let is_known = self.is_known(held.profile_id);
            match target {
                None if names_new_customer && is_known => {}
                None => target = Some(held),
                Some(first) if first.profile_id == held.profile_id => {
                    self.confirm(first, held, Says::Together, message, steps);
                }
                Some(first)
                    if is_known && (names_new_customer || self.is_known(first.profile_id)) => {}
                Some(first) => match self.fits(first.profile_id, held.profile_id, Says::Together) {
                    Ok(()) => {
                        let profile_id = self.merge(first, held, evidence(message), steps);
                        target = Some(Owner {
                            profile_id,
                            ..first
                        });
                    }
                    Err(refusal) => refuse(first, held, refusal, evidence(message), steps),
                },
            }
        }
        let target = target.map(|owner| owner.profile_id);
        let target = target.unwrap_or_else(|| self.create(fresh(), steps));
        let owner = self.strongest(&identities, target);
        for identity in unheld {
            match self.link_fits(target, &identity) {
                Ok(()) => self.link(identity, owner, steps),
                Err(refusal) => refuse(owner, owner, refusal, evidence(message), steps),
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
        match self.holder(previous) {
            None => {
                self.link_fits(owner.profile_id, previous)?;
                self.link(previous.clone(), owner, steps);
            }
            Some(held) if held.profile_id == owner.profile_id => {
                self.confirm(owner, held, Says::Expressly, message, steps);
            }
            Some(held) => {
                self.unite(owner, held, evidence(message), steps)?;
            }
        }
        Ok(())
    }

    /// Makes two people one because somebody says so expressly, also if they were kept
    /// apart until now. Says which one stays.
    pub fn unite(
        &mut self,
        one: Owner,
        other: Owner,
        evidence: Evidence,
        steps: &mut Vec<Step>,
    ) -> Result<ProfileId, Refusal> {
        self.fits(one.profile_id, other.profile_id, Says::Expressly)?;
        Ok(self.merge(one, other, evidence, steps))
    }

    /// Makes several people of one again; `standings` says how each of them stands
    /// without the others.
    pub fn part(
        &mut self,
        split: Split,
        standings: impl IntoIterator<Item = (ProfileId, Standing)>,
        steps: &mut Vec<Step>,
    ) {
        for parted in split.parted() {
            let merged = parted.parts.iter().map(|id| (*id, parted.unmerged));
            self.merged.extend(merged);
            self.merged.remove(&parted.unmerged);
        }
        self.living.extend(standings);
        for undone in &split.undone {
            let Between { one, other } = undone.between;
            self.add_apart(self.follow(one), self.follow(other));
        }
        steps.push(Step::Unmerge(split));
    }

    fn create(&mut self, profile_id: ProfileId, steps: &mut Vec<Step>) -> ProfileId {
        self.living.insert(profile_id, Standing::NEW);
        self.counts.begin(profile_id);
        steps.push(Step::Create { profile_id });
        profile_id
    }

    fn link(&mut self, identity: Identity, owner: Owner, steps: &mut Vec<Step>) {
        self.origins.insert(identity.key().clone(), owner.origin_id);
        let standing = self.living.entry(owner.profile_id).or_default();
        standing.known |= identity.names_a_customer();
        standing.identities += 1;
        self.counts.linked(owner.profile_id, &identity);
        if identity.names_a_customer() {
            self.tell_customer(owner);
        }
        steps.push(Step::Link { identity, owner });
    }

    fn merge(
        &mut self,
        a: Owner,
        b: Owner,
        evidence: Evidence,
        steps: &mut Vec<Step>,
    ) -> ProfileId {
        let survivor = a.profile_id.min(b.profile_id);
        let merged = a.profile_id.max(b.profile_id);
        let between = Between::origins(a, b);
        self.tie(survivor, merged, between);
        let theirs = self.living.remove(&merged).unwrap_or_default();
        let ours = self.living.entry(survivor).or_default();
        *ours = ours.joined(theirs);
        self.merged.insert(merged, survivor);
        self.counts.merged(survivor, merged);
        if !self.apart.is_empty() {
            let now = |id| if id == merged { survivor } else { id };
            let apart = self.apart.drain().map(|(a, b)| (now(a), now(b)));
            self.apart = apart.filter(|(a, b)| a != b).collect();
        }
        steps.push(Step::Merge(Merged {
            merge_id: MergeId::fresh(),
            survivor,
            merged,
            between,
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

fn refuse(owner: Owner, other: Owner, refusal: Refusal, evidence: Evidence, steps: &mut Vec<Step>) {
    steps.push(Step::Refuse(Refused {
        merge_id: MergeId::fresh(),
        profile_id: owner.profile_id,
        other_id: other.profile_id,
        between: Between::origins(owner, other),
        refusal,
        evidence,
    }));
}

#[cfg(test)]
mod tests;
