//! What expressions mean: which hold, which do not, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic)]

use attune_api::{
    catalog::v1::{CharacteristicDefinition, CharacteristicType, Item, ItemType},
    json,
    profile::v1::Snapshot,
    r#type::v1::{Context, Location, Money},
};
use attune_expr::{Expression, ItemScope, Judged, SubjectScope, Vocabulary, parse_time};
use serde_json::json;

fn snapshot() -> Snapshot {
    Snapshot {
        traits: json::to_struct(json!({
            "age": 34, "tier": "gold", "vip": true, "birthday": "1990-05-01", "gone": null,
            "brands": ["Halden", "Fjell"], "address": {"city": "Graz"}, "loyalty-tier": 3
        })),
        segments: vec!["campers".into(), "vip".into()],
        consents: [
            ("personalization".to_owned(), true),
            ("ads".to_owned(), false),
        ]
        .into(),
        ..Default::default()
    }
}

fn item() -> Item {
    Item {
        item_id: "tent-1".into(),
        item_type: "tent".into(),
        title: [(String::new(), "Ridge Tent".to_owned())].into(),
        categories: vec!["Camping".into(), "Tents".into()],
        characteristics: json::to_struct(
            json!({"brand": "Halden", "persons": 2, "uses": ["trek", "bike"], "launched": "2026-02-01"}),
        )
        .unwrap()
        .fields,
        price: Some(Money {
            currency_code: "EUR".into(),
            amount: 199.0,
        }),
        stock: Some(4),
        state: 4,
        ..Default::default()
    }
}

fn context() -> Context {
    Context {
        locale: "de-AT".into(),
        location: Some(Location {
            country: "AT".into(),
            ..Default::default()
        }),
        attributes: json::to_struct(json!({"weather": {"rain": true}})),
        ..Default::default()
    }
}

fn holds(source: &str) -> bool {
    let expression = Expression::compile(source, &Vocabulary::subject_and_item())
        .unwrap_or_else(|faults| panic!("{source}: {faults:?}"));
    let (snapshot, context, item) = (snapshot(), context(), item());
    let subject = SubjectScope {
        snapshot: Some(&snapshot),
        context: Some(&context),
        channel: "web",
        now_ms: parse_time("2026-03-02T20:30:00Z").unwrap(),
        subject_key: "p-1",
    };
    let item = ItemScope(&item);
    expression.matches(&Judged {
        subject: &subject,
        item: &item,
    })
}

#[test]
fn these_hold() {
    for source in [
        "true",
        "profile.age >= 18 && profile.age < 65.5",
        "profile.tier == 'gold' || profile.tier == 'silver'",
        "profile.vip",
        "profile.vip == true",
        "!(profile.age > 40)",
        "profile.birthday < timestamp('2000-01-01')",
        "profile.address.city == \"Graz\"",
        "profile['loyalty-tier'] == 3",
        "profile['address']['city'] == 'Graz'",
        "'vip' in segments && !('bots' in segments)",
        "segments.exists(s, s.startsWith('camp'))",
        "size(segments) == 2 && segments.size() == 2",
        "item.price < 200 && item.stock > 0",
        "item.price * 2 == 398.0 && 7 / 2 == 3 && 7 % 4 == 3 && 7.0 / 2 == 3.5",
        "item.brand in profile.brands",
        "item.brand in ['Fjell', 'Halden']",
        "item.brand.lowerAscii() + '!' == 'halden!'",
        "item.title.contains('Tent') && item.title.endsWith('Tent')",
        "item.title.matches('^[A-Z].* T')",
        "item.categories[1] == 'Tents' && 'Camping' in item.categories",
        "item.uses.all(u, u in ['trek', 'bike', 'ski'])",
        "item.uses == ['trek', 'bike']",
        "item.state == 'PUBLISHED' && item.type == 'tent' && item.id == 'tent-1'",
        "item.launched >= '2026-01-01' && item.launched < context.time",
        "context.time - timestamp('2026-03-01') > duration('1d12h')",
        "context.time.getHours() == 20 && context.time.getHours('Europe/Vienna') == 21",
        "context.time.getDayOfWeek() == 1",
        "context.location.country == 'AT' && context.channel == 'web'",
        "context.attributes.weather.rain",
        "consent('personalization') && !consent('ads') && !consent('unheard-of')",
        "bucket('exp') >= 0 && bucket('exp') < 10000 && bucket('exp') == bucket('exp')",
        "has(profile.age) && !has(profile.height) && !has(profile.gone)",
        "has(item.price) && !has(item.available_to) && !has(context.time_zone)",
        "item.price > 100 ? profile.vip : false",
        "-item.price < 0",
    ] {
        assert!(holds(source), "{source}");
    }
}

#[test]
fn these_do_not_hold() {
    for source in [
        "profile.height > 0",
        "profile.height < 0",
        "profile.height == 0",
        "profile.height != 0",
        "profile.height == profile.width",
        "profile.height in [1, 2]",
        "profile.height + 1 > 0",
        "profile.height.contains('x')",
        "profile.address.street == 'x'",
        "profile.unknown.exists(x, true)",
        "profile.unknown.all(x, true)",
        "profile.age == '34'",
        "profile.age > 'a'",
        "profile.tier > 3",
        "profile.tier",
        "profile.brands[7] == 'Halden'",
        "item.categories[-1] == 'Tents'",
        "profile.age / 0 > 1 || 1 / 0 > 0 || 1 % 0 == 0",
        "9223372036854775807 + 1 > 0",
        "context.time.getHours('Mars/Olympus') >= 0",
        "profile.gone == 'x'",
    ] {
        assert!(!holds(source), "{source}");
    }
}

/// Each source with where its first fault is, and the name it suggests.
#[test]
fn faults_tell_the_place_and_the_nearest_name() {
    let subject = Vocabulary::subject();
    let item = Vocabulary::item();
    let typed = Vocabulary::item().with_item_types([&ItemType {
        characteristics: vec![
            characteristic("brand", CharacteristicType::Text),
            characteristic("persons", CharacteristicType::Number),
        ],
        ..Default::default()
    }]);
    for (vocabulary, source, line, column, suggestion) in [
        (&subject, "profle.age > 3", 1, 1, Some("profile")),
        (
            &subject,
            "true &&\n  contxt.locale == 'x'",
            2,
            3,
            Some("context"),
        ),
        (&subject, "'é' == profil.x", 1, 8, Some("profile")),
        (&subject, "context.locale.x == 2", 1, 16, None),
        (
            &subject,
            "context.locatin.country == 'x'",
            1,
            9,
            Some("location"),
        ),
        (
            &subject,
            "context.location.contry == 'x'",
            1,
            18,
            Some("location.country"),
        ),
        (&subject, "item.price < 2", 1, 1, None),
        (&subject, "consnt('x')", 1, 1, Some("consent")),
        (&item, "events('purchase').count() > 2", 1, 1, None),
        (&subject, "profile.x == null", 1, 14, None),
        (&subject, "profile.x.matches('(')", 1, 19, None),
        (&subject, "profile.x.matches(profile.y)", 1, 27, None),
        (&subject, "duration('3x') > duration('1h')", 1, 1, None),
        (&subject, "profile.age >", 1, 14, None),
        (&subject, "profile.age > 3 3", 1, 17, None),
        (
            &subject,
            "[1].exists(a, [2].exists(b, [3].exists(c, a == b)))",
            1,
            33,
            None,
        ),
        (&subject, "", 1, 1, None),
        (&item, "profile.age > 3", 1, 1, None),
        (&item, "consent('x')", 1, 1, None),
        (&item, "item.price < 'x'", 1, 12, None),
        (&item, "item.price", 1, 6, None),
        (&item, "item.categories < ['a']", 1, 17, None),
        (&typed, "item.brnd == 'x'", 1, 6, Some("brand")),
        (&typed, "item.persons == 'two'", 1, 14, None),
    ] {
        let faults = Expression::compile(source, vocabulary).expect_err(source);
        let first = &faults[0];
        assert_eq!(
            (
                first.position.line,
                first.position.column,
                first.suggestion.as_deref()
            ),
            (line, column, suggestion),
            "{source}: {faults:?}"
        );
    }
}

fn characteristic(name: &str, kind: CharacteristicType) -> CharacteristicDefinition {
    CharacteristicDefinition {
        name: name.into(),
        r#type: kind.into(),
        ..Default::default()
    }
}

#[test]
fn every_fault_is_told_at_once() {
    let faults = Expression::compile(
        "profle.a == 1 || context.x == 2 || nope()",
        &Vocabulary::subject(),
    )
    .unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn sources_beyond_the_bounds_are_refused_with_one_fault() {
    for source in [
        "x".repeat(4097),
        format!("{}true{}", "(".repeat(40), ")".repeat(40)),
        format!("{}1 == 2", "1+".repeat(2000)),
        format!("{}1", "1<".repeat(2000)),
        format!("profile{}", ".a".repeat(2000)),
        format!("profile.a{}", "[1]".repeat(1300)),
    ] {
        let faults = Expression::compile(&source, &Vocabulary::subject()).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}

#[test]
fn a_long_disjunction_within_the_bounds_is_accepted() {
    let source = (0..150)
        .map(|i| format!("profile.a == {i}"))
        .collect::<Vec<_>>()
        .join(" || ");
    assert!(Expression::compile(&source, &Vocabulary::subject()).is_ok());
}

#[test]
fn buckets_spread_people_evenly_and_differ_by_salt() {
    let compile = |source| Expression::compile(source, &Vocabulary::subject()).unwrap();
    let (half, other) = (compile("bucket('a') < 5000"), compile("bucket('b') < 5000"));
    let (mut in_half, mut in_both) = (0, 0);
    for person in 0..4000 {
        let key = person.to_string();
        let scope = SubjectScope {
            snapshot: None,
            context: None,
            channel: "",
            now_ms: 0,
            subject_key: &key,
        };
        if half.matches(&scope) {
            in_half += 1;
            in_both += u32::from(other.matches(&scope));
        }
    }
    assert!((1850..2150).contains(&in_half), "{in_half}");
    assert!((850..1150).contains(&in_both), "{in_both}");
}
