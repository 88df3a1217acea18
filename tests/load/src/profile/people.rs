//! The people under load: who they are (20 traits) and what they do, made from a fixed
//! seed, so that every run and every database gets the same. Sends nothing.

use std::time::{SystemTime, UNIX_EPOCH};

use attune_api::{
    json::to_struct,
    profile::v1::{EventMessage, IdentifyMessage, IngestMessage, ingest_message::Kind},
    time::from_ms,
    r#type::v1::Identity,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

/// Events of one person in what is held per profile.
pub const EVENTS_EACH: usize = 30;

const SEED: u64 = 0x00A7_7E5E;
const HISTORY_MS: i64 = 90 * 86_400_000;
const CITIES: [&str; 8] = [
    "Wien", "Graz", "Linz", "Salzburg", "Bregenz", "Villach", "Wels", "Steyr",
];
const CATEGORIES: [&str; 6] = ["tents", "boots", "packs", "stoves", "ropes", "maps"];

const GENDERS: [&str; 3] = ["female", "male", "other"];
const TIERS: [&str; 3] = ["basic", "silver", "gold"];
const INCOMES: [&str; 3] = ["low", "middle", "high"];

/// Makes messages. Each has an id that no other has.
pub struct People {
    random: SmallRng,
    messages: u64,
    now_ms: i64,
    /// In front of all message ids, so that several may send to one database.
    name: &'static str,
}

impl People {
    pub fn new(name: &'static str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            random: SmallRng::seed_from_u64(SEED),
            messages: 0,
            now_ms: now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX)),
            name,
        }
    }

    /// Says who a person is: a user id and 20 traits.
    pub fn identify(&mut self, person: usize) -> IngestMessage {
        let traits = to_struct(self.traits(person));
        let at = self.now_ms - HISTORY_MS;
        self.message(person, at, Kind::Identify(IdentifyMessage { traits }))
    }

    /// What one of `people` did: seven of ten times a view, twice something put in the
    /// cart, once a purchase of two things.
    pub fn event(&mut self, people: usize) -> IngestMessage {
        let person = self.random.random_range(0..people);
        self.event_of(person)
    }

    /// One of `people` views something now.
    pub fn view(&mut self, people: usize) -> IngestMessage {
        let person = self.random.random_range(0..people);
        let properties = to_struct(self.product());
        let name = "Product Viewed".to_owned();
        let kind = Kind::Event(EventMessage { name, properties });
        self.message(person, self.now_ms, kind)
    }

    pub fn event_of(&mut self, person: usize) -> IngestMessage {
        let (name, properties) = match self.random.random_range(0..10) {
            0 => ("Order Completed", self.order()),
            1 | 2 => ("Product Added", self.product()),
            _ => ("Product Viewed", self.product()),
        };
        let properties = to_struct(properties);
        let at = self.next_ms();
        let name = name.to_owned();
        self.message(person, at, Kind::Event(EventMessage { name, properties }))
    }

    /// Events come in the order of their times, one of twenty up to an hour late.
    fn next_ms(&mut self) -> i64 {
        let late = match self.random.random_range(0..20) {
            0 => self.random.random_range(0..3_600_000),
            _ => 0,
        };
        let since = i64::try_from(self.messages).unwrap_or(i64::MAX) % (HISTORY_MS / 2);
        self.now_ms - HISTORY_MS / 2 + since - late
    }

    fn message(&mut self, person: usize, at_ms: i64, kind: Kind) -> IngestMessage {
        self.messages += 1;
        IngestMessage {
            message_id: format!("{}-{:016x}", self.name, self.messages),
            identities: vec![Identity {
                namespace: "user_id".into(),
                value: user_id(person),
            }],
            time: Some(from_ms(at_ms)),
            receive_time: Some(from_ms(self.now_ms)),
            channel: "web".into(),
            kind: Some(kind),
            ..IngestMessage::default()
        }
    }

    fn product(&mut self) -> Value {
        json!({
            "product_id": format!("p{}", self.random.random_range(0..92_331)),
            "category": CATEGORIES[self.random.random_range(0..CATEGORIES.len())],
            "price": f64::from(self.random.random_range(100..20_000)) / 100.0,
        })
    }

    fn order(&mut self) -> Value {
        let products = [self.product(), self.product()];
        json!({
            "order_id": format!("o{}", self.random.random_range(0..1_000_000_000)),
            "revenue": f64::from(self.random.random_range(500..40_000)) / 100.0,
            "products": products,
        })
    }

    fn traits(&mut self, person: usize) -> Value {
        let random = &mut self.random;
        json!({
            "first_name": format!("Anna{}", person % 997),
            "last_name": format!("Muster{}", person % 9_973),
            "email": format!("anna.muster.{person}@example.com"),
            "phone": format!("+4366{person:09}"),
            "age": random.random_range(18..90),
            "gender": GENDERS[random.random_range(0..3)],
            "city": CITIES[random.random_range(0..CITIES.len())],
            "country": "AT",
            "language": "de-AT",
            "tier": TIERS[random.random_range(0..3)],
            "points": random.random_range(0..10_000),
            "newsletter": random.random_bool(0.5),
            "household_size": random.random_range(1..6),
            "kids_count": random.random_range(0..4),
            "income": INCOMES[random.random_range(0..3)],
            "favourite_store": format!("s{}", random.random_range(0..200)),
            "favourite_category": CATEGORIES[random.random_range(0..CATEGORIES.len())],
            "price_sensitivity": f64::from(random.random_range(0..100)) / 100.0,
            "signup_date": format!("2024-{:02}-{:02}",
                random.random_range(1..13), random.random_range(1..29)),
            "app_user": random.random_bool(0.3),
        })
    }
}

pub fn user_id(person: usize) -> String {
    format!("user-{person:08}")
}
