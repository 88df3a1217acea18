//! A filter over columns finds the items that judging one by one finds: for any
//! expression, subject and items, while items come, change and go.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, ops::ControlFlow};

use attune_api::{
    catalog::v1::{Item, ItemState},
    profile::v1::RecentEvent,
    time,
    r#type::v1::Money,
};
use attune_expr::{
    EventRef, Expression, ItemScope, Judged, Scope, Value, Vocabulary,
    filter::{Column, ColumnName, Columns, NoSubject},
    recent_events,
};
use proptest::prelude::*;
use prost_types::{ListValue, Struct, value::Kind};
use roaring::RoaringBitmap;

/// Items with a column for whatever an expression asks for.
#[derive(Default)]
struct Shelf {
    items: Vec<Option<Item>>,
    universe: RoaringBitmap,
    columns: BTreeMap<String, Column>,
}

fn key(name: ColumnName<'_>) -> String {
    match name {
        ColumnName::Field(field) => format!(".{}", field.name()),
        ColumnName::Characteristic(name) => name.to_owned(),
    }
}

fn value<'a>(scope: &'a ItemScope<'a>, key: &str) -> Value<'a> {
    match key.strip_prefix('.') {
        Some(field) => scope.item(attune_expr::ItemField::parse(field).unwrap()),
        None => scope.characteristic(key),
    }
}

impl Shelf {
    fn keep_columns_for(&mut self, expression: &Expression) {
        for name in expression.columns() {
            let key = key(name);
            let mut column = Column::default();
            for (index, item) in (0..).zip(&self.items) {
                if let Some(item) = item {
                    column.insert(index, &value(&ItemScope(item), &key));
                }
            }
            self.columns.insert(key, column);
        }
    }

    fn put(&mut self, index: u32, item: Option<Item>) {
        if self.items.len() <= index as usize {
            self.items.resize(index as usize + 1, None);
        }
        let before = std::mem::replace(&mut self.items[index as usize], item);
        let now = &self.items[index as usize];
        for (key, column) in &mut self.columns {
            if let Some(before) = &before {
                column.remove(index, &value(&ItemScope(before), key));
            }
            if let Some(now) = now {
                column.insert(index, &value(&ItemScope(now), key));
            }
        }
        if now.is_some() {
            self.universe.insert(index);
        } else {
            self.universe.remove(index);
        }
    }
}

impl Columns for Shelf {
    type Item<'a> = ItemScope<'a>;

    fn universe(&self) -> &RoaringBitmap {
        &self.universe
    }

    fn column(&self, name: ColumnName<'_>) -> Option<&Column> {
        self.columns.get(&key(name))
    }

    fn index_of(&self, item_id: &str) -> Option<u32> {
        item_id.strip_prefix('i')?.parse().ok()
    }

    fn item(&self, index: u32) -> Option<ItemScope<'_>> {
        self.items.get(index as usize)?.as_ref().map(ItemScope)
    }
}

/// Someone with traits `p0` to `p5`, who has seen each value as a category.
struct Someone {
    traits: BTreeMap<String, prost_types::Value>,
    events: Vec<RecentEvent>,
}

impl Someone {
    fn new(traits: BTreeMap<String, prost_types::Value>) -> Self {
        let seen = traits.values().zip(1..).map(|(value, ago)| RecentEvent {
            r#type: "view".to_owned(),
            time_ms: -ago,
            properties: Some(Struct {
                fields: [("category".to_owned(), value.clone())].into(),
            }),
            ..RecentEvent::default()
        });
        Self {
            events: seen.collect(),
            traits,
        }
    }
}

impl Scope for Someone {
    fn profile(&self, trait_id: &str) -> Value<'_> {
        self.traits
            .get(trait_id)
            .map_or(Value::Missing, Value::from)
    }

    fn events<'s>(
        &'s self,
        event_type: Option<&str>,
        since_ms: Option<i64>,
        visit: &mut dyn FnMut(EventRef<'s>) -> ControlFlow<()>,
    ) {
        recent_events(&self.events, event_type, since_ms, visit);
    }
}

const TEXTS: [&str; 10] = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    "Tents",
    "2026-01-01",
    "2026-01-02",
    "2026-01-01T00:00:00Z",
    "i3",
];

fn text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&TEXTS[..])
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0..6).prop_map(f64::from),
        Just(-0.0),
        Just(2.5),
        Just(9_007_199_254_740_993.0),
        Just(f64::INFINITY),
        Just(f64::NAN),
    ]
}

fn proto() -> impl Strategy<Value = prost_types::Value> {
    let scalar = prop_oneof![
        4 => text().prop_map(|t| Kind::StringValue(t.to_owned())),
        4 => number().prop_map(Kind::NumberValue),
        2 => any::<bool>().prop_map(Kind::BoolValue),
        1 => Just(Kind::NullValue(0)),
    ];
    let scalar = scalar.prop_map(|kind| prost_types::Value { kind: Some(kind) });
    prop_oneof![
        8 => scalar.clone(),
        2 => prop::collection::vec(scalar.clone(), 0..4).prop_map(|values| prost_types::Value {
            kind: Some(Kind::ListValue(ListValue { values })),
        }),
        1 => prop::collection::btree_map(text().prop_map(str::to_owned), scalar, 0..3)
            .prop_map(|fields| prost_types::Value {
                kind: Some(Kind::StructValue(Struct { fields })),
            }),
    ]
}

fn item(index: u32) -> impl Strategy<Value = Item> {
    (
        prop::option::of(prop::collection::vec(text(), 0..4)),
        prop::option::of(number()),
        prop::option::of(prop_oneof![0..4_i64, Just(9_007_199_254_740_993)]),
        prop::option::of(0..4_i64),
        prop::collection::btree_map("c[0-2]", proto(), 0..4),
        (text(), any::<bool>(), prop::bool::weighted(0.02)),
    )
        .prop_map(
            move |(categories, price, stock, day, characteristics, rest)| {
                let (title, is_published, has_many) = rest;
                let mut categories: Vec<String> = categories
                    .unwrap_or_default()
                    .into_iter()
                    .map(str::to_owned)
                    .collect();
                if has_many {
                    categories.extend((0..200).map(|n| format!("x{n}")));
                }
                let state = if is_published {
                    ItemState::Published
                } else {
                    ItemState::Draft
                };
                Item {
                    item_id: format!("i{index}"),
                    item_type: title.to_owned(),
                    title: [(String::new(), title.to_owned())].into(),
                    categories,
                    price: price.map(|amount| Money {
                        currency_code: "EUR".into(),
                        amount,
                    }),
                    stock,
                    state: state.into(),
                    available_from: day
                        .map(|day| time::from_ms(1_767_225_600_000 + day * 86_400_000)),
                    characteristics,
                    ..Item::default()
                }
            },
        )
}

/// What is read of an item.
fn path() -> impl Strategy<Value = String> {
    prop::sample::select(
        &[
            "item.price",
            "item.stock",
            "item.type",
            "item.title",
            "item.categories",
            "item.state",
            "item.available_from",
            "item.id",
            "item.c0",
            "item.c1",
            "item.c2",
            "item.c0",
            "item.c1",
            "item.c2",
        ][..],
    )
    .prop_map(str::to_owned)
}

/// What depends on the subject at most.
fn constant() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => text().prop_map(|t| format!("{t:?}")),
        3 => (0..6).prop_map(|n| format!("{n}.0")),
        2 => (0..6_i64).prop_map(|n| n.to_string()),
        1 => Just("9007199254740993".to_owned()),
        1 => Just("3u".to_owned()),
        1 => Just("null".to_owned()),
        1 => any::<bool>().prop_map(|b| b.to_string()),
        1 => (1..4).prop_map(|d| format!("timestamp('2026-01-0{d}')")),
        4 => (0..6).prop_map(|n| format!("profile.p{n}")),
        1 => prop::sample::select(&["mostFrequent('category')", "distinct('category')",
            "averageGap()"][..]).prop_map(|o| format!("events('view').{o}")),
        1 => Just("(timestamp('2026-01-03') - duration('24h'))".to_owned()),
    ]
}

fn list() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::collection::vec(constant(), 0..4).prop_map(|c| format!("[{}]", c.join(", "))),
        1 => (0..6).prop_map(|n| format!("profile.p{n}")),
    ]
}

fn operator() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["==", "!=", "<", "<=", ">", ">="][..])
}

fn atom() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (path(), operator(), constant()).prop_map(|(p, o, c)| format!("{p} {o} {c}")),
        2 => (path(), operator(), constant()).prop_map(|(p, o, c)| format!("{c} {o} {p}")),
        1 => (path(), operator(), path()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        3 => (path(), list()).prop_map(|(p, l)| format!("{p} in {l}")),
        2 => (constant(), path()).prop_map(|(c, p)| format!("{c} in {p}")),
        1 => (list(), operator(), path()).prop_map(|(l, o, p)| format!("{l} {o} {p}")),
        2 => path().prop_map(|p| format!("has({p})")),
        1 => path(),
        2 => (path(), constant()).prop_map(|(p, c)| format!("{p}.contains({c})")),
        2 => (path(), constant()).prop_map(|(p, c)| format!("{p}.startsWith({c})")),
        1 => path().prop_map(|p| format!("{p}.lowerAscii() == 'tents'")),
        1 => path().prop_map(|p| format!("{p}.matches('^[a-b]+$')")),
        1 => (path(), operator()).prop_map(|(p, o)| format!("size({p}) {o} 1")),
        1 => (path(), constant()).prop_map(|(p, c)| format!("{p} + 1 == {c}")),
        1 => (path(), constant()).prop_map(|(p, c)| format!("{p}[0] == {c}")),
        2 => (path(), operator(), constant())
            .prop_map(|(p, o, c)| format!("{p}.exists(x, x {o} {c})")),
        2 => (path(), operator(), constant())
            .prop_map(|(p, o, c)| format!("{p}.all(x, x {o} {c})")),
        2 => (list(), path()).prop_map(|(l, p)| format!("{l}.exists(x, x in {p})")),
        1 => (list(), path()).prop_map(|(l, p)| format!("{l}.exists(x, x == {p})")),
        1 => (path(), list()).prop_map(|(p, l)| format!("{p}.exists_one(x, x in {l})")),
        1 => (path(), list()).prop_map(|(p, l)| format!("{p}.exists(x, {l}.exists(y, x == y))")),
        1 => (path(), constant()).prop_map(|(p, c)| format!("{p}.filter(x, x == {c}) != []")),
        1 => (list(), path()).prop_map(|(l, p)| format!("{l}.all(x, x != {p})")),
        1 => (path(), path()).prop_map(|(l, p)| format!("{l}.exists(x, x == {p})")),
        1 => constant().prop_map(|c| format!("{c} == profile.p0")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    atom().prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} && {b} && {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (0..4_u32, prop::collection::vec(inner.clone(), 1..4))
                .prop_map(|(n, of)| format!("atLeast({n}, {})", of.join(", "))),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

/// Kinds that never go together are refused at the start; anything else is a case.
fn compiled() -> impl Strategy<Value = Expression> {
    expression().prop_filter_map("does not compile", |source| {
        Expression::compile(&source, &Vocabulary::subject_and_item()).ok()
    })
}

/// Items by number; None takes one away.
fn changes(max: usize) -> impl Strategy<Value = Vec<(u32, Option<Item>)>> {
    let change = (0..80_u32).prop_flat_map(|index| {
        let item = prop::option::weighted(0.85, item(index));
        item.prop_map(move |item| (index, item))
    });
    prop::collection::vec(change, 0..max)
}

fn check(shelf: &Shelf, expression: &Expression, subject: &dyn Scope) -> Result<(), TestCaseError> {
    let one_by_one: RoaringBitmap = shelf
        .universe
        .iter()
        .filter(|index| {
            let item = shelf.item(*index).unwrap();
            expression.matches(&Judged {
                subject,
                item: &item,
            })
        })
        .collect();
    prop_assert_eq!(
        expression.select(shelf, subject),
        one_by_one,
        "{}",
        expression.source()
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn columns_find_what_judging_one_by_one_finds(
        before in changes(120),
        after in changes(40),
        expressions in prop::collection::vec(compiled(), 1..4),
        traits in prop::collection::btree_map("p[0-5]", proto(), 0..6),
    ) {
        let someone = Someone::new(traits);
        let mut shelf = Shelf::default();
        for (index, item) in before {
            shelf.put(index, item);
        }
        // Columns for some names only: what has none is judged.
        for expression in expressions.iter().skip(1) {
            shelf.keep_columns_for(expression);
        }
        for expression in &expressions {
            check(&shelf, expression, &someone)?;
            check(&shelf, expression, &NoSubject)?;
            shelf.keep_columns_for(expression);
            check(&shelf, expression, &someone)?;
        }
        for (index, item) in after {
            shelf.put(index, item);
        }
        for expression in &expressions {
            check(&shelf, expression, &someone)?;
        }
    }

    #[test]
    fn subjects_with_the_same_values_have_the_same_items(
        items in changes(60),
        expression in compiled(),
        traits in prop::collection::btree_map("p[0-5]", proto(), 0..6),
        others in prop::collection::btree_map("p[0-5]", proto(), 0..6),
    ) {
        let mut shelf = Shelf::default();
        for (index, item) in items {
            shelf.put(index, item);
        }
        let (one, other) = (Someone::new(traits), Someone::new(others));
        if expression.subject_values(&one) == expression.subject_values(&other) {
            prop_assert_eq!(expression.select(&shelf, &one), expression.select(&shelf, &other));
        }
    }
}
