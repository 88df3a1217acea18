//! How long a decision takes on a catalog of 92,331 items: one placement without rules,
//! three placements with a thousand, and the same through the in-process channel.
//! Everything is generated from a fixed seed. Prints one line per case; `--quick` does
//! a tenth of the decisions, `--one` the first case alone.

// A benchmark that cannot go on stops.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use attune_api::{
    json,
    profile::v1::{RecentEvent, Snapshot},
    rules::v1::{Action, Boost, DecideRequest, PlacementRequest, Rule, action},
    time,
};
use attune_rpc::Workspace;
use attune_testkit::TestDatabase;
use prost::Message as _;
use serde_json::json;
use support::{DAY_MS, Logs, Running, event, item, placement};

/// As the product's binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEMS: u64 = 92_331;
const EVENTS: u64 = 75_000;
const PEOPLE: u64 = 800;
const RULES: u64 = 1_000;
const DECISIONS: usize = 20_000;

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

    /// Few items get most of the attention.
    fn item(&mut self) -> String {
        let (a, b) = (self.below(ITEMS), self.below(ITEMS));
        format!("item-{}", a * b / ITEMS)
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let is_quick = std::env::args().any(|arg| arg == "--quick");
    runtime.block_on(bench(if is_quick { DECISIONS / 10 } else { DECISIONS }));
}

async fn bench(decisions: usize) {
    let mut dice = Dice(2026);
    let before = memory_bytes();
    let (logs, own) = (
        TestDatabase::sqlite("logs"),
        TestDatabase::sqlite("rule-engine"),
    );
    let logs = Logs::open(&logs).await;
    let engine = Running::open(own.url(), "sqlite", logs).await;

    let started = Instant::now();
    load_items(&engine, &mut dice).await;
    println!("items taken in      {:>10.0} /s", rate(ITEMS, started));
    let per_item = (memory_bytes() - before) / ITEMS;
    println!("memory per item     {per_item:>10} B (the log's cache included)");
    let started = Instant::now();
    load_events(&engine, &mut dice).await;
    println!("events taken in     {:>10.0} /s", rate(EVENTS, started));

    engine.put_placement(placement("home", "")).await.unwrap();
    let people: Vec<Vec<u8>> = (0..PEOPLE).map(|p| snapshot(p, &mut dice)).collect();
    let one = requests(&people, &["home"]);
    measure("one placement of 10", &engine, &one, decisions).await;
    if std::env::args().any(|arg| arg == "--one") {
        return;
    }

    for id in ["second", "third"] {
        engine.put_placement(placement(id, "")).await.unwrap();
    }
    let started = Instant::now();
    for number in 0..RULES {
        engine.put_rule(rule(number)).await.unwrap();
    }
    println!("rules saved         {:>10.0} /s", rate(RULES, started));
    measure("one, 1,000 rules", &engine, &one, decisions).await;
    let three = requests(&people, &["home", "second", "third"]);
    measure("three, 1,000 rules", &engine, &three, decisions).await;

    engine.stop().await;
    let started = Instant::now();
    let again = Running::open(own.url(), "sqlite", engine.logs.clone()).await;
    println!(
        "start               {:>10} ms",
        started.elapsed().as_millis()
    );
    again.stop().await;
}

/// Alone and then through the channel.
async fn measure(name: &str, engine: &Running, requests: &[DecideRequest], decisions: usize) {
    let workspace = Workspace::default();
    let mut direct = Vec::with_capacity(decisions);
    for request in requests.iter().cycle().take(decisions + requests.len()) {
        let started = Instant::now();
        let answer = engine.engine.decide(&workspace, request).unwrap();
        direct.push(started.elapsed());
        assert!(answer.placements.iter().all(|p| p.slots.len() == 10));
    }
    let cold = direct.drain(..requests.len()).collect();
    tell(&format!("{name}, first time"), cold);
    tell(name, direct);
    let mut through = Vec::with_capacity(decisions);
    for request in requests.iter().cycle().take(decisions) {
        let request = request.clone();
        let started = Instant::now();
        engine.decide(request).await.unwrap();
        through.push(started.elapsed());
    }
    tell(&format!("{name}, by RPC"), through);
}

fn tell(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        let at = ((times.len() - 1) as f64 * share) as usize;
        times[at].as_nanos() as f64 / 1000.0
    };
    println!(
        "{name:<34} median {:>7.1} µs   p99 {:>7.1} µs",
        at(0.5),
        at(0.99)
    );
}

fn rate(count: u64, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

async fn load_items(engine: &Running, dice: &mut Dice) {
    let mut number = 0;
    while number < ITEMS {
        let end = (number + 5_000).min(ITEMS);
        let items = (number..end).map(|n| {
            let leaf = dice.below(2_300);
            let mut item = item(
                &format!("item-{n}"),
                &format!("leaf-{leaf}"),
                &format!("brand-{}", dice.below(300)),
            );
            item.categories = vec![
                format!("department-{}", leaf % 30),
                format!("commodity-{}", leaf % 300),
                format!("leaf-{leaf}"),
            ];
            let size = json!({
                "brand": format!("brand-{}", dice.below(300)),
                "size": format!("{} OZ", dice.below(400)),
                "manufacturer": dice.below(6_000).to_string(),
            });
            item.characteristics = json::to_struct(size).unwrap().fields;
            item
        });
        engine.publish_items(items.collect()).await;
        number = end;
    }
}

async fn load_events(engine: &Running, dice: &mut Dice) {
    let then_ms = time::now_ms() - 365 * DAY_MS;
    for chunk in 0..EVENTS / 5_000 {
        let events = (0..5_000).map(|n| {
            let person = format!("0190c0de-0000-7000-8000-{:012}", dice.below(PEOPLE));
            let (a, b) = (dice.item(), dice.item());
            let at_ms = then_ms + ((chunk * 5_000 + n) * 400_000) as i64;
            event(&person, "purchase", &[&a, &b], at_ms)
        });
        engine.publish_events(events.collect()).await;
    }
}

fn snapshot(person: u64, dice: &mut Dice) -> Vec<u8> {
    let traits: serde_json::Map<_, _> = (0..20)
        .map(|n| (format!("trait_{n}"), json!(dice.below(200))))
        .collect();
    let recent = (0..30).map(|n| RecentEvent {
        r#type: ["view", "view", "add_to_cart", "purchase"][n % 4].into(),
        time_ms: time::now_ms() - n as i64 * 60_000,
        item_ids: vec![dice.item()],
        revenue: 0.0,
        ..Default::default()
    });
    Snapshot {
        profile_id: format!("0190c0de-0000-7000-8000-{person:012}"),
        traits: json::to_struct(serde_json::Value::Object(traits)),
        segments: vec!["regulars".into(), "weekend".into()],
        recent_events: recent.collect(),
        ..Default::default()
    }
    .encode_to_vec()
}

fn requests(people: &[Vec<u8>], placements: &[&str]) -> Vec<DecideRequest> {
    let request = |snapshot: &Vec<u8>| DecideRequest {
        snapshot: snapshot.clone().into(),
        channel: "web".into(),
        placements: placements
            .iter()
            .map(|id| PlacementRequest {
                placement: (*id).into(),
                count: 10,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    people.iter().map(request).collect()
}

/// About one in two hundred holds for a person.
fn rule(number: u64) -> Rule {
    Rule {
        rule_id: format!("rule-{number}"),
        when: format!("profile.trait_{} == {}.0", number % 20, number / 5),
        r#where: format!(
            "item.categories.exists(c, c == \"department-{}\")",
            number % 30
        ),
        action: Some(Action {
            kind: Some(action::Kind::Boost(Boost { factor: 1.5 })),
        }),
        ..Default::default()
    }
}

/// Resident memory of this process, from the kernel; 0 where it does not say.
fn memory_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1);
    pages
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
}
