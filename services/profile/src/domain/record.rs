//! What is known about a person besides the timeline: traits with the time of each
//! value, consents, groups; and how two such records become one. The tags are the
//! stored form and are never reused. Knows nothing of where it is kept.

use std::{collections::BTreeMap, sync::Arc};

use attune_api::profile::v1::{Origin, Party};
use prost_types::{Struct, Value, value::Kind};

use super::{
    Traits,
    consent::{self, ANALYTICS, Decision, Decisions, PERSONALIZATION, Signalled},
    preferences::{Level, Preferences},
};

#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    #[prost(btree_map = "string, message", tag = "1")]
    pub traits: BTreeMap<String, Timed>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub consents: Decisions,
    #[prost(btree_map = "string, message", tag = "3")]
    pub groups: BTreeMap<String, Membership>,
    #[prost(message, optional, tag = "4")]
    pub preferences: Option<Preferences>,
    /// Computed traits. Derived, as are the next.
    #[prost(btree_map = "string, message", tag = "5")]
    pub computed: BTreeMap<String, Value>,
    /// Segments the person is in, and since when.
    #[prost(btree_map = "string, int64", tag = "6")]
    pub segments: BTreeMap<String, i64>,
    #[prost(message, optional, tag = "7")]
    pub signalled: Option<Signalled>,
    /// Lists the person was put on or taken off by name.
    #[prost(btree_map = "string, message", tag = "8")]
    pub lists: BTreeMap<String, Listed>,
    /// When time alone can next change what is derived; absent for never.
    #[prost(int64, optional, tag = "11")]
    pub due_ms: Option<i64>,
    /// Of each thing that is derived; see `derive::dues`.
    #[prost(btree_map = "string, int64", tag = "13")]
    pub dues: BTreeMap<String, i64>,
}

/// Whether somebody is on a list, and who said so last. Says so of those who were taken
/// off too, so that an older word does not come back.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Listed {
    #[prost(bool, tag = "1")]
    pub member: bool,
    #[prost(int64, tag = "2")]
    pub time_ms: i64,
    /// The revision at which that list was made: one that is made anew begins empty.
    #[prost(int64, tag = "3")]
    pub born: i64,
}

/// A value and when it was true. Without a value it says since when there is none,
/// so that an older value arriving late does not come back.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Timed {
    #[prost(message, optional, tag = "1")]
    pub value: Option<Value>,
    #[prost(int64, tag = "2")]
    pub time_ms: i64,
    /// Who said so; empty where nobody named themselves.
    #[prost(string, tag = "3")]
    pub source: String,
    #[prost(enumeration = "Party", tag = "4")]
    pub party: i32,
    #[prost(enumeration = "Origin", tag = "5")]
    pub origin: i32,
}

/// Where values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Empty where the sender does not name itself.
    pub source: Arc<str>,
    pub party: Party,
    pub origin: Origin,
}

impl Default for Provenance {
    fn default() -> Self {
        Self {
            source: "".into(),
            party: Party::Unspecified,
            origin: Origin::Unspecified,
        }
    }
}

/// Traits as somebody said they were at a time.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    pub traits: &'a Traits,
    pub time_ms: i64,
    pub provenance: &'a Provenance,
}

/// What came of a statement.
#[derive(Debug, Default)]
pub struct Said {
    pub change: Change,
    /// By trait: values that hold no longer, and those that came too late to.
    pub past: Vec<(String, Timed)>,
    /// Traits that another source says are otherwise.
    pub disputed: Vec<String>,
    /// Values older than the one that is held.
    pub late: u32,
}

/// What is known about a group this person is in.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Membership {
    #[prost(btree_map = "string, message", tag = "1")]
    pub traits: BTreeMap<String, Timed>,
}

/// Whether a write left something different from before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change {
    #[default]
    None,
    Some,
}

impl Record {
    /// The latest time wins; at the same time, the one that comes later.
    pub fn set_traits(&mut self, statement: Statement<'_>) -> Said {
        set_all(&mut self.traits, statement)
    }

    pub fn join_group(&mut self, group_id: &str, statement: Statement<'_>) -> Change {
        let joined = match self.groups.contains_key(group_id) {
            true => Change::None,
            false => Change::Some,
        };
        let group = self.groups.entry(group_id.to_owned()).or_default();
        match set_all(&mut group.traits, statement).change {
            Change::Some => Change::Some,
            Change::None => joined,
        }
    }

    /// A decision older than the one at hand changes nothing, nor does the same again.
    pub fn decide(&mut self, purpose: &str, decision: Decision) -> Change {
        match self.consents.get(purpose) {
            Some(held) if !held.gives_way_to(&decision) => Change::None,
            _ => {
                self.consents.insert(purpose.to_owned(), decision);
                Change::Some
            }
        }
    }

    /// Values from before the moment that is given for their trait.
    pub fn too_old<'a>(
        &'a self,
        before_ms: &'a BTreeMap<String, i64>,
    ) -> impl Iterator<Item = &'a str> + 'a {
        before_ms.iter().filter_map(|(id, before_ms)| {
            let held = self.traits.get(id)?;
            (held.time_ms < *before_ms).then_some(id.as_str())
        })
    }

    /// Drops them, and says of which traits.
    pub fn expire(&mut self, before_ms: &BTreeMap<String, i64>) -> Vec<String> {
        let expired: Vec<_> = self.too_old(before_ms).map(str::to_owned).collect();
        for id in &expired {
            self.traits.remove(id);
        }
        expired
    }

    /// The latest word counts, and of lists of one name that about the one made last.
    pub fn list(&mut self, segment_id: &str, listed: Listed) -> Change {
        match self.lists.get(segment_id) {
            Some(held) if (held.born, held.time_ms) > (listed.born, listed.time_ms) => Change::None,
            // Also where it says what is held: it is the later word, which counts among
            // those of all who are this person.
            _ => {
                self.lists.insert(segment_id.to_owned(), listed);
                Change::Some
            }
        }
    }

    pub fn is_listed(&self, segment_id: &str, born: i64) -> bool {
        let listed = self.lists.get(segment_id);
        listed.is_some_and(|listed| listed.member && listed.born == born)
    }

    /// Takes out what is derived, and nothing else.
    pub fn clear_derived(&mut self) -> Self {
        Self {
            computed: std::mem::take(&mut self.computed),
            segments: std::mem::take(&mut self.segments),
            due_ms: self.due_ms.take(),
            dues: std::mem::take(&mut self.dues),
            ..Self::default()
        }
    }

    /// Puts back what [`Record::clear_derived`] took out.
    pub fn keep_derived(&mut self, derived: Self) {
        self.computed = derived.computed;
        self.segments = derived.segments;
        self.due_ms = derived.due_ms;
        self.dues = derived.dues;
    }

    /// Whether `purpose` was granted; None if nothing was decided.
    pub fn granted(&self, purpose: &str) -> Option<bool> {
        self.consents.get(purpose).map(|c| c.granted)
    }

    /// Whether the person decided that what they do may be learned from, as far as that
    /// can be told without the workspace's purposes; None if they left it open. It takes
    /// consent to personalization and analytics both, and one refusal settles it.
    pub fn learning(&self) -> Option<bool> {
        let wanted = self.level() == Level::Full;
        match (self.granted(PERSONALIZATION), self.granted(ANALYTICS)) {
            _ if !wanted => Some(false),
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    /// How personal it may get.
    pub fn level(&self) -> Level {
        let preferences = self.preferences.as_ref();
        preferences.map_or(Level::Full, Preferences::level_held)
    }

    /// A wish older than the one at hand changes nothing, nor does the same again.
    pub fn prefer(&mut self, preferences: Preferences) -> Change {
        match &self.preferences {
            Some(held) if held.time_ms > preferences.time_ms || *held == preferences => {
                Change::None
            }
            _ => {
                self.preferences = Some(preferences);
                Change::Some
            }
        }
    }

    /// Takes over what another record of the same person knows, found to be so at
    /// `merge_ms`: consents by the most restrictive of what was decided until then, or by
    /// what was decided later; the latest preferences, with the level by the same rule; of
    /// groups, the latest traits. A person's own traits are folded by their strategies
    /// instead.
    pub fn absorb(&mut self, other: Record, merge_ms: i64) {
        consent::absorb(&mut self.consents, other.consents, merge_ms);
        self.signalled = Signalled::joined(self.signalled.take(), other.signalled);
        self.preferences =
            Preferences::joined(self.preferences.take(), other.preferences, merge_ms);
        for (group_id, theirs) in other.groups {
            let ours = self.groups.entry(group_id).or_default();
            absorb_traits(&mut ours.traits, theirs.traits);
        }
        for (segment_id, theirs) in other.lists {
            self.list(&segment_id, theirs);
        }
    }

    /// What a trait says, where that is a text.
    pub fn text(&self, trait_id: &str) -> Option<&str> {
        match &self.value(trait_id)?.kind {
            Some(Kind::StringValue(text)) => Some(text),
            _ => None,
        }
    }

    /// Current traits, without the removed ones and with those that are computed.
    pub fn current_traits(&self) -> Struct {
        let mut traits = current(&self.traits);
        let computed = self.computed.iter();
        traits
            .fields
            .extend(computed.map(|(id, value)| (id.clone(), value.clone())));
        traits
    }

    /// A trait's value, computed or stated.
    pub fn value(&self, trait_id: &str) -> Option<&Value> {
        let stated = || self.traits.get(trait_id)?.value.as_ref();
        self.computed.get(trait_id).or_else(stated)
    }
}

impl Membership {
    pub fn current_traits(&self) -> Struct {
        current(&self.traits)
    }
}

fn current(traits: &BTreeMap<String, Timed>) -> Struct {
    let fields = traits
        .iter()
        .filter_map(|(id, timed)| Some((id.clone(), timed.value.clone()?)))
        .collect();
    Struct { fields }
}

fn set_all(held: &mut BTreeMap<String, Timed>, statement: Statement<'_>) -> Said {
    let mut said = Said::default();
    for (id, value) in statement.traits.iter() {
        let new = statement.timed(value);
        let Some(old) = held.get_mut(id) else {
            held.insert(id.clone(), new);
            said.change = Change::Some;
            continue;
        };
        let is_same = old.value == new.value;
        if !is_same && old.source != new.source {
            said.disputed.push(id.clone());
        }
        if old.time_ms > new.time_ms {
            said.late += 1;
            if !is_same {
                said.past.push((id.clone(), new));
            }
            continue;
        }
        if is_same && old.time_ms == new.time_ms {
            continue;
        }
        let old = std::mem::replace(old, new);
        if !is_same {
            said.past.push((id.clone(), old));
        }
        said.change = Change::Some;
    }
    said
}

impl Statement<'_> {
    fn timed(&self, value: &Option<Value>) -> Timed {
        Timed {
            value: value.clone(),
            time_ms: self.time_ms,
            source: self.provenance.source.to_string(),
            party: self.provenance.party.into(),
            origin: self.provenance.origin.into(),
        }
    }
}

fn absorb_traits(ours: &mut BTreeMap<String, Timed>, theirs: BTreeMap<String, Timed>) {
    for (id, their) in theirs {
        match ours.get_mut(&id) {
            Some(our) if our.time_ms >= their.time_ms => {}
            Some(our) => *our = their,
            None => {
                ours.insert(id, their);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_api::json::to_value;
    use serde_json::{Value as Json, json};

    fn traits(json: Json) -> Traits {
        let Json::Object(map) = json else { panic!() };
        map.into_iter()
            .map(|(id, value)| (id, (!value.is_null()).then(|| to_value(value))))
            .collect()
    }

    fn said_by(record: &mut Record, source: &str, json: Json, time_ms: i64) -> Said {
        let provenance = Provenance {
            source: source.into(),
            ..Provenance::default()
        };
        record.set_traits(Statement {
            traits: &traits(json),
            time_ms,
            provenance: &provenance,
        })
    }

    fn set(record: &mut Record, json: Json, time_ms: i64) -> Change {
        said_by(record, "", json, time_ms).change
    }

    fn shown(record: &Record) -> Json {
        attune_api::json::from_struct(&record.current_traits())
    }

    fn decision(granted: bool, time_ms: i64) -> Decision {
        Decision {
            granted,
            time_ms,
            ..Decision::default()
        }
    }

    #[test]
    fn the_latest_value_of_a_trait_wins_in_any_order() {
        let writes = [
            (json!({"plan": "free", "city": "Graz"}), 10),
            (json!({"plan": "pro", "city": null}), 20),
            (json!({"plan": "trial"}), 15),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let mut record = Record::default();
            for i in order {
                let (traits, time_ms) = writes[i].clone();
                set(&mut record, traits, time_ms);
            }
            assert_eq!(shown(&record), json!({"plan": "pro"}), "{order:?}");
        }
    }

    #[test]
    fn the_same_write_again_is_no_change() {
        let mut record = Record::default();
        assert_eq!(set(&mut record, json!({"a": 1}), 5), Change::Some);
        assert_eq!(set(&mut record, json!({"a": 1}), 5), Change::None);
        for (time_ms, expected) in [(5, Change::Some), (6, Change::None)] {
            let nothing = Statement {
                traits: &[].into(),
                time_ms,
                provenance: &Provenance::default(),
            };
            assert_eq!(record.join_group("g", nothing), expected);
        }
        assert_eq!(record.decide("p", decision(true, 5)), Change::Some);
        assert_eq!(record.decide("p", decision(true, 5)), Change::None);
        assert_eq!(record.decide("p", decision(false, 4)), Change::None);
        assert_eq!(record.granted("p"), Some(true));
    }

    #[test]
    fn what_held_before_becomes_the_past_once() {
        /// Source, traits, time; then what is past, disputed and late.
        type Row = (&'static str, Json, i64, Json, &'static [&'static str], u32);
        let rows: &[Row] = &[
            ("crm", json!({"plan": "free"}), 10, json!({}), &[], 0),
            ("crm", json!({"plan": "free"}), 20, json!({}), &[], 0),
            ("web", json!({"plan": "free"}), 30, json!({}), &[], 0),
            (
                "crm",
                json!({"plan": "pro", "city": "Graz"}),
                40,
                json!({"plan": ["free", 30, "web"]}),
                &["plan"],
                0,
            ),
            // Too late to hold, and still said.
            (
                "web",
                json!({"plan": "trial"}),
                35,
                json!({"plan": ["trial", 35, "web"]}),
                &["plan"],
                1,
            ),
            (
                "crm",
                json!({"plan": null}),
                50,
                json!({"plan": ["pro", 40, "crm"]}),
                &[],
                0,
            ),
            (
                "crm",
                json!({"plan": "pro"}),
                60,
                json!({"plan": [null, 50, "crm"]}),
                &[],
                0,
            ),
        ];
        let mut record = Record::default();
        for (source, traits, time_ms, past, disputed, late) in rows {
            let said = said_by(&mut record, source, traits.clone(), *time_ms);
            let shown: serde_json::Map<_, _> = said
                .past
                .iter()
                .map(|(id, timed)| {
                    let value = timed.value.as_ref().map(attune_api::json::from_value);
                    (id.clone(), json!([value, timed.time_ms, timed.source]))
                })
                .collect();
            assert_eq!(&Json::Object(shown), past, "at {time_ms}");
            assert_eq!(&said.disputed, disputed, "at {time_ms}");
            assert_eq!(&said.late, late, "at {time_ms}");
        }
        assert_eq!(record.traits["plan"].source, "crm");
    }
}
