//! What expressions mean: which hold, which do not, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic)]

use attune_api::{
    catalog::v1::{CharacteristicDefinition, CharacteristicType, Item, ItemType},
    json,
    profile::v1::Snapshot,
    r#type::v1::{Context, Location, Money},
};
use attune_expr::{
    Declared, Expression, ItemScope, Judged, Kind, Scope, SubjectScope, Value, Vocabulary,
    parse_time,
};
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
            lat: Some(47.0707),
            lng: Some(15.4395),
            ..Default::default()
        }),
        attributes: json::to_struct(json!({"weather": {"rain": true}, "app": "2.3.1"})),
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
        "item.price * 2.0 / 0.0 > 1e300 && !(profile.age / 0 > 1)",
        "segments.exists_one(s, s == 'vip') && segments.filter(s, s != 'vip') == ['campers']",
        "profile.brands.map(b, b.lowerAscii()) == ['halden', 'fjell']",
        "profile.brands.map(b, b != 'Fjell', b.size()) == [6]",
        "segments.exists(s, profile.brands.exists(b, b.lowerAscii() != s))",
        "{'gold': 2, 'silver': 1}[profile.tier] == 2 && {'a': {'b': [1u]}}.a.b[0] == 1",
        "' a,b '.trim().split(',').join('+').upperAscii() == 'A+B'",
        "'tacocat'.substring(1, 4) == 'aco' && 'tacocat'.indexOf('c') == 2",
        "'a-b-c'.replace('-', '', 1) == 'ab-c' && 'abc'.charAt(1) == 'b' && 'abc'.reverse() == 'cba'",
        "int('41') + 1 == 42 && string(profile.age) == '34' && double('2.5') == 2.5 && bool('true')",
        "type(profile.age) == double && type(1u) == uint && type(now) == google.protobuf.Timestamp",
        "math.greatest(1, item.price, 3.5) == item.price && math.abs(-2) == 2 && math.round(1.5) == 2.0",
        "context.time.getFullYear() == 2026 && context.time.getMonth() == 2 && context.time.getDate() == 2",
        "context.time.getDayOfYear() == 60 && context.time.getMinutes() == 30",
        "now == context.time && duration('90m').getHours() == 1",
        "atLeast(2, profile.vip, profile.age > 100, profile.tier == 'gold')",
        "!atLeast(3, profile.vip, profile.age > 100, profile.tier == 'gold')",
        "semver('2.10.0') > semver('2.9') && semver('v2') == semver('2.0.0') && semver('1.0.0-beta') < semver('1.0')",
        "semver(context.attributes.app) >= semver('2.3')",
        "distance(context.location, 47.07, 15.44) < 1000.0 && distance(context.location, 48.2, 16.37) > 140000.0",
        "distance({'lat': 52.52, 'lng': 13.405}, {'lat': 48.8566, 'lng': 2.3522}) > 877000.0",
        "distance(52.52, 13.405, 48.8566, 2.3522) < 878500.0",
        "anniversary(profile.birthday, '61d') && !anniversary(profile.birthday, '59d')",
        "anniversary('1992-02-29', '363d') && !anniversary('1992-02-29', '362d')",
        "anniversary('2001-03-02', '0d') && anniversary(timestamp('2001-03-02T00:00:00Z'), '1h')",
        "null == [null][0] && [1, null] != [1, 2]",
        "b'ab' + b'c' == bytes('abc') && size(b'abc') == 3",
        "has(profile['loyalty-tier']) && profile.`loyalty-tier` == 3",
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
        "profile.brands.map(b, profile.height).size() >= 0",
        "profile.unknown.exists_one(x, true)",
        "profile.unknown.filter(x, true) == []",
        "semver('not a version' + '') < semver('1.0')",
        "semver(profile.height) < semver('1.0')",
        "distance(context.location, profile.height, 3.0) > 0.0",
        "anniversary(profile.height, '7d')",
        "subscribed('news')",
        "'abc'.substring(2, 1) == ''",
        "int('x') == 0 || int(1e99) > 0",
        "timestamp(1e15) > timestamp(0)",
        "{'a': 1}.b == 1 || {'a': 1, 'a': 2}.a == 1",
    ] {
        assert!(!holds(source), "{source}");
    }
}

#[test]
fn expressions_give_values_of_the_kind_that_is_asked_for() {
    let compile = |source: &str, kind| {
        Expression::compile_value(source, &Vocabulary::subject_and_item(), kind)
    };
    let item = item();
    let scope = ItemScope(&item);
    let priced = compile("item.price * 0.5 + double(item.stock)", Kind::Number).unwrap();
    assert_eq!(priced.kind(), Kind::Number);
    assert!(matches!(priced.value(&scope), Value::Number(n) if n == 103.5));
    let titled = compile("item.title + '!'", Kind::Text).unwrap();
    assert_eq!(titled.value(&scope).as_text(), Some("Ridge Tent!"));
    assert!(matches!(
        compile("item.nothing", Kind::Any).unwrap().value(&scope),
        Value::Missing
    ));
    for (source, kind) in [
        ("item.title", Kind::Number),
        ("item.price > 3", Kind::Number),
        ("item.price", Kind::Bool),
        ("now", Kind::Text),
    ] {
        assert_eq!(compile(source, kind).unwrap_err().len(), 1, "{source}");
    }
}

#[test]
fn variables_are_values_of_the_caller_s() {
    struct Features;
    impl Scope for Features {
        fn variable(&self, name: &str) -> Value<'_> {
            match name {
                "popularity" => Value::Number(0.5),
                _ => Value::Missing,
            }
        }
    }
    let names = ["popularity", "recency"].map(|name| (name.to_owned(), Kind::Number));
    let vocabulary = Vocabulary::empty().with_variables(names);
    let formula = "2.0 * popularity + (has({'r': 1}.r) ? 1.0 : recency)";
    let formula = Expression::compile_value(formula, &vocabulary, Kind::Number).unwrap();
    assert!(matches!(formula.value(&Features), Value::Number(n) if n == 2.0));
    let faults = Expression::compile("popularty > 1.0", &vocabulary).unwrap_err();
    assert_eq!(faults[0].suggestion.as_deref(), Some("popularity"));
}

#[test]
fn what_is_declared_bounds_what_may_be_named() {
    let vocabulary = Vocabulary::subject_and_item()
        .with_traits([
            (
                "tier".to_owned(),
                Declared::one_of(["gold", "silver"].map(str::to_owned)),
            ),
            ("age".to_owned(), Kind::Number.into()),
        ])
        .with_segments(["campers".to_owned(), "bikers".to_owned()])
        .with_item_types([&ItemType {
            characteristics: vec![CharacteristicDefinition {
                enum_values: vec!["red".into(), "blue".into()],
                ..characteristic("color", CharacteristicType::Enum)
            }],
            ..Default::default()
        }]);
    for source in [
        "profile.tier == 'gold' && profile.age > 3 && 'campers' in segments",
        "profile.tier in ['gold', 'silver'] && item.color != 'red'",
        "segments.exists(s, s.startsWith('c'))",
    ] {
        assert!(Expression::compile(source, &vocabulary).is_ok(), "{source}");
    }
    for (source, column, suggestion) in [
        ("profile.tier == 'gld'", 17, Some("gold")),
        ("'silber' != profile.tier", 1, Some("silver")),
        ("profile.tier in ['gold', 'sliver']", 26, Some("silver")),
        ("profile.agee > 3", 9, Some("age")),
        ("profile.age == 'x'", 13, None),
        ("'camper' in segments", 1, Some("campers")),
        ("!(3 in segments)", 3, None),
        ("item.color == 'rde'", 15, Some("red")),
    ] {
        let faults = Expression::compile(source, &vocabulary).expect_err(source);
        let first = (faults[0].position.column, faults[0].suggestion.as_deref());
        assert_eq!(first, (column, suggestion), "{source}: {faults:?}");
    }
}

#[test]
fn the_segments_an_expression_names_are_told() {
    let compile = |source: &str| Expression::compile(source, &Vocabulary::subject()).unwrap();
    let named = compile("'a' in segments && !('b' in segments) || segments.exists(s, s == 'c')");
    let told: Vec<_> = named.segments_named().into_iter().collect();
    assert_eq!(told, ["a", "b", "c"]);
    assert!(!compile("'a' in segments").reads_any_segment());
    assert!(compile("size(segments) > 3").reads_any_segment());
    assert!(compile("profile.favourite in segments").reads_any_segment());
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
        (&subject, "semver('x.y') > semver('1')", 1, 1, None),
        (&subject, "anniversary(profile.x, 'soon')", 1, 1, None),
        (&subject, "distance(context.location, 5) > 1.0", 1, 28, None),
        (&subject, "atLeast(3, true, true)", 1, 9, None),
        (&subject, "profile.x.map(1, 2) == []", 1, 15, None),
        (&subject, "[1] < [2]", 1, 5, None),
        (
            &subject,
            "'a'.lowerascii() == 'a'",
            1,
            5,
            Some("lowerAscii"),
        ),
        (
            &subject,
            "math.grtest(1, 2) > 1",
            1,
            6,
            Some("math.greatest"),
        ),
        (&subject, "now.getHour() > 1", 1, 5, Some("getHours")),
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

#[test]
fn purposes_and_subscription_groups_that_are_not_there_are_refused() {
    let any = Vocabulary::subject();
    let declared = any
        .clone()
        .with_purposes(["marketing_email".to_owned()])
        .with_groups(["news".to_owned()]);
    let none = any.clone().with_groups([]);
    let rows: [(&Vocabulary, &str, Option<&str>); 8] = [
        (&any, "consent('x') && subscribed('y')", None),
        (
            &declared,
            "consent('marketing_email') && subscribed('news')",
            None,
        ),
        (
            &declared,
            "consent(profile.a) && subscribed(profile.b)",
            None,
        ),
        (
            &declared,
            "consent('marketing_mail')",
            Some("no purpose `marketing_mail`"),
        ),
        (
            &declared,
            "subscribed('mews')",
            Some("no subscription group `mews`"),
        ),
        (
            &none,
            "subscribed('news')",
            Some("no subscription groups are kept"),
        ),
        (
            &none,
            "subscribed(profile.b)",
            Some("no subscription groups are kept"),
        ),
        (&none, "consent('x')", None),
    ];
    for (vocabulary, source, expected) in rows {
        let faults = match Expression::compile(source, vocabulary) {
            Ok(_) => String::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        };
        match expected {
            None => assert_eq!(faults, "", "{source}"),
            Some(told) => assert!(faults.contains(told), "{source}: {faults}"),
        }
    }
}
