//! What ties the profiles of one person, as far as a message may add to it. A message that
//! names two of them adds a tie where there is none between the two, so that undoing
//! another merge does not part what was seen together. One tie for each two, and so many
//! for one person.

use rustc_hash::FxHashSet;

use super::{Directory, Says, Step, evidence};
use crate::domain::{
    Message, Owner, ProfileId,
    merge::{Between, Confirmed, Evidence, MergeId},
    standing::Standing,
};

#[derive(Debug, Clone, Default)]
pub(super) struct Tied {
    /// The older of each two first.
    ties: FxHashSet<Between>,
    /// Profiles that a customer's identifier began with.
    customers: FxHashSet<ProfileId>,
}

impl Tied {
    /// Of somebody who is one profile.
    fn of_one(profile_id: ProfileId, standing: Standing) -> Self {
        Self {
            ties: FxHashSet::default(),
            customers: standing.known.then_some(profile_id).into_iter().collect(),
        }
    }
}

impl Directory {
    /// What ties a living profile and its parts, in full, and which of them are known
    /// customers.
    pub fn add_tied(
        &mut self,
        living: ProfileId,
        ties: impl IntoIterator<Item = Between>,
        customers: impl IntoIterator<Item = ProfileId>,
    ) {
        let tied = self.tied.entry(living).or_default();
        tied.ties.extend(ties.into_iter().map(Between::ordered));
        tied.customers.extend(customers);
    }

    /// A customer's identifier was linked.
    pub(super) fn tell_customer(&mut self, owner: Owner) {
        if let Some(tied) = self.tied.get_mut(&owner.profile_id) {
            tied.customers.insert(owner.origin_id);
        }
    }

    /// Two people become one, before they do.
    pub(super) fn tie(&mut self, survivor: ProfileId, merged: ProfileId, between: Between) {
        let (Some(mut ours), Some(theirs)) = (self.take_tied(survivor), self.take_tied(merged))
        else {
            return;
        };
        ours.ties.extend(theirs.ties);
        ours.ties.insert(between.ordered());
        ours.customers.extend(theirs.customers);
        self.tied.insert(survivor, ours);
    }

    fn take_tied(&mut self, profile_id: ProfileId) -> Option<Tied> {
        let alone = |standing: &Standing| standing.profiles == 1;
        self.tied.remove(&profile_id).or_else(|| {
            let standing = self.standing(profile_id).filter(alone)?;
            Some(Tied::of_one(profile_id, standing))
        })
    }

    /// Identifiers of one person were named together.
    pub(super) fn confirm(
        &mut self,
        first: Owner,
        other: Owner,
        says: Says,
        message: &Message,
        steps: &mut Vec<Step>,
    ) {
        let between = Between::origins(first, other).ordered();
        if between.one == between.other || !self.adds(first.profile_id, between, says) {
            return;
        }
        let evidence = Evidence {
            confirms: true,
            ..evidence(message)
        };
        steps.push(Step::Confirm(Confirmed {
            merge_id: MergeId::fresh(),
            between,
            evidence,
        }));
    }

    /// Whether a tie is new and counts; it is there from then on.
    fn adds(&mut self, living: ProfileId, between: Between, says: Says) -> bool {
        let ties_max = self.bounds.ties_max();
        // Of whom it was not looked up, the two are known to be tied.
        let Some(tied) = self.tied.get_mut(&living) else {
            return false;
        };
        // Where customers are one person because somebody said so, a device that two of
        // them use says no more than it would if they were not.
        let counts = says == Says::Expressly || tied.customers.len() <= 1;
        counts && tied.ties.len() < ties_max && tied.ties.insert(between)
    }

    /// Whether a message that names the two adds nothing, now that all is decided.
    pub fn is_settled(&self, living: ProfileId, between: Between) -> bool {
        let Some(tied) = self.tied.get(&living) else {
            return false;
        };
        tied.ties.contains(&between.ordered())
            || tied.customers.len() > 1
            || tied.ties.len() >= self.bounds.ties_max()
    }
}
