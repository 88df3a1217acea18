//! What questions about a person's history come to, and when time changes it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::ops::ControlFlow;

use attune_api::{json, profile::v1::RecentEvent};
use attune_expr::{
    Aggregate, Change, EventRef, Expression, Scope, Value, Vocabulary, parse_time, recent_events,
};
use serde_json::{Value as Json, json};

struct Past {
    now_ms: i64,
    /// The newest first.
    events: Vec<RecentEvent>,
    /// What is kept up to date, by its text.
    kept: Vec<(String, i64)>,
}

impl Scope for Past {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn profile(&self, trait_id: &str) -> Value<'_> {
        match trait_id {
            "favourite" => Value::text("tents"),
            _ => Value::Missing,
        }
    }

    fn events<'s>(
        &'s self,
        event_type: Option<&str>,
        since_ms: Option<i64>,
        visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
    ) {
        recent_events(&self.events, event_type, since_ms, visit);
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Option<Value<'_>> {
        let text = aggregate.to_string();
        let kept = self.kept.iter().find(|(known, _)| *known == text);
        kept.map(|(_, count)| Value::Int(*count))
    }
}

fn at(time: &str) -> i64 {
    parse_time(time).unwrap()
}

fn event(kind: &str, time: &str, revenue: f64, properties: Json) -> RecentEvent {
    RecentEvent {
        r#type: kind.into(),
        time_ms: at(time),
        item_ids: vec!["tent-1".into(), "stove-2".into()],
        revenue,
        channel: "app".into(),
        properties: json::to_struct(properties),
    }
}

fn past() -> Past {
    Past {
        now_ms: at("2026-03-30T10:00:00Z"),
        events: vec![
            event(
                "purchase",
                "2026-03-29T22:30:00Z",
                80.0,
                json!({"category": "tents", "gift": true}),
            ),
            event(
                "search",
                "2026-03-29T22:00:00Z",
                0.0,
                json!({"query": "tent"}),
            ),
            event(
                "view",
                "2026-03-20T08:00:00Z",
                0.0,
                json!({"category": "stoves"}),
            ),
            event(
                "search",
                "2026-03-10T12:00:00Z",
                0.0,
                json!({"query": "stove"}),
            ),
            event(
                "purchase",
                "2026-03-01T10:00:00Z",
                20.0,
                json!({"category": "stoves"}),
            ),
            event(
                "purchase",
                "2025-01-01T00:00:00Z",
                100.0,
                json!({"category": "tents"}),
            ),
        ],
        kept: Vec::new(),
    }
}

fn compile(source: &str) -> Expression {
    Expression::compile(source, &Vocabulary::subject())
        .unwrap_or_else(|faults| panic!("{source}: {faults:?}"))
}

#[test]
fn these_hold() {
    for source in [
        "events('purchase').count() == 3",
        "events('purchase').within('30d').count() == 2",
        "events('purchase').within('29d').count() == 2",
        "events('purchase').within('28d').count() == 1",
        "events('purchase').within('1m').count() == 0",
        "events('purchase').exists() && !events('refund').exists()",
        "events('purchase').sum('revenue') == 200.0",
        "events('purchase').within('90d').sum('revenue') == 100",
        "events('refund').sum('revenue') == 0.0",
        "events('purchase').avg('revenue') > 66.6 && events('purchase').avg('revenue') < 66.7",
        "events('purchase').min('revenue') == 20 && events('purchase').max('revenue') == 100",
        "events('purchase').where(e, e.revenue > 50.0).count() == 2",
        "events('purchase').where(e, e.revenue > 50.0).within('90d').sum('revenue') == 80",
        "events('purchase').where(e, e.gift).count() == 1",
        "events('purchase').where(e, e.category == profile.favourite).count() == 2",
        "events('purchase').where(e, e.item_ids.exists(i, i.startsWith('tent'))).count() == 3",
        "events('purchase').where(e, e.revenue > 50.0).where(e, e.time > now - duration('48h')).count() == 1",
        "events('view').last().category == 'stoves' && events('view').last().channel == 'app'",
        "events('purchase').first().revenue == 100.0 && events('purchase').last().revenue == 80.0",
        "'tent-1' in events('view').last().item_ids",
        "events('view').last().type == 'view'",
        "now - events('view').last().time > duration('200h')",
        "has(events('view').last().category) && !has(events('refund').last().time)",
        "[1, 2, 3].exists(n, n == events('purchase').count())",
        "events('purchase').mostFrequent('category') == 'tents'",
        "events('purchase').within('30d').mostFrequent('category') == 'tents'",
        "events('purchase').where(e, e.revenue < 50.0).mostFrequent('category') == 'stoves'",
        "events('purchase').mostFrequent('item_ids') == 'tent-1'",
        "events('purchase').mostFrequent('revenue') == 80.0",
        "events('purchase').distinct('category') == 2",
        "events('purchase').distinct('item_ids') == 2",
        "events('purchase').within('28d').distinct('category') == 1",
        "events('search').averageGap() == duration('466h')",
        "events('search').averageGap().getHours() == 466",
        "events('purchase').mostFrequent('category').startsWith('t')",
        "events('search').last().time + events('search').averageGap() > now",
        // Recency, frequency and monetary value, each as a score.
        "(now - events('purchase').last().time < duration('30d') ? 5 : 1) \
         + math.least(events('purchase').within('365d').count(), 5) \
         + (events('purchase').within('365d').sum('revenue') >= 100.0 ? 5 : 1) == 12",
        // Ordered: the second search led to a purchase half an hour later.
        "events('search').then('purchase').exists()",
        "events('search').then('purchase').within('1h').exists()",
        "events('search').then('purchase').within('30m').exists()",
        "!events('search').then('purchase').within('29m').exists()",
        "!events('search').where(e, e.query == 'stove').then('purchase').within('1h').exists()",
        "events('search').where(e, e.query == 'stove').then('purchase').exists()",
        "events('view').then('search').then('purchase').exists()",
        "!events('purchase').within('30d').then('view').then('search').then('view').exists()",
        "!events('view').then('view').exists()",
        "events('search').then('search').exists()",
        "events('search').then('purchase').where(e, e.revenue > 50.0).exists()",
        "!events('search').then('purchase').where(e, e.revenue > 90.0).exists()",
        // 22:30 in London is half past midnight in Berlin, on the 30th.
        "events('purchase').withinDays(1, 'Europe/Berlin').count() == 1",
        "events('purchase').withinDays(1, 'UTC').count() == 0",
        "events('purchase').withinDays(2).count() == 1",
        "events('view').withinDays(11, 'Europe/Berlin').exists()",
        "!events('view').withinDays(10, 'Europe/Berlin').exists()",
    ] {
        assert!(compile(source).matches(&past()), "{source}");
    }
}

#[test]
fn of_no_events_nothing_but_counts_and_sums_is_known() {
    for source in [
        "events('refund').avg('revenue') >= 0.0",
        "events('refund').min('revenue') < 1000.0",
        "events('refund').last().time < now",
        "events('purchase').last().nothing == 'x'",
        "events('purchase').sum('category') > 0.0",
        "events('purchase').avg('category') > 0.0",
        "events('refund').mostFrequent('category') != 'x'",
        "events('view').averageGap() < duration('1000d')",
        "events('view').mostFrequent('nothing') != 'x'",
        "events('refund').distinct('category') > 0",
    ] {
        assert!(!compile(source).matches(&past()), "{source}");
    }
}

/// Each source with where its first fault is, and the name it suggests.
#[test]
fn faults_tell_what_is_wrong_with_a_question() {
    let declared = Vocabulary::subject().with_events([
        (
            "purchase".to_owned(),
            Some([("category".to_owned(), attune_expr::Kind::Text.into())].into()),
        ),
        ("view".to_owned(), None),
    ]);
    for (source, column, suggestion) in [
        ("events('purchase') == 1", 1, None),
        ("events('purchase').within('30d') == 1", 20, None),
        ("events('purchase').last() == 1", 20, None),
        ("events('purchas').count() > 1", 8, Some("purchase")),
        (
            "events('view').then('purchas').exists()",
            21,
            Some("purchase"),
        ),
        ("events('purchase').cont() > 1", 20, Some("count")),
        (
            "events('purchase').witin('1d').count() > 1",
            20,
            Some("within"),
        ),
        ("events('purchase').within('1x').count() > 1", 20, None),
        (
            "events('purchase').within('1d').within('2d').count() > 1",
            33,
            None,
        ),
        ("events('purchase').withinDays(0).count() > 1", 31, None),
        (
            "events('purchase').withinDays(7, 'Mars').count() > 1",
            20,
            None,
        ),
        ("events('purchase').sum('category') > 1.0", 20, None),
        (
            "events('purchase').last().categry == 'x'",
            27,
            Some("category"),
        ),
        ("events('purchase').last().category == 3", 36, None),
        (
            "events('purchase').where(e, e.categry == 'x').exists()",
            31,
            Some("category"),
        ),
        ("events('purchase').where(e, e == 3).exists()", 29, None),
        ("events('purchase').where(e, e.revenue).exists()", 31, None),
        (
            "events('purchase').where(e, events('view').exists()).exists()",
            20,
            None,
        ),
        (
            "[1].exists(x, events('view').where(e, e.n == x).exists())",
            46,
            None,
        ),
        ("events('view').then('purchase').count() > 1", 33, None),
        ("events(profile.x).count() > 1", 1, None),
        ("events('a', 'b').count() > 1", 1, None),
        ("events('purchase').count(1) > 1", 20, None),
        (
            "events('purchase').mostFrequnt('category') == 'x'",
            20,
            Some("mostFrequent"),
        ),
        (
            "events('purchase').distinct('categry') > 1",
            20,
            Some("category"),
        ),
        ("events('purchase').mostFrequent('category') > 1", 45, None),
        ("events('purchase').averageGap('time') > now", 20, None),
        ("events('purchase').averageGap() > 3", 33, None),
        (
            "events('view').then('purchase').averageGap() > now",
            33,
            None,
        ),
    ] {
        let faults = Expression::compile(source, &declared).expect_err(source);
        let first = &faults[0];
        assert_eq!(
            (first.position.column, first.suggestion.as_deref()),
            (column, suggestion),
            "{source}: {faults:?}"
        );
    }
}

#[test]
fn what_is_kept_up_to_date_is_not_counted_again() {
    let mut past = past();
    let expression = compile("events( 'purchase' ).within('720h').count() == 41");
    past.kept = vec![(
        "events(\"purchase\").within(\"30d\").count()".to_owned(),
        41,
    )];
    assert!(expression.matches(&past));
}

#[test]
fn time_alone_changes_an_answer_when_an_event_leaves_its_window() {
    let day_ms = 86_400_000;
    for (source, expected) in [
        ("events('purchase').count() > 1", Change::Never),
        ("events('refund').within('30d').count() > 1", Change::Never),
        (
            "events('purchase').within('30d').count() > 1",
            Change::At(at("2026-03-01T10:00:00Z") + 30 * day_ms + 1),
        ),
        (
            "events('purchase').within('30d').exists()",
            Change::At(at("2026-03-29T22:30:00Z") + 30 * day_ms + 1),
        ),
        (
            "events('purchase').where(e, e.revenue < 50.0).within('30d').exists()",
            Change::At(at("2026-03-01T10:00:00Z") + 30 * day_ms + 1),
        ),
        (
            "events('purchase').withinDays(7, 'Europe/Berlin').exists()",
            Change::At(at("2026-04-05T22:00:00Z")),
        ),
        (
            "events('purchase').where(e, e.time > now).within('30d').exists()",
            Change::Never,
        ),
        (
            "events('purchase').where(e, e.time > now - duration('12h')).exists()",
            Change::At(at("2026-03-30T10:30:00Z")),
        ),
        (
            "events('purchase').where(e, string(now) == 'x').within('30d').exists()",
            Change::Unknown,
        ),
    ] {
        let expression = compile(source);
        let aggregates = expression.aggregates();
        assert_eq!(aggregates[0].changes_at(&past()), expected, "{source}");
        assert_eq!(
            expression.reads_time(),
            source.contains("within") || source.contains("now"),
            "{source}"
        );
    }
}

/// At the time it names, and no earlier, the answer may be another.
#[test]
fn an_answer_stays_until_the_time_that_was_told() {
    let mut past = past();
    let expression = compile("events('purchase').within('30d').count() == 2");
    let Change::At(ms) = expression.aggregates()[0].changes_at(&past) else {
        panic!("it has a window");
    };
    past.now_ms = ms - 1;
    assert!(expression.matches(&past));
    past.now_ms = ms;
    assert!(!expression.matches(&past));
}

#[test]
fn questions_are_known_by_what_they_ask() {
    let ask = |source: &str| compile(source).aggregates()[0].as_ref().clone();
    let question = ask("events('purchase').where(e, e.revenue > 5.0).within('48h').count() > 1");
    let same = ask("3 < events(\"purchase\").within('2d').where(x, x.revenue > 5.0).count()");
    assert_eq!(question, same);
    assert_eq!(question.to_string(), same.to_string());
    assert_eq!(question.event_types().collect::<Vec<_>>(), ["purchase"]);
    assert!(question.has_filter() && question.is_self_contained() && !question.is_sequence());
    let personal = ask("events('view').where(e, e.category == profile.favourite).exists()");
    assert!(!personal.is_self_contained());
}
