//! How much one person may come to: whether two may become one, and whether somebody may
//! hold one more identifier. Identifiers are counted by namespace where a bound can be
//! reached, from what was held before the batch and by what it adds.

use rustc_hash::FxHashMap;

use super::{Directory, Says};
use crate::domain::{Identity, ProfileId, standing::Refusal};

/// Identifiers by namespace, of living profiles.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    held: FxHashMap<ProfileId, FxHashMap<Box<str>, u32>>,
    /// Whether somebody who begins in the batch may come to a bound.
    of_new: bool,
}

impl Counts {
    pub(super) fn begin(&mut self, profile_id: ProfileId) {
        if self.of_new {
            self.held.entry(profile_id).or_default();
        }
    }

    pub(super) fn linked(&mut self, profile_id: ProfileId, identity: &Identity) {
        if let Some(counts) = self.held.get_mut(&profile_id) {
            *counts.entry(identity.namespace().into()).or_default() += 1;
        }
    }

    pub(super) fn unlinked(&mut self, profile_id: ProfileId, identity: &Identity) {
        let counts = self.held.get_mut(&profile_id);
        if let Some(count) = counts.and_then(|counts| counts.get_mut(identity.namespace())) {
            *count = count.saturating_sub(1);
        }
    }

    pub(super) fn merged(&mut self, survivor: ProfileId, merged: ProfileId) {
        let Some(theirs) = self.held.remove(&merged) else {
            return;
        };
        let ours = self.held.entry(survivor).or_default();
        for (namespace, count) in theirs {
            *ours.entry(namespace).or_default() += count;
        }
    }

    /// None where the bound is out of reach.
    fn of(&self, profile_id: ProfileId, namespace: &str) -> Option<u32> {
        let counts = self.held.get(&profile_id)?;
        Some(counts.get(namespace).copied().unwrap_or(0))
    }
}

impl Directory {
    /// These and whoever begins in this batch may come to the bound of a namespace, so
    /// what they hold has to be known.
    pub fn count_all_of(&mut self, profile_ids: &[ProfileId]) {
        self.counts.of_new = true;
        for profile_id in profile_ids {
            self.counts.held.entry(*profile_id).or_default();
        }
    }

    /// How many identifiers of a namespace a living profile holds.
    pub fn add_count(&mut self, profile_id: ProfileId, namespace: &str, count: u32) {
        let counts = self.counts.held.entry(profile_id).or_default();
        counts.insert(namespace.into(), count);
    }

    /// Whether two living profiles may become one.
    pub(super) fn fits(&self, one: ProfileId, other: ProfileId, says: Says) -> Result<(), Refusal> {
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
        if joined.identities > self.bounds.identities_max || !self.namespaces_fit(one, other) {
            return Err(Refusal::TooManyIdentities);
        }
        Ok(())
    }

    fn namespaces_fit(&self, one: ProfileId, other: ProfileId) -> bool {
        let Some(theirs) = self.counts.held.get(&other) else {
            return true;
        };
        theirs.iter().all(|(namespace, count)| {
            let ours = self.counts.of(one, namespace).unwrap_or(0);
            ours.saturating_add(*count) <= self.bounds.namespace_identities_max
        })
    }

    /// Whether a living profile may hold one more.
    pub(super) fn link_fits(
        &self,
        profile_id: ProfileId,
        identity: &Identity,
    ) -> Result<(), Refusal> {
        let standing = self.standing(profile_id).unwrap_or_default();
        let in_namespace = self.counts.of(profile_id, identity.namespace());
        let full = standing.identities >= self.bounds.identities_max
            || in_namespace.is_some_and(|n| n >= self.bounds.namespace_identities_max);
        match (standing.shared, full) {
            (true, _) => Err(Refusal::SharedDevice),
            (_, true) => Err(Refusal::TooManyIdentities),
            _ => Ok(()),
        }
    }
}
