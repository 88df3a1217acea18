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

use std::{collections::BTreeMap, sync::Arc};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Identity, Kind, Message, Occurrence, Owner, ProfileId, Provenance, Traits, Who,
    consent::{Decision, Signals},
    merge::{Evidence, MergeId, Merged, Parted, Refused},
    preferences::Preferences,
    record::Listed,
    standing::{Bounds, Refusal, Standing},
};

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

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Step {
    Create {
        profile_id: ProfileId,
    },
    Link {
        identity: Identity,
        owner: Owner,
    },
    /// A device's identifier is taken from whoever held it, and is nobody's.
    Unlink {
        identity: Identity,
        owner: Owner,
        device: ProfileId,
    },
    /// A device was seen with a customer who does not hold it.
    Meet {
        identity: Identity,
        customer: ProfileId,
    },
    Merge(Merged),
    Refuse(Refused),
    Unmerge(Parted),
    Identify {
        owner: Owner,
        traits: Traits,
        time_ms: i64,
        provenance: Arc<Provenance>,
    },
    Group {
        owner: Owner,
        group_id: String,
        traits: Traits,
        time_ms: i64,
        provenance: Arc<Provenance>,
    },
    Event {
        owner: Owner,
        event: Arc<Occurrence>,
    },
    /// Something of theirs was dropped because it was too old, and so go values of
    /// these traits that are older than the moment given for each.
    Expire {
        profile_id: ProfileId,
        traits: Arc<BTreeMap<String, i64>>,
    },
    /// About a purpose of consent.
    Decide {
        owner: Owner,
        purpose: String,
        decision: Decision,
    },
    /// What a message's context says about consent.
    Signal {
        owner: Owner,
        signals: Arc<Signals>,
        time_ms: i64,
    },
    Prefer {
        owner: Owner,
        preferences: Preferences,
    },
    /// Puts somebody on a list, or takes them off it.
    List {
        owner: Owner,
        segment_id: Arc<str>,
        listed: Listed,
    },
}

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// It names a profile id that does not exist, which the caller rules out beforehand.
    Nobody,
    /// It says that two are one who cannot be.
    Alias(Refusal),
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
            Kind::List { segment_id, member } => steps.push(Step::List {
                owner,
                segment_id: segment_id.clone(),
                listed: Listed {
                    member: *member,
                    time_ms,
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

    /// The identifiers that can be somebody's. Where there are none but those of shared
    /// devices, the device that the message is then of.
    fn without_shared<'a>(&self, named: &'a [Identity]) -> Result<Vec<&'a Identity>, Owner> {
        let mut device = None;
        let mut kept = Vec::with_capacity(named.len());
        for identity in named {
            match self.holder(identity) {
                Some(owner) if self.is_shared(owner.profile_id) => {
                    device = device.or(Some(owner));
                }
                _ => kept.push(identity),
            }
        }
        match device {
            Some(device) if kept.is_empty() => Err(device),
            _ => Ok(kept),
        }
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

    /// A device's identifier in a message of somebody who does not hold it.
    fn meet(
        &mut self,
        message: &Message,
        identity: &Identity,
        customer: ProfileId,
        fresh: &mut impl FnMut() -> ProfileId,
        steps: &mut Vec<Step>,
    ) {
        let Some(owner) = self.holder(identity) else {
            return;
        };
        let holder = owner.profile_id;
        if holder == customer || !self.is_known(holder) || !self.is_known(customer) {
            return;
        }
        let met = self.encounters.get(identity.key()).map_or(&[][..], |m| m);
        let mut others: Vec<_> = met.iter().map(|id| self.follow(*id)).collect();
        if others.contains(&customer) {
            return;
        }
        others.push(customer);
        others.sort_unstable();
        others.dedup();
        others.retain(|id| *id != holder);
        let customers = u32::try_from(others.len()).unwrap_or(u32::MAX);
        if customers.saturating_add(1) >= self.bounds.device_customers_max {
            self.share(message, identity, owner, fresh(), steps);
            return;
        }
        self.add_encounter(identity.key().clone(), customer);
        steps.push(Step::Meet {
            identity: identity.clone(),
            customer,
        });
    }

    /// From now on the device is nobody's. What it did until now stays whose it was.
    fn share(
        &mut self,
        message: &Message,
        identity: &Identity,
        holder: Owner,
        device: ProfileId,
        steps: &mut Vec<Step>,
    ) {
        self.encounters.remove(identity.key());
        let standing = self.living.entry(holder.profile_id).or_default();
        standing.identities = standing.identities.saturating_sub(1);
        steps.push(Step::Unlink {
            identity: identity.clone(),
            owner: holder,
            device,
        });
        self.create(device, steps);
        self.link(identity.clone(), Owner::only(device), steps);
        self.living.entry(device).or_default().shared = true;
        let evidence = evidence(message);
        refuse(
            holder.profile_id,
            device,
            Refusal::SharedDevice,
            evidence,
            steps,
        );
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
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Identities as `u1` (user id), `a1` (anonymous id), `e1` (custom).
    fn identity(short: &str) -> Identity {
        let namespace = match &short[..1] {
            "u" => "user_id",
            "a" => "anonymous_id",
            _ => "card",
        };
        Identity::of(namespace, short)
    }

    fn message(text: &str) -> Message {
        let (who, kind) = match text.split_once("<-") {
            Some((who, previous)) => {
                let previous = identity(previous);
                (who, Kind::Alias { previous })
            }
            None => (text, Kind::Identify([].into())),
        };
        let mut identities: Vec<_> = who.split('+').map(identity).collect();
        identities.sort_by_key(Identity::rank);
        Message {
            id: text.into(),
            who: Who::Identities(identities),
            time_ms: 0,
            provenance: Arc::default(),
            kind,
            signals: None,
        }
    }

    /// Groups of identities that are one person after the messages, and for each
    /// message the index of the group it went to.
    fn people(messages: &[&str]) -> (Vec<String>, Vec<usize>) {
        let mut directory = Directory::default();
        let mut steps = Vec::new();
        let mut fresh = ProfileId::fresh;
        let went: Vec<_> = messages
            .iter()
            .map(|m| {
                let owner = directory.decide(&message(m), &mut fresh, &mut steps);
                owner.unwrap().profile_id
            })
            .collect();
        let mut groups: BTreeMap<ProfileId, BTreeSet<String>> = BTreeMap::new();
        for (key, holder) in &directory.origins {
            let id = Identity::from_key(key).unwrap();
            let holder = directory.living(*holder).unwrap();
            groups
                .entry(holder)
                .or_default()
                .insert(id.value().to_owned());
        }
        let order: Vec<_> = groups.keys().copied().collect();
        let shown = groups
            .into_values()
            .map(|ids| ids.into_iter().collect::<Vec<_>>().join("+"))
            .collect();
        let went = went
            .into_iter()
            .map(|id| directory.living(id).unwrap())
            .map(|id| order.iter().position(|o| *o == id).unwrap())
            .collect();
        (shown, went)
    }

    #[test]
    fn identifiers_seen_together_are_one_person_unless_two_customers_share_them() {
        let rows: &[(&[&str], &[&str], &[usize])] = &[
            // Anonymous becomes known, whichever way round.
            (&["a1", "u1+a1", "a1"], &["a1+u1"], &[0, 0, 0]),
            (&["u1", "a1", "u1+a1"], &["a1+u1"], &[0, 0, 0]),
            (
                &["u1", "a1", "a2", "u1+a1", "u1+a2"],
                &["a1+a2+u1"],
                &[0; 5],
            ),
            // A device of another customer's is not taken over.
            (&["u1+a1", "u2+a1", "a1"], &["a1+u1", "u2"], &[0, 1, 0]),
            (
                &["u1+a1", "u2", "u2+a1", "u2+a2"],
                &["a1+u1", "a2+u2"],
                &[0, 1, 1, 1],
            ),
            // Other namespaces join what is not known, and stay with who is.
            (&["e1", "a1", "e1+a1", "u1+e1"], &["a1+e1+u1"], &[0; 4]),
            (
                &["u1+e1", "u2+a1", "e1+a1"],
                &["e1+u1", "a1+u2"],
                &[0, 1, 0],
            ),
            (&["a1", "u1", "u1+e1", "e1+a1"], &["a1+e1+u1"], &[0; 4]),
            // A new customer does not become the one who holds the card.
            (
                &["u1+e1", "a1", "u2+e1+a1"],
                &["e1+u1", "a1+u2"],
                &[0, 1, 1],
            ),
            // Alias joins whatever it is told to.
            (&["u1", "u2", "u2<-u1"], &["u1+u2"], &[0, 0, 0]),
            (&["u1<-a1", "a1"], &["a1+u1"], &[0, 0]),
            (&["a1", "u1<-a1", "u1<-a1"], &["a1+u1"], &[0, 0, 0]),
        ];
        for (messages, groups, went) in rows {
            let expected = (
                groups.iter().map(ToString::to_string).collect(),
                went.to_vec(),
            );
            assert_eq!(people(messages), expected, "{messages:?}");
        }
    }

    fn fresh_ids(count: usize) -> Vec<ProfileId> {
        (0..count).map(|_| ProfileId::fresh()).collect()
    }

    #[test]
    fn the_older_id_stays_and_old_ids_lead_to_it() {
        let ids = fresh_ids(3);
        let mut directory = Directory::default();
        for id in &ids {
            directory.add_profile(*id, Standing::NEW);
        }
        let mut steps = Vec::new();
        let mut merge =
            |a: usize, b: usize| directory.merge(ids[a], ids[b], Evidence::default(), &mut steps);
        assert_eq!(merge(2, 1), ids[1]);
        assert_eq!(merge(1, 0), ids[0]);
        assert_eq!(
            ids.iter().map(|i| directory.living(*i)).collect::<Vec<_>>(),
            [Some(ids[0]); 3]
        );
        assert_eq!(directory.living(ProfileId::fresh()), None);
    }
}
