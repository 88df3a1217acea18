use std::{cell::Cell, ops::ControlFlow};

use attune_api::profile::v1::RecentEvent;
use attune_expr::{EventRef, Kind, Value, Vocabulary, recent_events};

use super::*;

const NOW: i64 = 1_767_225_600_000;

/// A history, and how often it was looked at.
#[derive(Default)]
struct Ann {
    events: Vec<RecentEvent>,
    judged: Cell<usize>,
    now_ms: i64,
}

struct View<'a>(&'a Ann, &'a Record);

impl Scope for View<'_> {
    fn profile(&self, trait_id: &str) -> Value<'_> {
        self.1.value(trait_id).map_or(Value::Missing, Value::from)
    }

    fn in_segment(&self, id: &str) -> bool {
        self.1.segments.contains_key(id)
    }

    fn now_ms(&self) -> i64 {
        self.0.now_ms
    }

    fn events<'s>(
        &'s self,
        event_type: Option<&str>,
        since_ms: Option<i64>,
        visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
    ) {
        recent_events(&self.0.events, event_type, since_ms, visit);
    }
}

impl Person for Ann {
    fn show<T>(&self, record: &Record, see: impl FnOnce(&dyn Scope) -> T) -> T {
        self.judged.set(self.judged.get() + 1);
        see(&View(self, record))
    }
}

fn segment(id: &str, expression: &str) -> Definition {
    let expression = Expression::compile(expression, &Vocabulary::subject()).unwrap();
    Definition {
        name: Name::Segment(id.into()),
        rule: Rule::Expression(expression),
    }
}

fn computed(id: &str, expression: &str) -> Definition {
    let vocabulary = Vocabulary::subject();
    let expression = Expression::compile_value(expression, &vocabulary, Kind::Any).unwrap();
    Definition {
        name: Name::Trait(id.into()),
        rule: Rule::Expression(expression),
    }
}

/// Traits that begin with `health` are sensitive.
fn needed(trait_id: &str) -> Vec<&'static str> {
    match trait_id.starts_with("health") {
        true => vec!["personalization", "sensitive_data"],
        false => vec!["personalization"],
    }
}

fn derived(definitions: Vec<Definition>) -> Derived {
    let (derived, cycles) = Derived::new(definitions, &needed, &Ann::default());
    assert_eq!(cycles, []);
    derived
}

fn event(kind: &str, time_ms: i64, revenue: f64) -> RecentEvent {
    RecentEvent {
        r#type: kind.into(),
        time_ms,
        revenue,
        ..RecentEvent::default()
    }
}

fn judge(derived: &Derived, touched: &Touched<'_>, ann: &Ann, record: &mut Record) -> Changes {
    let first = derived.first(touched);
    derived.derive(first, touched.extent, ann, record, ann.now_ms)
}

fn ids(of: &[Arc<str>]) -> Vec<&str> {
    of.iter().map(|id| &**id).collect()
}

#[test]
fn what_is_read_comes_first_however_it_was_declared() {
    let derived = derived(vec![
        segment("a", r#""b" in segments"#),
        segment("b", "profile.spent > 50.0"),
        computed("spent", r#"events("purchase").sum("revenue")"#),
    ]);
    let ann = Ann {
        events: vec![event("purchase", 1, 80.0)],
        now_ms: NOW,
        ..Ann::default()
    };
    let mut record = Record::default();
    let touched = Touched {
        event_types: ["purchase"].into_iter().collect(),
        ..Touched::default()
    };
    let changes = judge(&derived, &touched, &ann, &mut record);
    assert_eq!(ids(&changes.entered), ["b", "a"]);
    assert_eq!(ids(&changes.traits), ["spent"]);
    assert_eq!(record.segments.into_keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn only_what_reads_what_was_touched_is_judged() {
    let mut definitions: Vec<_> = (0..1_000)
        .map(|n| segment(&format!("s{n}"), &format!(r#"events("e{n}").exists()"#)))
        .collect();
    definitions.push(segment("late", r#""s5" in segments"#));
    let derived = derived(definitions);
    let ann = Ann {
        events: vec![event("e5", 1, 0.0)],
        now_ms: NOW,
        ..Ann::default()
    };
    let touched = Touched {
        event_types: ["e5", "e7", "unknown"].into_iter().collect(),
        extent: Extent::New,
        ..Touched::default()
    };
    let mut record = Record::default();
    let changes = judge(&derived, &touched, &ann, &mut record);
    assert_eq!(ids(&changes.entered), ["s5", "late"]);
    assert_eq!(ann.judged.get(), 3);
    // The same once more changes nothing and wakes no reader.
    let touched = Touched {
        event_types: ["e5"].into_iter().collect(),
        ..Touched::default()
    };
    let again = judge(&derived, &touched, &ann, &mut record);
    assert_eq!((again, ann.judged.get()), (Changes::default(), 4));
}

#[test]
fn of_somebody_new_what_holds_of_nobody_is_judged() {
    let derived = derived(vec![
        segment("quiet", r#"!events("view").exists()"#),
        segment("loud", r#"events("view").exists()"#),
        segment("half", r#"bucket("x") < 5000"#),
        segment("agreed", r#"consent("marketing_email")"#),
        segment("soon", r#"now > timestamp("2100-01-01T00:00:00Z")"#),
        computed("views", r#"events("view").count()"#),
    ]);
    let names: Vec<_> = derived
        .first(&Touched {
            extent: Extent::New,
            ..Touched::default()
        })
        .into_iter()
        .filter_map(|n| derived.definition(n))
        .map(|d| d.name.to_string())
        .collect();
    assert_eq!(names, ["profile.views", "agreed", "half", "quiet", "soon"]);
}

#[test]
fn the_next_time_to_look_is_the_earliest_of_all() {
    let derived = derived(vec![
        segment("day", r#"events("view").within("24h").exists()"#),
        segment("week", r#"events("search").within("168h").exists()"#),
    ]);
    let ann = Ann {
        events: vec![
            event("view", NOW - 1_000, 0.0),
            event("search", NOW - 2_000, 0.0),
        ],
        now_ms: NOW,
        ..Ann::default()
    };
    let mut record = Record::default();
    let everything = Touched {
        extent: Extent::Everything,
        ..Touched::default()
    };
    let changes = judge(&derived, &everything, &ann, &mut record);
    assert!(changes.due);
    let day_ends = NOW - 1_000 + 86_400_000 + 1;
    assert_eq!(record.due_ms, Some(day_ends));
    let later = Ann {
        now_ms: day_ends,
        events: ann.events,
        ..Ann::default()
    };
    let changes = pass(&derived, &later, &mut record);
    assert_eq!(ids(&changes.left), ["day"]);
    assert_eq!(record.due_ms, Some(NOW - 2_000 + 7 * 86_400_000 + 1));
}

/// Judges what is due.
fn pass(derived: &Derived, ann: &Ann, record: &mut Record) -> Changes {
    let first = derived.due(record, ann.now_ms);
    derived.derive(first, Extent::Time, ann, record, ann.now_ms)
}

#[test]
fn when_its_time_has_come_a_segment_is_judged_and_no_other_that_reads_the_clock() {
    const HOUR: i64 = 3_600_000;
    let window = |n: i64| {
        segment(
            &format!("h{n}"),
            &format!(r#"events("view").within("{n}h").exists()"#),
        )
    };
    let derived = derived((1..=100).map(window).collect());
    let mut ann = Ann {
        events: vec![event("view", NOW, 0.0)],
        now_ms: NOW,
        ..Ann::default()
    };
    let views = Touched {
        event_types: ["view"].into_iter().collect(),
        ..Touched::default()
    };
    let mut record = Record::default();
    judge(&derived, &views, &ann, &mut record);
    assert_eq!(
        (record.segments.len(), record.due_ms),
        (100, Some(NOW + HOUR + 1))
    );
    for n in 1..=3 {
        ann.now_ms = NOW + n * HOUR + 1;
        ann.judged.set(0);
        let changes = pass(&derived, &ann, &mut record);
        assert_eq!(ids(&changes.left), [format!("h{n}")]);
        assert_eq!(ann.judged.get(), 1, "at {n} h");
        assert_eq!(record.due_ms, Some(NOW + (n + 1) * HOUR + 1));
    }
    // Another view puts all that off; that is found when the noted time comes.
    ann.events.insert(0, event("view", ann.now_ms, 0.0));
    let changes = judge(&derived, &views, &ann, &mut record);
    assert_eq!(ids(&changes.entered), ["h1", "h2", "h3"]);
    assert_eq!(
        record.due_ms,
        Some(ann.now_ms + HOUR + 1).min(Some(NOW + 4 * HOUR + 1))
    );
    // A deleted segment is forgotten with its time.
    let fewer = Derived::new(Vec::new(), &needed, &ann).0;
    fewer.derive(
        BTreeSet::new(),
        Extent::Filling,
        &ann,
        &mut record,
        ann.now_ms,
    );
    assert_eq!((record.due_ms, record.dues.len()), (None, 0));
}

#[test]
fn who_has_too_many_times_or_was_judged_before_they_were_told_apart_is_judged_as_a_whole() {
    const HOUR: i64 = 3_600_000;
    let window = |n: i64| {
        segment(
            &format!("h{n}"),
            &format!(r#"events("view").within("{n}h").exists()"#),
        )
    };
    let derived = derived((1..=300).map(window).collect());
    let mut ann = Ann {
        events: vec![event("view", NOW, 0.0)],
        now_ms: NOW,
        ..Ann::default()
    };
    let mut record = Record::default();
    let everything = Touched {
        extent: Extent::Everything,
        ..Touched::default()
    };
    judge(&derived, &everything, &ann, &mut record);
    assert_eq!(
        (record.due_ms, record.dues.len()),
        (Some(NOW + HOUR + 1), 0)
    );
    // What is touched does not make the rest forgotten.
    let named = Touched {
        event_types: ["view"].into_iter().collect(),
        ..Touched::default()
    };
    judge(&derived, &named, &ann, &mut record);
    assert_eq!(
        (record.due_ms, record.dues.len()),
        (Some(NOW + HOUR + 1), 0)
    );
    ann.now_ms = NOW + 200 * HOUR;
    let changes = pass(&derived, &ann, &mut record);
    assert_eq!((changes.left.len(), record.dues.len()), (199, 101));
}

#[test]
fn a_decision_has_those_judged_that_go_by_it() {
    let derived = derived(vec![
        segment("asks", r#"consent("marketing_email")"#),
        segment("any", "consent(profile.which)"),
        segment("plain", "profile.plan == 'pro'"),
        segment("ill", "profile.health_state == 'ill'"),
        segment("views", r#"events("view").exists()"#),
    ]);
    let rows: [(&str, &[&str]); 4] = [
        ("marketing_email", &["any", "asks"]),
        ("sensitive_data", &["any", "ill"]),
        ("personalization", &["any", "ill", "plain"]),
        ("analytics", &["any"]),
    ];
    for (purpose, expected) in rows {
        let touched = Touched {
            consents: [purpose].into_iter().collect(),
            ..Touched::default()
        };
        let judged = derived.first(&touched);
        let judged = judged.into_iter().filter_map(|n| derived.definition(n));
        let names: Vec<_> = judged.map(|d| d.name.to_string()).collect();
        assert_eq!(names, expected, "{purpose}");
        let governed: Vec<_> = derived
            .governed_by(purpose)
            .map(ToString::to_string)
            .collect();
        assert_eq!(governed, expected, "{purpose}");
    }
}

#[test]
fn cycles_are_left_out_and_told() {
    let definitions = vec![
        segment("a", r#""b" in segments"#),
        segment("b", r#""c" in segments && profile.x == 1"#),
        segment("c", r#""a" in segments"#),
        segment("d", r#"!("a" in segments)"#),
    ];
    let (derived, cycles) = Derived::new(definitions.clone(), &needed, &Ann::default());
    let told: Vec<_> = cycles.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["a → b → c → a"]);
    assert!(derived.number(&Name::Segment("d".into())).is_some());
    assert!(derived.number(&Name::Segment("a".into())).is_none());
    let (derived, _) = Derived::new(definitions[..2].to_vec(), &needed, &Ann::default());
    let c = Name::Segment("c".into());
    let Rule::Expression(expression) = &definitions[2].rule else {
        panic!("c has an expression");
    };
    let cycle = derived.cycle_through(&c, expression).unwrap();
    assert_eq!(cycle.to_string(), "c → a → b → c");
    let readers: Vec<_> = derived.readers_of(&c).collect();
    assert_eq!(readers, [&Name::Segment("b".into())]);
}

#[test]
fn values_are_kept_as_json_says_them() {
    let expressions = [
        (r#"events("view").count()"#, serde_json::json!(2)),
        (
            r#"events("view").last().time"#,
            serde_json::json!("2026-01-01T00:00:00Z"),
        ),
        (r#"duration("90m")"#, serde_json::json!(5400)),
        (r#"[1, "a", profile.none]"#, serde_json::json!([1, "a"])),
        ("profile.none", serde_json::Value::Null),
        ("1.0 / 0.0", serde_json::Value::Null),
    ];
    let ann = Ann {
        events: vec![event("view", NOW, 0.0), event("view", NOW - 5, 0.0)],
        now_ms: NOW,
        ..Ann::default()
    };
    for (expression, expected) in expressions {
        let derived = derived(vec![computed("x", expression)]);
        let mut record = Record::default();
        let everything = Touched {
            extent: Extent::Everything,
            ..Touched::default()
        };
        judge(&derived, &everything, &ann, &mut record);
        let computed = &record.computed;
        let got = computed.get("x").map_or(serde_json::Value::Null, |value| {
            attune_api::json::from_value(value)
        });
        assert_eq!(got, expected, "{expression}");
    }
}
