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
//! because there the sender says that they are one.

use std::{collections::BTreeMap, sync::Arc};

use rustc_hash::FxHashMap;

use super::{
    Identity, Kind, Message, Occurrence, ProfileId, Provenance, Traits, Who, record::Decision,
};

/// What was known about the people a batch may concern, kept true as it is decided.
#[derive(Debug, Default)]
pub struct Directory {
    /// Holder by identity key; holders may be merged ids.
    holders: FxHashMap<Arc<str>, ProfileId>,
    /// Where a merged id leads; one hop, or more while a batch is being decided.
    merged: FxHashMap<ProfileId, ProfileId>,
    /// Living profiles, and whether each is a known customer.
    known: FxHashMap<ProfileId, bool>,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Step {
    Create {
        profile_id: ProfileId,
    },
    Link {
        identity: Identity,
        profile_id: ProfileId,
    },
    Merge {
        survivor: ProfileId,
        merged: ProfileId,
    },
    Identify {
        profile_id: ProfileId,
        traits: Traits,
        time_ms: i64,
        provenance: Arc<Provenance>,
    },
    Group {
        profile_id: ProfileId,
        group_id: String,
        traits: Traits,
        time_ms: i64,
        provenance: Arc<Provenance>,
    },
    Event {
        profile_id: ProfileId,
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
        profile_id: ProfileId,
        purpose: String,
        decision: Decision,
    },
}

impl Directory {
    pub fn add_holder(&mut self, key: Arc<str>, profile_id: ProfileId) {
        self.holders.insert(key, profile_id);
    }

    pub fn add_profile(&mut self, profile_id: ProfileId, known: bool) {
        self.known.insert(profile_id, known);
    }

    pub fn add_merged(&mut self, merged: ProfileId, survivor: ProfileId) {
        self.merged.insert(merged, survivor);
    }

    /// The living profile an id stands for; None if nothing is known of it.
    pub fn living(&self, profile_id: ProfileId) -> Option<ProfileId> {
        let id = self.follow(profile_id);
        self.known.contains_key(&id).then_some(id)
    }

    fn follow(&self, mut id: ProfileId) -> ProfileId {
        // Ends: a merge always leads to an older id.
        while let Some(survivor) = self.merged.get(&id) {
            id = *survivor;
        }
        id
    }

    /// Who holds which identifier now, by key.
    pub fn holders(&self) -> impl Iterator<Item = (&Arc<str>, ProfileId)> {
        let holders = self.holders.iter();
        holders.filter_map(|(key, id)| Some((key, self.living(*id)?)))
    }

    fn holder(&self, identity: &Identity) -> Option<ProfileId> {
        self.living(*self.holders.get(identity.key())?)
    }

    fn is_known(&self, profile_id: ProfileId) -> bool {
        self.known.get(&profile_id).copied().unwrap_or(false)
    }

    /// Turns a message into steps and says whose it is. `fresh` makes ids, each
    /// greater than the one before. None: the message names a profile id that does not
    /// exist, which the caller rules out beforehand.
    pub fn decide(
        &mut self,
        message: &Message,
        fresh: &mut impl FnMut() -> ProfileId,
        steps: &mut Vec<Step>,
    ) -> Option<ProfileId> {
        let profile_id = match &message.who {
            Who::Profile(id) => self.living(*id)?,
            Who::Identities(identities) => self.join(identities, fresh, steps),
        };
        let time_ms = message.time_ms;
        match &message.kind {
            Kind::Identify(traits) => steps.push(Step::Identify {
                profile_id,
                traits: traits.clone(),
                time_ms,
                provenance: message.provenance.clone(),
            }),
            Kind::Group { group_id, traits } => steps.push(Step::Group {
                profile_id,
                group_id: group_id.clone(),
                traits: traits.clone(),
                time_ms,
                provenance: message.provenance.clone(),
            }),
            Kind::Event(event) => steps.push(Step::Event {
                profile_id,
                event: event.clone(),
            }),
            Kind::Alias { previous } => return Some(self.alias(profile_id, previous, steps)),
        }
        Some(profile_id)
    }

    /// The one profile that identifiers seen together belong to, after linking them.
    fn join(
        &mut self,
        identities: &[Identity],
        fresh: &mut impl FnMut() -> ProfileId,
        steps: &mut Vec<Step>,
    ) -> ProfileId {
        let unheld: Vec<_> = identities
            .iter()
            .filter(|i| self.holder(i).is_none())
            .cloned()
            .collect();
        let names_new_customer = unheld.iter().any(Identity::names_a_customer);
        let mut target: Option<ProfileId> = None;
        for identity in identities {
            // Asked in each round, since an earlier one may have merged it.
            let Some(held) = self.holder(identity) else {
                continue;
            };
            match target {
                None if names_new_customer && self.is_known(held) => {}
                None => target = Some(held),
                Some(target) if target == held => {}
                Some(target)
                    if self.is_known(held) && (names_new_customer || self.is_known(target)) => {}
                Some(first) => target = Some(self.merge(first, held, steps)),
            }
        }
        let target = target.unwrap_or_else(|| self.create(fresh(), steps));
        for identity in unheld {
            self.link(identity, target, steps);
        }
        target
    }

    /// The sender says that `previous` and the profile are one person.
    fn alias(
        &mut self,
        profile_id: ProfileId,
        previous: &Identity,
        steps: &mut Vec<Step>,
    ) -> ProfileId {
        match self.holder(previous) {
            None => {
                self.link(previous.clone(), profile_id, steps);
                profile_id
            }
            Some(held) if held == profile_id => profile_id,
            Some(held) => self.merge(profile_id, held, steps),
        }
    }

    fn create(&mut self, profile_id: ProfileId, steps: &mut Vec<Step>) -> ProfileId {
        self.known.insert(profile_id, false);
        steps.push(Step::Create { profile_id });
        profile_id
    }

    fn link(&mut self, identity: Identity, profile_id: ProfileId, steps: &mut Vec<Step>) {
        self.holders.insert(identity.key().clone(), profile_id);
        if identity.names_a_customer() {
            self.known.insert(profile_id, true);
        }
        steps.push(Step::Link {
            identity,
            profile_id,
        });
    }

    fn merge(&mut self, a: ProfileId, b: ProfileId, steps: &mut Vec<Step>) -> ProfileId {
        let (survivor, merged) = (a.min(b), a.max(b));
        let known = self.known.remove(&merged).unwrap_or(false) || self.is_known(survivor);
        self.known.insert(survivor, known);
        self.merged.insert(merged, survivor);
        steps.push(Step::Merge { survivor, merged });
        survivor
    }
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
        Identity::new(namespace, short).unwrap()
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
                directory
                    .decide(&message(m), &mut fresh, &mut steps)
                    .unwrap()
            })
            .collect();
        let mut groups: BTreeMap<ProfileId, BTreeSet<String>> = BTreeMap::new();
        for (key, holder) in &directory.holders {
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
            directory.add_profile(*id, false);
        }
        let mut steps = Vec::new();
        assert_eq!(directory.merge(ids[2], ids[1], &mut steps), ids[1]);
        assert_eq!(directory.merge(ids[1], ids[0], &mut steps), ids[0]);
        assert_eq!(
            ids.iter().map(|i| directory.living(*i)).collect::<Vec<_>>(),
            [Some(ids[0]); 3]
        );
        assert_eq!(directory.living(ProfileId::fresh()), None);
    }
}
