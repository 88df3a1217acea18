//! What snapshots hold of a person, and what they leave out.

use super::*;
use crate::domain::{
    consent::{Decision, PERSONALIZATION, SENSITIVE_DATA, Signalled},
    purposes::{Asked, DefaultConsent, TraitTerms},
    record::{Provenance, Statement},
    region::Region,
};
use proptest::prelude::*;

fn event(kind: &str, time_ms: i64) -> EncodedEvent {
    EncodedEvent::new(&RecentEvent {
        r#type: kind.into(),
        time_ms,
        item_ids: vec!["i".repeat(200)],
        revenue: 1.5,
        ..RecentEvent::default()
    })
}

fn decoded(snapshot: &EncodedSnapshot) -> Snapshot {
    Snapshot::decode(snapshot.bytes()).unwrap()
}

fn terms(default: DefaultConsent) -> Purposes {
    let illness = TraitTerms {
        trait_id: "illness",
        purpose: "",
        sensitive: true,
    };
    Purposes::new(&[], [illness], default)
}

fn decide(record: &mut Record, purpose: &str, granted: bool) {
    let decision = Decision {
        granted,
        time_ms: 1,
        ..Decision::default()
    };
    record.decide(purpose, decision);
}

/// Someone of whom everything is known.
fn ann() -> Record {
    let mut record = Record::default();
    let text = |text: &str| attune_api::json::to_value(text.into());
    let traits = [("name", "Ann"), ("illness", "asthma")];
    let traits = traits.map(|(id, value)| (id.to_owned(), Some(text(value))));
    record.set_traits(Statement {
        traits: &traits.into(),
        time_ms: 1,
        provenance: &Provenance::default(),
    });
    record.computed.insert("visits".into(), text("many"));
    record.segments.insert("vip".into(), 1);
    record.segments.insert("new".into(), 1);
    record.preferences = Some(Preferences {
        interests: vec!["tents".into()],
        language: "de-AT".into(),
        ..Preferences::default()
    });
    record
}

fn decided(granted: bool) -> Record {
    let mut record = ann();
    decide(&mut record, PERSONALIZATION, granted);
    record
}

fn wishing(level: Level) -> Record {
    let mut record = decided(true);
    if let Some(preferences) = &mut record.preferences {
        preferences.level = level.into();
    }
    record
}

#[test]
fn without_consent_nothing_personal_is_held() {
    use DefaultConsent::{Denied, Granted};
    let id = ProfileId::fresh();
    let rows = [
        (decided(false), Granted, Basis::ContextOnly),
        (ann(), Denied, Basis::ContextOnly),
        (wishing(Level::Context), Granted, Basis::ContextOnly),
        (wishing(Level::Nothing), Granted, Basis::NotPersonalized),
        (decided(true), Denied, Basis::Full),
        (decided(true), Granted, Basis::Full),
    ];
    for (record, default, basis) in rows {
        let history = RecentHistory::of(vec![event("view", 1)], 10);
        let purposes = terms(default);
        let snapshot = EncodedSnapshot::new(id, &record, &purposes, &history)
            .with_event(&event("view", 2), 10);
        let shown = decoded(&snapshot);
        let full = basis == Basis::Full;
        assert_eq!((snapshot.basis(), shown.basis()), (basis, basis));
        assert_eq!(shown.traits.is_some(), full);
        assert_eq!(shown.recent_events.len(), if full { 2 } else { 0 });
        assert_eq!(shown.segments.len(), if full { 2 } else { 0 });
        assert_eq!(snapshot.segments(), shown.segments);
        // How to be spoken to is told all the same.
        let preferences = shown.preferences.unwrap();
        assert_eq!(preferences.language, "de-AT");
        assert_eq!(preferences.interests.len(), usize::from(full));
    }
    let refused = decoded(&EncodedSnapshot::new(
        id,
        &decided(false),
        &terms(Granted),
        &RecentHistory::default(),
    ));
    assert!(!refused.consents[PERSONALIZATION]);
}

fn trait_ids(snapshot: &EncodedSnapshot) -> Vec<String> {
    let traits = decoded(snapshot).traits.unwrap_or_default();
    traits.fields.into_keys().collect()
}

#[test]
fn sensitive_traits_are_held_where_they_may_be_used() {
    let purposes = terms(DefaultConsent::Granted);
    let (id, history) = (ProfileId::fresh(), RecentHistory::default());
    let mut record = ann();
    let plain = EncodedSnapshot::new(id, &record, &purposes, &history);
    assert_eq!(trait_ids(&plain), ["interests", "name", "visits"]);
    decide(&mut record, SENSITIVE_DATA, true);
    let all = EncodedSnapshot::new(id, &record, &purposes, &history);
    assert_eq!(trait_ids(&all), ["illness", "interests", "name", "visits"]);
}

#[test]
fn a_narrowed_snapshot_equals_one_that_was_made_for_less() {
    let id = ProfileId::fresh();
    let purposes = terms(DefaultConsent::Granted);
    let mut record = decided(true);
    decide(&mut record, SENSITIVE_DATA, true);
    let history = RecentHistory::of(vec![event("b", 20), event("a", 10)], 1);
    let whole = EncodedSnapshot::new(id, &record, &purposes, &history);
    let mut less = record.clone();
    decide(&mut less, SENSITIVE_DATA, false);
    let mut least = record.clone();
    decide(&mut least, PERSONALIZATION, false);
    for other in [less, least, record.clone()] {
        let allowed = purposes.standing(&other).allowed;
        let narrowed = whole.narrowed(&purposes, allowed).unwrap();
        let made = EncodedSnapshot::allowing(id, &other, &purposes, allowed, &history);
        assert_eq!(decoded(&narrowed), decoded(&made));
        let back = narrowed.narrowed(&purposes, whole.allowed());
        assert_eq!(back.is_none(), allowed != whole.allowed());
    }
}

#[test]
fn gpc_and_the_region_of_the_moment_decide_what_is_asked_for() {
    let purposes = terms(DefaultConsent::Granted);
    let mut insisting = decided(true);
    insisting.signalled = Some(Signalled {
        gpc_since_ms: 0,
        region: "AT".into(),
        ..Signalled::default()
    });
    let history = RecentHistory::default();
    let held = EncodedSnapshot::new(ProfileId::fresh(), &insisting, &purposes, &history);
    let gpc = Asked {
        gpc: true,
        region: Region::parse("US").ok(),
    };
    let here = purposes.here(held.standing(), &gpc);
    let narrowed = held.narrowed(&purposes, here).unwrap();
    assert_eq!(narrowed.basis(), Basis::ContextOnly);
    let shape = held.shape();
    assert!(shape.is_of(&purposes) && !shape.is_of(&terms_without()));
}

fn terms_without() -> Purposes {
    Purposes::new(&[], [], DefaultConsent::Granted)
}

#[test]
fn a_snapshot_says_from_when_on_its_history_is_complete() {
    let read = vec![event("c", 30), event("b", 20), event("a", 10)];
    assert_eq!(RecentHistory::of(read.clone(), 3).since_ms, 0);
    let history = RecentHistory::of(read, 2);
    assert_eq!((history.events.len(), history.since_ms), (2, 11));
    let id = ProfileId::fresh();
    let (record, purposes) = (Record::default(), terms(DefaultConsent::Granted));
    let snapshot = EncodedSnapshot::new(id, &record, &purposes, &history);
    let later = snapshot
        .with_event(&event("d", 40), 2)
        .with_record(id, &record, &purposes)
        .unwrap();
    assert_eq!(decoded(&later).history_since_ms, 21);
    assert_eq!(decoded(&later).recent_events.len(), 2);
}

proptest! {
    #[test]
    fn splicing_equals_sorting(
        times in prop::collection::vec(0i64..20, 0..30),
        events_max in 1usize..12,
    ) {
        let start = EncodedSnapshot::new(
            ProfileId::fresh(), &Record::default(), &terms(DefaultConsent::Granted),
            &RecentHistory::default());
        let spliced = times.iter().enumerate().fold(start, |snapshot, (i, time)| {
            snapshot.with_event(&event(&i.to_string(), *time), events_max)
        });
        let mut expected: Vec<_> = times.iter().copied().enumerate().collect();
        expected.sort_by_key(|(i, time)| std::cmp::Reverse((*time, *i)));
        let left_out = expected.iter().skip(events_max).map(|(_, time)| time + 1).max();
        expected.truncate(events_max);
        let shown = decoded(&spliced);
        let got: Vec<_> = shown.recent_events.iter()
            .map(|e| (e.r#type.parse::<usize>().unwrap(), e.time_ms)).collect();
        prop_assert_eq!(got, expected);
        prop_assert_eq!(shown.history_since_ms, left_out.unwrap_or(0));
    }
}
