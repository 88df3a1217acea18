//! Who is one person: whoever the evidence connects. Each merge that stands ties the two
//! profiles whose identifiers its evidence named, and a person is what is connected by
//! ties. Taking ties away is thus answered by the graph alone, whatever became of the
//! profiles since; knows nothing of what is known of people.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    ProfileId,
    merge::{Between, Joined, MergeId},
};

/// Evidence that stands: two profiles are of one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tie {
    pub time_ms: i64,
    /// None where they were joined before merges were recorded, which cannot be undone.
    pub merge_id: Option<MergeId>,
    pub one: ProfileId,
    pub other: ProfileId,
}

/// A person's profiles, and what makes them one.
#[derive(Debug)]
pub struct Ties {
    profiles: BTreeSet<ProfileId>,
    /// In the order in which they were made.
    ties: Vec<Tie>,
}

/// A part of a person that is connected by what is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The oldest, which lives.
    pub root: ProfileId,
    /// Every other, and when it became part of which.
    pub joined: BTreeMap<ProfileId, Joined>,
}

impl Part {
    /// All of them, the root first.
    pub fn profiles(&self) -> impl Iterator<Item = ProfileId> {
        std::iter::once(self.root).chain(self.joined.keys().copied())
    }
}

/// The two sides of a merge are one person also without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillTied {
    pub merge_id: MergeId,
    /// One way from the one side to the other, the fewest there are.
    pub by: Vec<MergeId>,
}

impl Ties {
    /// Of a person as they are stored: each profile, with what it was joined to, and the
    /// recorded ties between them.
    pub fn of(profiles: &BTreeMap<ProfileId, Option<Joined>>, mut ties: Vec<Tie>) -> Self {
        ties.retain(|tie| profiles.contains_key(&tie.one) && profiles.contains_key(&tie.other));
        ties.sort_unstable();
        let mut forest = Forest::over(profiles.keys());
        ties.iter().for_each(|tie| forest.join(tie));
        // What no record connects was joined before there were records.
        for (profile_id, joined) in profiles {
            if let Some(joined) = joined
                && forest.is_root(*profile_id)
            {
                let tie = Tie {
                    time_ms: joined.time_ms,
                    merge_id: None,
                    one: *profile_id,
                    other: joined.into,
                };
                forest.join(&tie);
                ties.push(tie);
            }
        }
        ties.sort_unstable();
        Self {
            profiles: profiles.keys().copied().collect(),
            ties,
        }
    }

    /// Who they are without some merges, the part that stays first. Each part is as if
    /// what is left were all there ever was. All of the merges must part somebody: with
    /// the first that does not comes what still holds it.
    pub fn without(&self, undone: &BTreeSet<MergeId>) -> Result<Vec<Part>, StillTied> {
        let is_undone = |tie: &Tie| tie.merge_id.is_some_and(|id| undone.contains(&id));
        let (gone, left): (Vec<&Tie>, Vec<&Tie>) = self.ties.iter().partition(|tie| is_undone(tie));
        let mut forest = Forest::over(&self.profiles);
        left.iter().for_each(|tie| forest.join(tie));
        for tie in gone {
            if let Some(merge_id) = tie.merge_id
                && forest.root(tie.one) == forest.root(tie.other)
            {
                let by = way(&left, tie.one, tie.other);
                return Err(StillTied { merge_id, by });
            }
        }
        Ok(forest.parts())
    }
}

/// Who is joined to whom as ties are made one after the other, each into the older: the
/// roots are those who live.
struct Forest(BTreeMap<ProfileId, Option<Joined>>);

impl Forest {
    fn over<'a>(profiles: impl IntoIterator<Item = &'a ProfileId>) -> Self {
        Self(profiles.into_iter().map(|id| (*id, None)).collect())
    }

    fn is_root(&self, id: ProfileId) -> bool {
        self.root(id) == id
    }

    fn root(&self, mut id: ProfileId) -> ProfileId {
        // Ends, since each is joined to an older one.
        while let Some(Some(joined)) = self.0.get(&id) {
            id = joined.into;
        }
        id
    }

    fn join(&mut self, tie: &Tie) {
        let (one, other) = (self.root(tie.one), self.root(tie.other));
        if one != other {
            let joined = Joined {
                into: one.min(other),
                time_ms: tie.time_ms,
            };
            self.0.insert(one.max(other), Some(joined));
        }
    }

    /// The oldest first.
    fn parts(&self) -> Vec<Part> {
        let mut parts: BTreeMap<ProfileId, Part> = BTreeMap::new();
        for (id, joined) in &self.0 {
            let root = self.root(*id);
            let part = parts.entry(root).or_insert_with(|| Part {
                root,
                joined: BTreeMap::new(),
            });
            if let Some(joined) = joined {
                part.joined.insert(*id, *joined);
            }
        }
        parts.into_values().collect()
    }
}

/// The recorded ties of a shortest way from one profile to another, breadth first.
fn way(ties: &[&Tie], from: ProfileId, to: ProfileId) -> Vec<MergeId> {
    let mut came_by: BTreeMap<ProfileId, &Tie> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(at) = next.pop_front() {
        if at == to {
            break;
        }
        for tie in ties {
            let Some(reached) = tie.from(at) else {
                continue;
            };
            if reached != from && !came_by.contains_key(&reached) {
                came_by.insert(reached, tie);
                next.push_back(reached);
            }
        }
    }
    let mut by = Vec::new();
    let mut at = to;
    while let Some(tie) = came_by.get(&at) {
        by.extend(tie.merge_id);
        at = tie.from(at).unwrap_or(from);
    }
    by.reverse();
    by
}

impl Tie {
    pub fn between(&self) -> Between {
        Between {
            one: self.one,
            other: self.other,
        }
    }

    /// Where it leads from one of its ends.
    fn from(&self, end: ProfileId) -> Option<ProfileId> {
        match end {
            end if end == self.one => Some(self.other),
            end if end == self.other => Some(self.one),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
