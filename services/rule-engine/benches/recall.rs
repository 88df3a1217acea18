//! What the search for candidates finds, by leave-last-out: of each person's last basket,
//! how much is among ten items decided from what was before. Compares bounds of the
//! search on a data set given by its path; nothing is read unless one is given.
//!
//!     cargo bench -p attune-rule-engine --bench recall -- PATH
//!
//! PATH is a folder with `products.csv.gz` and `transactions_sample.csv.gz` (The Complete
//! Journey) or a file of invoice lines (Online Retail II).

// A benchmark that cannot go on stops.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    path::Path,
    sync::Arc,
    time::Instant,
};

use attune_api::{
    catalog::v1::{Item, ItemState},
    json,
    profile::v1::Basis,
};
use attune_expr::Scope;
use attune_rule_engine::domain::{
    decide::{PlacementAsk, Request, Scene, Scratch, SimilarItems, Unused, decide, trace::Depth},
    inverted::{Neighbour, Reach},
    items::{ItemIndex, Items},
    models::{Learnt, Models, PeopleMax},
    plan::{LoosePlacement, RuleBase},
    popularity::Signal,
    subject::{RecentItem, Subject},
};
use serde_json::json;

const SHOWN: usize = 10;
const PEOPLE_MAX: usize = 1000;

type Record = HashMap<String, String>;

/// One visit to the till.
struct Basket {
    person: String,
    time_ms: i64,
    item_ids: Vec<String>,
}

struct Nobody;
impl Scope for Nobody {}

/// Remembers within one comparison, as the service does.
#[derive(Default)]
struct Remembered(RefCell<HashMap<ItemIndex, Arc<[Neighbour]>>>);

impl SimilarItems for Remembered {
    fn similar(&self, items: &Items, models: &Models, index: ItemIndex) -> Arc<[Neighbour]> {
        let mut held = self.0.borrow_mut();
        let list = held.entry(index).or_insert_with(|| {
            let standing = |other| models.popularity.standing(other);
            let inverted = items.inverted();
            inverted
                .neighbours(items, index, &models.reach, standing)
                .into()
        });
        Arc::clone(list)
    }
}

fn main() {
    let Some(path) = std::env::args().skip(1).find(|arg| !arg.starts_with('-')) else {
        println!("recall: no data set was given");
        return;
    };
    let path = Path::new(&path);
    let (catalog, mut baskets) = if path.is_dir() {
        complete_journey(path)
    } else {
        online_retail(path)
    };
    baskets.sort_by_key(|basket| basket.time_ms);
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (at, basket) in baskets.iter().enumerate() {
        last.insert(&basket.person, at);
    }
    let held_out: HashSet<usize> = last.values().copied().collect();
    let (items, mut models) = learn(&catalog, &baskets, &held_out);
    let mut asked: Vec<usize> = held_out.into_iter().collect();
    asked.sort_unstable();
    println!(
        "{} items, {} baskets, {} people",
        items.len(),
        baskets.len(),
        asked.len()
    );
    println!(
        "{:<44} {:>9} {:>8} {:>9}",
        "bounds", "recall@10", "hits", "µs each"
    );
    let small = Reach {
        visits_max: 2048,
        compared_max: 96,
        neighbours_max: 24,
        seeds_max: 6,
    };
    let large = Reach {
        visits_max: 4096,
        compared_max: 192,
        neighbours_max: 32,
        seeds_max: 8,
    };
    let huge = Reach {
        visits_max: 100_000,
        compared_max: 2_000,
        neighbours_max: 64,
        seeds_max: 12,
    };
    let cases = [
        ("small: 2048 96 24, 6 seeds, 24 recent", small, 24),
        (
            "seeds 8",
            Reach {
                seeds_max: 8,
                ..small
            },
            24,
        ),
        (
            "neighbours 32",
            Reach {
                neighbours_max: 32,
                ..small
            },
            24,
        ),
        (
            "visits 4096, compared 192",
            Reach {
                visits_max: 4096,
                compared_max: 192,
                ..small
            },
            24,
        ),
        ("recent 64", small, 64),
        ("large: 4096 192 32, 8 seeds, 64 recent", large, 64),
        ("huge: 100000 2000 64, 12 seeds, 100 recent", huge, 100),
    ];
    for (name, reach, recent_max) in cases {
        models.reach = reach;
        let measured = measure(&items, &models, &baskets, &asked, recent_max);
        println!(
            "{name:<44} {:>9.4} {:>8} {:>9.0}",
            measured.recall, measured.hits, measured.micros
        );
    }
}

struct Measured {
    /// The mean over people of the share of the last basket that was shown, of as much
    /// of it as could be shown.
    recall: f64,
    hits: usize,
    micros: f64,
}

fn measure(
    items: &Items,
    models: &Models,
    baskets: &[Basket],
    asked: &[usize],
    recent_max: usize,
) -> Measured {
    let similar = Remembered::default();
    let mut base = RuleBase::default();
    let placement = LoosePlacement {
        id: "home".into(),
        channels: vec![],
        strategy_id: String::new(),
        fallback: vec![],
        template: String::new(),
        caps: vec![],
    };
    let plan = Arc::new(placement.plan(&BTreeMap::new()));
    base.placements.insert("home".into(), Arc::clone(&plan));
    let scene = Scene {
        items,
        models,
        base: &base,
        similar: &similar,
    };
    let mut scratch = Scratch::default();
    let step = asked.len().div_ceil(PEOPLE_MAX);
    let (mut recall, mut hits, mut people) = (0.0, 0, 0);
    let started = Instant::now();
    for &at in asked.iter().step_by(step) {
        let target = &baskets[at];
        let before = baskets[..at].iter().rev();
        let own = before.filter(|basket| basket.person == target.person);
        let recent = own.flat_map(|basket| {
            let time_ms = basket.time_ms;
            let indexes = basket.item_ids.iter().filter_map(|id| items.index_of(id));
            indexes.map(move |item| RecentItem {
                signal: Signal::Purchase,
                item,
                time_ms,
            })
        });
        let recent: Vec<RecentItem> = recent.take(recent_max).collect();
        if recent.is_empty() {
            continue;
        }
        let ask = PlacementAsk {
            plan: Arc::clone(&plan),
            count: SHOWN,
            item: None,
            filter: None,
            seed: 1,
        };
        let request = Request {
            channel: "web",
            now_ms: target.time_ms,
            locale: "",
            subject: Subject {
                profile_id: "",
                basis: Basis::Full,
            },
            recent: &recent,
            bought: &[],
            scope: &Nobody,
            cart: &[],
            page_item: None,
            excluded: &[],
            rule_use: &Unused,
            history: None,
            placements: &[ask],
            depth: Depth::None,
        };
        let decided = decide(&scene, &request, &mut scratch, &mut ());
        let wanted: HashSet<ItemIndex> = target
            .item_ids
            .iter()
            .filter_map(|id| items.index_of(id))
            .collect();
        let slots = decided[0].slots.iter();
        let found = slots.filter(|slot| wanted.contains(&slot.index)).count();
        recall += found as f64 / wanted.len().clamp(1, SHOWN) as f64;
        hits += found;
        people += 1;
    }
    Measured {
        recall: recall / f64::from(people.max(1)),
        hits,
        micros: started.elapsed().as_micros() as f64 / f64::from(people.max(1)),
    }
}

fn learn(catalog: &[Item], baskets: &[Basket], held_out: &HashSet<usize>) -> (Items, Models) {
    let mut items = Items::default();
    let mut models = Models::new(PeopleMax {
        purchasers: 200_000,
        viewers: 100_000,
    });
    for item in catalog {
        let change = items.upsert(item, None);
        models.item_changed(change, items.offerable());
    }
    items.refresh();
    let mut people: HashMap<&str, u128> = HashMap::new();
    for (at, basket) in baskets.iter().enumerate() {
        let next = people.len() as u128;
        let person = *people.entry(&basket.person).or_insert(next);
        if held_out.contains(&at) {
            continue;
        }
        let indexes = basket.item_ids.iter().filter_map(|id| items.index_of(id));
        let mut indexes: Vec<ItemIndex> = indexes.collect();
        indexes.sort_unstable();
        indexes.dedup();
        let learnt = Learnt {
            signal: Signal::Purchase,
            person,
            items: indexes,
            segments: vec![],
            time_ms: basket.time_ms,
        };
        models.record(&learnt, &items);
    }
    models.popularity.refresh(items.offerable());
    (items, models)
}

fn complete_journey(folder: &Path) -> (Vec<Item>, Vec<Basket>) {
    let items = rows(&folder.join("products.csv.gz")).map(|row| {
        let categories = ["department", "product_category", "product_type"];
        let categories = categories.iter().map(|name| row[*name].clone());
        let values = json!({
            "brand": row["brand"],
            "manufacturer": row["manufacturer_id"],
            "size": row["package_size"],
        });
        Item {
            item_id: row["product_id"].clone(),
            item_type: "product".into(),
            categories: categories.filter(|category| !category.is_empty()).collect(),
            characteristics: json::to_struct(values).unwrap().fields,
            state: ItemState::Published.into(),
            ..Default::default()
        }
    });
    let lines = rows(&folder.join("transactions_sample.csv.gz"));
    let lines = lines.map(|row| Line {
        person: row["household_id"].clone(),
        basket: row["basket_id"].clone(),
        item_id: row["product_id"].clone(),
        time: row["transaction_timestamp"].clone(),
    });
    (items.collect(), baskets(lines))
}

/// Returns and lines without a customer or a product are left out.
fn online_retail(file: &Path) -> (Vec<Item>, Vec<Basket>) {
    let is_sale = |row: &Record| {
        let quantity: f64 = row["Quantity"].parse().unwrap_or(0.0);
        let is_product = row["StockCode"].starts_with(|c: char| c.is_ascii_digit());
        quantity > 0.0 && is_product && !row["Customer ID"].is_empty()
    };
    let mut ids = HashSet::new();
    let lines = rows(file).filter(is_sale).map(|row| Line {
        person: row["Customer ID"].clone(),
        basket: row["Invoice"].clone(),
        item_id: row["StockCode"].clone(),
        time: row["InvoiceDate"].clone(),
    });
    let lines: Vec<Line> = lines.collect();
    let items = lines.iter().filter(|line| ids.insert(line.item_id.clone()));
    let items = items.map(|line| Item {
        item_id: line.item_id.clone(),
        item_type: "gift".into(),
        state: ItemState::Published.into(),
        ..Default::default()
    });
    let items = items.collect();
    (items, baskets(lines.into_iter()))
}

struct Line {
    person: String,
    basket: String,
    item_id: String,
    time: String,
}

fn baskets(lines: impl Iterator<Item = Line>) -> Vec<Basket> {
    let mut held: BTreeMap<(String, String), Basket> = BTreeMap::new();
    for line in lines {
        let time: jiff::civil::DateTime = line.time.parse().expect("a date and a time");
        let time = time
            .to_zoned(jiff::tz::TimeZone::UTC)
            .expect("a time in range");
        let key = (line.person.clone(), line.basket);
        let basket = held.entry(key).or_insert_with(|| Basket {
            person: line.person,
            time_ms: time.timestamp().as_millisecond(),
            item_ids: Vec::new(),
        });
        basket.item_ids.push(line.item_id);
    }
    held.into_values().collect()
}

fn rows(path: &Path) -> impl Iterator<Item = Record> + use<> {
    let file = File::open(path).expect("a data set at the path");
    let reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    reader
        .into_deserialize()
        .map(|row| row.expect("a line of the data set"))
}
