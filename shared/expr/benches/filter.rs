//! What a filter over a whole catalog of 92,331 items costs by columns, and what
//! judging it item by item costs, in one run. Everything is generated from a fixed
//! seed. Prints a line per filter: microseconds, the median of many runs.

// A benchmark that cannot go on stops.
#![allow(clippy::unwrap_used)]

use std::{hint::black_box, time::Instant};

use attune_api::{catalog::v1::Item, r#type::v1::Money};
use attune_expr::{
    Expression, ItemField, ItemScope, Scope, Vocabulary,
    filter::{Column, ColumnName, Columns, NoSubject},
};
use prost_types::value::Kind;
use roaring::RoaringBitmap;

const ITEMS: u64 = 92_331;
const RUNS: usize = 41;

const FILTERS: [&str; 6] = [
    "item.price < 50.0 && \"Tents\" in item.categories && !(item.brand in [\"a\", \"b\"])",
    "item.price < 50.0",
    "item.brand in [\"brand-1\", \"brand-2\", \"brand-3\"] || item.price >= 499.0",
    "!(\"Tents\" in item.categories) && item.stock > 0",
    "item.brand.startsWith(\"brand-1\") && item.price * 1.19 < 100.0",
    "\"Tents\" in item.categories && item.price < item.rrp",
];

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

struct Shelf {
    items: Vec<Item>,
    universe: RoaringBitmap,
    columns: Vec<(&'static str, Column)>,
}

fn value(kind: Kind) -> prost_types::Value {
    prost_types::Value { kind: Some(kind) }
}

fn item(index: u64, dice: &mut Dice) -> Item {
    let department = dice.below(8);
    let leaf = match dice.below(60) {
        0 => "Tents".to_owned(),
        other => format!("leaf-{department}-{other}"),
    };
    let brand = match dice.below(200) {
        0 => "a".to_owned(),
        1 => "b".to_owned(),
        other => format!("brand-{other}"),
    };
    let cents = 100 + dice.below(50_000);
    let rrp = cents as f64 / 100.0 * (0.9 + dice.below(30) as f64 / 100.0);
    Item {
        item_id: format!("item-{index}"),
        item_type: "product".into(),
        categories: vec![format!("department-{department}"), leaf],
        price: Some(Money {
            currency_code: "EUR".into(),
            amount: cents as f64 / 100.0,
        }),
        stock: Some(dice.below(20) as i64),
        characteristics: [
            ("brand".to_owned(), value(Kind::StringValue(brand))),
            ("rrp".to_owned(), value(Kind::NumberValue(rrp))),
        ]
        .into(),
        ..Item::default()
    }
}

impl Shelf {
    fn new() -> Self {
        let mut dice = Dice(7);
        Self {
            items: (0..ITEMS).map(|index| item(index, &mut dice)).collect(),
            universe: (0..ITEMS as u32).collect(),
            columns: Vec::new(),
        }
    }

    fn keep(&mut self, name: &'static str) {
        let started = Instant::now();
        let mut column = Column::default();
        for (index, item) in (0..).zip(&self.items) {
            let scope = ItemScope(item);
            let value = match ItemField::parse(name) {
                Some(field) => scope.item(field),
                None => scope.characteristic(name),
            };
            column.insert(index, &value);
        }
        let ms = started.elapsed().as_secs_f64() * 1e3;
        println!("column {name:<12} built in {ms:.1} ms");
        self.columns.push((name, column));
    }
}

impl Columns for Shelf {
    type Item<'a> = ItemScope<'a>;

    fn universe(&self) -> &RoaringBitmap {
        &self.universe
    }

    fn column(&self, name: ColumnName<'_>) -> Option<&Column> {
        let name = match name {
            ColumnName::Field(field) => field.name(),
            ColumnName::Characteristic(name) => name,
        };
        let held = self.columns.iter().find(|(held, _)| *held == name);
        held.map(|(_, column)| column)
    }

    fn index_of(&self, item_id: &str) -> Option<u32> {
        item_id.strip_prefix("item-")?.parse().ok()
    }

    fn item(&self, index: u32) -> Option<ItemScope<'_>> {
        self.items.get(index as usize).map(ItemScope)
    }
}

fn one_by_one(shelf: &Shelf, expression: &Expression) -> RoaringBitmap {
    let items = (0..).zip(&shelf.items);
    let found = items.filter(|(_, item)| expression.matches(&ItemScope(item)));
    found.map(|(index, _)| index).collect()
}

fn median_us(runs: usize, mut run: impl FnMut() -> RoaringBitmap) -> f64 {
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let started = Instant::now();
            black_box(run());
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}

fn main() {
    let mut shelf = Shelf::new();
    for name in ["price", "categories", "brand", "stock", "rrp"] {
        shelf.keep(name);
    }
    println!(
        "{:>10} {:>10} {:>7} {:>7}",
        "one by one", "columns", "times", "items"
    );
    for source in FILTERS {
        let expression = Expression::compile(source, &Vocabulary::item()).unwrap();
        let found = expression.select(&shelf, &NoSubject);
        assert_eq!(found, one_by_one(&shelf, &expression));
        let plain = median_us(RUNS, || one_by_one(&shelf, &expression));
        let columns = median_us(RUNS, || expression.select(&shelf, &NoSubject));
        let (times, items) = (plain / columns, found.len());
        println!("{plain:>10.0} {columns:>10.1} {times:>6.0}x {items:>7}  {source}");
    }
}
