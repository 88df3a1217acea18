//! How far a batch may reach: the people whom its messages may bring together, before any
//! of it is decided. What is looked up follows from that, and no more is.

use rustc_hash::FxHashMap;

use super::{Directory, named};
use crate::domain::{Kind, Message, Owner, ProfileId, Who, merge::Between};

/// People, and identifiers that nobody holds, who may end up as one person.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Living profiles.
    pub people: Vec<ProfileId>,
    /// Identifiers that they hold, and that nobody holds yet.
    pub identities: u64,
    /// Something that nobody holds is named, or somebody says who is who expressly: which
    /// profiles are named together is not told by `pairs` alone.
    pub adds: bool,
    /// Profiles of one person that messages name together, the older first.
    pub pairs: Vec<Between>,
}

impl Group {
    /// Everybody who was looked up, by somebody who names people by their ids.
    pub fn of(directory: &Directory) -> Self {
        let mut group = Self::default();
        for (profile_id, standing) in directory.standings() {
            group.identities += u64::from(standing.identities);
            group.people.push(profile_id);
        }
        group
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Node<'m> {
    Person(ProfileId),
    /// By its key.
    Unheld(&'m str),
}

/// Whoever was joined, by the usual disjoint sets with path halving.
#[derive(Default)]
struct Sets<'m> {
    places: FxHashMap<Node<'m>, usize>,
    parents: Vec<usize>,
}

impl<'m> Sets<'m> {
    fn place(&mut self, node: Node<'m>) -> usize {
        let next = self.parents.len();
        let place = *self.places.entry(node).or_insert(next);
        if place == next {
            self.parents.push(next);
        }
        place
    }

    fn root(&mut self, mut place: usize) -> usize {
        while self.parents[place] != place {
            self.parents[place] = self.parents[self.parents[place]];
            place = self.parents[place];
        }
        place
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one.max(other)] = one.min(other);
    }
}

/// Something that a message names, and whose it is.
type Named<'m> = (Node<'m>, Option<Owner>);

impl Directory {
    /// The groups of messages that name more than one profile's identifiers, or link some
    /// that nobody holds to others.
    pub fn groups<'m>(&self, messages: impl Iterator<Item = &'m Message>) -> Vec<Group> {
        let mut sets = Sets::default();
        let mut pairs: Vec<(ProfileId, Between)> = Vec::new();
        let mut express: Vec<usize> = Vec::new();
        for message in messages {
            // Most name one person, in one way or in several that lead to one profile:
            // nothing is joined, and there is nothing to add.
            let mut owners = self.named(message).map(|(_, owner)| owner);
            let first = owners.next().flatten();
            let is_plain = match first {
                Some(_) => owners.all(|owner| owner == first),
                None => owners.next().is_none(),
            };
            if is_plain {
                continue;
            }
            let named: Vec<_> = self.named(message).collect();
            let places = named.iter().map(|(node, _)| sets.place(*node));
            let places: Vec<_> = places.collect();
            places.windows(2).for_each(|two| sets.join(two[0], two[1]));
            if matches!(message.kind, Kind::Alias { .. }) {
                express.extend(places.first());
            }
            pairs.extend(in_one_person(&named));
        }
        let mut groups = self.collect(&mut sets);
        for (living, between) in pairs {
            let place = sets.place(Node::Person(living));
            groups
                .entry(sets.root(place))
                .or_default()
                .pairs
                .push(between);
        }
        for place in express {
            groups.entry(sets.root(place)).or_default().adds = true;
        }
        groups.into_values().collect()
    }

    fn named<'m>(&self, message: &'m Message) -> impl Iterator<Item = Named<'m>> {
        let (id, previous) = match (&message.who, &message.kind) {
            (Who::Profile(id), Kind::Alias { previous }) => (self.owner(*id), Some(previous)),
            (_, Kind::Alias { previous }) => (None, Some(previous)),
            _ => (None, None),
        };
        let identities = named(message).iter().chain(previous);
        let identities = identities.map(|identity| (self.holder(identity), identity));
        let identities = identities.map(|(owner, identity)| match owner {
            Some(held) => (Node::Person(held.profile_id), owner),
            None => (Node::Unheld(identity.key()), None),
        });
        let by_id = id.map(|owner| (Node::Person(owner.profile_id), Some(owner)));
        by_id.into_iter().chain(identities)
    }

    fn collect(&self, sets: &mut Sets<'_>) -> FxHashMap<usize, Group> {
        let mut groups: FxHashMap<usize, Group> = FxHashMap::default();
        let nodes: Vec<_> = sets.places.iter().map(|(n, place)| (*n, *place)).collect();
        for (node, place) in nodes {
            let group = groups.entry(sets.root(place)).or_default();
            match node {
                Node::Person(profile_id) => {
                    let standing = self.standing(profile_id).unwrap_or_default();
                    group.identities += u64::from(standing.identities);
                    group.people.push(profile_id);
                }
                Node::Unheld(_) => {
                    group.identities += 1;
                    group.adds = true;
                }
            }
        }
        groups
    }
}

/// Of each person that a message names several profiles of, the first with each other.
fn in_one_person(named: &[Named<'_>]) -> Vec<(ProfileId, Between)> {
    let owners: Vec<Owner> = named.iter().filter_map(|(_, owner)| *owner).collect();
    let pairs = owners.iter().filter_map(|owner| {
        let first = owners.iter().find(|o| o.profile_id == owner.profile_id)?;
        let between = Between::origins(*first, *owner).ordered();
        (between.one != between.other).then_some((owner.profile_id, between))
    });
    pairs.collect()
}
