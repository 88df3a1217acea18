//! Two profiles that are one person: what each of them said, folded into what holds, and
//! what showed that they are one. What a side said is never changed by a merge, so
//! undoing one is folding anew without it; nothing is replayed.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    NotAnId, Owner, ProfileId, Record, folding, schema::TraitSchemas, standing::Refusal, ties::Part,
};

/// A profile that is part of a person.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    pub profile_id: ProfileId,
    /// What came by its own identifiers.
    pub own: &'a Record,
    /// None for the one that stayed.
    pub joined: Option<Joined>,
}

/// When a profile became part of which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Where it was joined to; may be merged itself by now.
    pub into: ProfileId,
    pub time_ms: i64,
}

/// What holds of a person: of each trait, what its strategy makes of what the sides
/// say; of consents and groups, what [`Record::absorb`] makes of them.
pub fn fold(root: ProfileId, sides: &[Side<'_>], traits: &TraitSchemas) -> Record {
    let mut record = absorbed(root, sides);
    let mut ordered: Vec<_> = sides.iter().collect();
    // The one that stayed first, then in the order in which they were joined.
    ordered.sort_by_key(|side| (side.joined.map(|j| j.time_ms), side.profile_id));
    let ids: BTreeSet<_> = ordered.iter().flat_map(|s| s.own.traits.keys()).collect();
    let held = |id: &String| {
        let said = ordered.iter().filter_map(|side| side.own.traits.get(id));
        Some((id.clone(), folding::fold(traits.merge_strategy(id), said)?))
    };
    record.traits = ids.into_iter().filter_map(held).collect();
    record
}

/// Everything but traits. Sides are taken in as they were joined, each after what had
/// been joined to it: what was decided about consent before a merge gives way to the
/// stricter side, and what was decided after it does not.
fn absorbed(root: ProfileId, sides: &[Side<'_>]) -> Record {
    let own = sides.iter().find(|side| side.profile_id == root);
    let mut record = own.map(|side| side.own.clone()).unwrap_or_default();
    let mut parts: Vec<_> = sides
        .iter()
        .filter_map(|side| {
            let joined = side.joined.filter(|joined| joined.into == root)?;
            // An older one cannot have been joined to it; a circle would have no end.
            (side.profile_id > root).then_some((joined.time_ms, side.profile_id))
        })
        .collect();
    parts.sort_unstable();
    for (time_ms, part) in parts {
        record.absorb(absorbed(part, sides), time_ms);
    }
    record
}

/// A merge on its way to the record of merges.
#[derive(Debug, Clone)]
pub struct Merged {
    pub merge_id: MergeId,
    pub survivor: ProfileId,
    pub merged: ProfileId,
    pub between: Between,
    pub evidence: Evidence,
}

/// The profiles that identifiers began with of which evidence says that they are one
/// person's, whoever those are part of by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Between {
    pub one: ProfileId,
    pub other: ProfileId,
}

impl Between {
    pub fn origins(one: Owner, other: Owner) -> Self {
        Self {
            one: one.origin_id,
            other: other.origin_id,
        }
    }

    /// The older first, so that two ways to say it are one.
    pub fn ordered(self) -> Self {
        Self {
            one: self.one.min(self.other),
            other: self.one.max(self.other),
        }
    }
}

/// Evidence that two profiles are one person which they were already.
#[derive(Debug, Clone)]
pub struct Confirmed {
    pub merge_id: MergeId,
    pub between: Between,
    pub evidence: Evidence,
}

/// A merge that was not made.
#[derive(Debug, Clone)]
pub struct Refused {
    pub merge_id: MergeId,
    pub profile_id: ProfileId,
    /// The same where it is about an identifier that nobody holds.
    pub other_id: ProfileId,
    pub between: Between,
    pub refusal: Refusal,
    pub evidence: Evidence,
}

/// A person who is several again.
#[derive(Debug, Clone)]
pub struct Split {
    /// The part that stayed.
    pub stays: Part,
    /// Those who live on their own again.
    pub leave: Vec<Part>,
    pub undone: Vec<Undone>,
}

impl Split {
    /// Who leaves, as stores move their rows.
    pub fn parted(&self) -> impl Iterator<Item = Parted> {
        let survivor = self.stays.root;
        self.leave.iter().map(move |part| Parted {
            survivor,
            unmerged: part.root,
            parts: part.profiles().collect(),
        })
    }
}

/// Somebody who is a person of their own again.
#[derive(Debug, Clone)]
pub struct Parted {
    /// The one that stayed.
    pub survivor: ProfileId,
    pub unmerged: ProfileId,
    /// It and those that are part of it.
    pub parts: Vec<ProfileId>,
}

/// A merge that was undone.
#[derive(Debug, Clone)]
pub struct Undone {
    pub merge_id: MergeId,
    pub between: Between,
    pub evidence: Evidence,
}

/// Id of a merge; increases with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MergeId(pub Uuid);

impl MergeId {
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}

impl std::str::FromStr for MergeId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        Uuid::try_parse(text).map(Self).map_err(|_| NotAnId)
    }
}

impl std::fmt::Display for MergeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What showed that two profiles are one person, and what undid it. The stored form:
/// tags are never reused.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Evidence {
    /// The message that named both; empty where an operator joined them.
    #[prost(string, tag = "1")]
    pub message_id: String,
    /// The identifiers it named, as `namespace:value`.
    #[prost(string, repeated, tag = "2")]
    pub identities: Vec<String>,
    /// Whoever joined them, and why; empty where a message did.
    #[prost(string, tag = "3")]
    pub operator: String,
    #[prost(string, tag = "4")]
    pub reason: String,
    /// Why it was not done.
    #[prost(string, tag = "5")]
    pub refusal: String,
    /// Who undid it, and why.
    #[prost(string, tag = "6")]
    pub undone_by: String,
    #[prost(string, tag = "7")]
    pub undone_because: String,
    /// They were one person already.
    #[prost(bool, tag = "8")]
    pub confirms: bool,
}

impl Evidence {
    /// In a sentence, for people.
    pub fn text(&self) -> String {
        let mut text = match self.message_id.as_str() {
            "" => said("operator", &self.operator, &self.reason),
            id => format!("message {id} named {}", self.identities.join(" and ")),
        };
        if self.confirms {
            text = format!("{text}, who were one person already");
        }
        if !self.refusal.is_empty() {
            text = format!("{text}; refused: {}", self.refusal);
        }
        if !self.undone_by.is_empty() || !self.undone_because.is_empty() {
            let undone = said("undone by", &self.undone_by, &self.undone_because);
            text = format!("{text}; {undone}");
        }
        text
    }
}

fn said(verb: &str, who: &str, why: &str) -> String {
    let who = if who.is_empty() { "an operator" } else { who };
    match why {
        "" => format!("{verb} {who}"),
        why => format!("{verb} {who}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Provenance, Traits, consent::Decision, record::Statement};
    use attune_api::{
        json::to_value,
        profile::v1::{MergeStrategy, Trait},
    };
    use serde_json::{Value as Json, json};

    fn consent(granted: bool, time_ms: i64) -> Record {
        let mut record = Record::default();
        let decision = Decision {
            granted,
            time_ms,
            ..Decision::default()
        };
        record.decide("p", decision);
        record
    }

    #[test]
    fn consents_give_way_to_the_stricter_side_until_the_merge_and_to_the_later_after_it() {
        // What each of three decided and when; when the second joined the first and the
        // third the first; what holds.
        type Decided = Option<(bool, i64)>;
        let rows: [([Decided; 3], [i64; 2], Option<bool>); 9] = [
            ([None, None, None], [10, 20], None),
            ([None, Some((true, 5)), None], [10, 20], Some(true)),
            (
                [Some((true, 8)), Some((false, 5)), None],
                [10, 20],
                Some(false),
            ),
            (
                [Some((false, 5)), Some((true, 8)), None],
                [10, 20],
                Some(false),
            ),
            // Decided when they were one: the later holds, whichever side it came by.
            (
                [Some((true, 12)), Some((false, 5)), None],
                [10, 20],
                Some(true),
            ),
            (
                [Some((false, 5)), Some((true, 12)), None],
                [10, 20],
                Some(true),
            ),
            (
                [Some((true, 12)), Some((false, 15)), None],
                [10, 20],
                Some(false),
            ),
            // A third who joins later is held against what held until then.
            (
                [Some((true, 12)), Some((false, 5)), Some((true, 15))],
                [10, 20],
                Some(true),
            ),
            (
                [Some((true, 12)), Some((false, 5)), Some((false, 1))],
                [10, 20],
                Some(false),
            ),
        ];
        let ids: Vec<_> = (0..3).map(|_| ProfileId::fresh()).collect();
        for (decided, times, expected) in rows {
            let own = decided.map(|decided| match decided {
                Some((granted, time_ms)) => consent(granted, time_ms),
                None => Record::default(),
            });
            let joined = |time_ms| {
                Some(Joined {
                    into: ids[0],
                    time_ms,
                })
            };
            let sides =
                [(0, None), (1, joined(times[0])), (2, joined(times[1]))].map(|(i, joined)| Side {
                    profile_id: ids[i],
                    own: &own[i],
                    joined,
                });
            let held = fold(ids[0], &sides, &TraitSchemas::default()).granted("p");
            assert_eq!(held, expected, "{decided:?}");
        }
    }

    fn traits(json: Json, time_ms: i64) -> Record {
        let Json::Object(map) = json else { panic!() };
        let traits: Traits = map
            .into_iter()
            .map(|(id, value)| (id, (!value.is_null()).then(|| to_value(value))))
            .collect();
        let mut record = Record::default();
        record.set_traits(Statement {
            traits: &traits,
            time_ms,
            provenance: &Provenance::default(),
        });
        record
    }

    #[test]
    fn traits_are_folded_by_their_strategies_and_otherwise_by_time() {
        let ids: Vec<_> = (0..3).map(|_| ProfileId::fresh()).collect();
        let own = [
            traits(json!({"a": 1, "b": 1, "c": 1, "visits": 3}), 10),
            traits(json!({"a": 2, "b": null, "d": 2, "visits": 4}), 20),
            traits(json!({"c": 2, "d": 3, "visits": 5}), 5),
        ];
        // The third joined the second, and the second the first.
        let into = [None, Some((0, 60)), Some((1, 50))];
        let sides: Vec<_> = (0..3)
            .map(|i| Side {
                profile_id: ids[i],
                own: &own[i],
                joined: into[i].map(|(into, time_ms): (usize, _)| Joined {
                    into: ids[into],
                    time_ms,
                }),
            })
            .collect();
        let visits = Trait {
            trait_id: "visits".into(),
            merge_strategy: MergeStrategy::Sum.into(),
            ..Trait::default()
        };
        let strategies = TraitSchemas::new([&visits]);
        let rows = [
            (0, 3, json!({"a": 2, "c": 1, "d": 2, "visits": 12})),
            (1, 3, json!({"a": 2, "c": 2, "d": 2, "visits": 9})),
        ];
        for (root, count, expected) in rows {
            let record = fold(ids[root], &sides[root..count], &strategies);
            let shown = attune_api::json::from_struct(&record.current_traits());
            assert_eq!(shown, expected);
        }
    }
}
