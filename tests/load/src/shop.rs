//! The data under load: a grocer's year in the size and shape of a real one
//! (92,331 products, 801 customers, 75,000 purchase lines), made from a fixed seed
//! or imported from a directory that holds the real set. Loads it only through the
//! public API.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, bail};
use attune_api::{
    catalog::v1::{
        BatchUpsertItemsRequest, CharacteristicDefinition, CharacteristicType,
        CreateItemTypeRequest, Item, ItemType, catalog_service_client::CatalogServiceClient,
    },
    gateway::v1::{BatchMessage, BatchRequest, collection_service_client::CollectionServiceClient},
    json,
    r#type::v1::Money,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::json;
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::server::{KEY, Server, attune_binary};

pub const ITEMS: usize = 92_331;
pub const CUSTOMERS: usize = 801;
pub const PURCHASES: usize = 75_000;
const SEED: u64 = 0x00A7_7E5E;
const DEPARTMENTS: usize = 31;
const CATEGORIES: usize = 303;
const TYPES: usize = 2_377;

/// Adds the admin key to every call.
#[derive(Clone)]
pub struct WithKey(AsciiMetadataValue);

impl Interceptor for WithKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

pub async fn connect(server: &Server) -> Result<InterceptedService<Channel, WithKey>> {
    let channel = Channel::from_shared(server.endpoint.clone())?
        .connect()
        .await?;
    let key = WithKey(format!("Bearer {KEY}").parse()?);
    Ok(InterceptedService::new(channel, key))
}

/// Loads the shop and returns the ids of its customers.
pub async fn load(server: &Server, data: Option<&Path>) -> Result<Vec<String>> {
    match data {
        Some(directory) => import(server, directory),
        None => generate(server).await,
    }
}

fn import(server: &Server, directory: &Path) -> Result<Vec<String>> {
    let parts = [
        ("items", "products.csv.gz", "complete-journey-products"),
        (
            "profiles",
            "demographics.csv.gz",
            "complete-journey-demographics",
        ),
        (
            "events",
            "transactions_sample.csv.gz",
            "complete-journey-transactions",
        ),
    ];
    // Progress is kept apart from the data, so that each server is filled from the start.
    let scratch = tempfile::tempdir()?;
    for (kind, file, mapping) in parts {
        let status = Command::new(attune_binary()?)
            .args(["import", kind])
            .arg(directory.join(file))
            .args(["--mapping", mapping, "--endpoint", &server.endpoint])
            .arg("--state")
            .arg(scratch.path().join(file))
            .arg("--rejects")
            .arg(scratch.path().join(format!("{file}.rejects")))
            .env("ATTUNE_KEY", KEY)
            .status()?;
        if !status.success() {
            bail!("the import of {file} failed: {status}");
        }
    }
    // Every household of the set has an id between these; those that do not exist
    // are strangers, as some visitors always are.
    Ok((1..=CUSTOMERS).map(|n| n.to_string()).collect())
}

async fn generate(server: &Server) -> Result<Vec<String>> {
    let begin = Instant::now();
    let channel = connect(server).await?;
    let mut catalog = CatalogServiceClient::new(channel.clone());
    catalog.create_item_type(product_type()).await?;
    let mut random = SmallRng::seed_from_u64(SEED);
    let items: Vec<Item> = (0..ITEMS).map(|n| product(n, &mut random)).collect();
    for batch in items.chunks(1000) {
        let request = BatchUpsertItemsRequest {
            items: batch.to_vec(),
        };
        catalog.batch_upsert_items(request).await?;
    }
    let mut collection = CollectionServiceClient::new(channel);
    let customers: Vec<String> = (1..=CUSTOMERS).map(|n| n.to_string()).collect();
    let mut messages: Vec<BatchMessage> = Vec::with_capacity(CUSTOMERS + PURCHASES);
    messages.extend(customers.iter().map(|id| identify(id, &mut random)));
    messages.extend((0..PURCHASES).map(|n| purchase(n, &mut random)));
    for batch in messages.chunks(500) {
        let request = BatchRequest {
            batch: batch.to_vec(),
            ..Default::default()
        };
        collection.batch(request).await.context("batch refused")?;
    }
    eprintln!("shop loaded in {:.1} s", begin.elapsed().as_secs_f64());
    Ok(customers)
}

fn product_type() -> CreateItemTypeRequest {
    let text = |name: &str| CharacteristicDefinition {
        name: name.into(),
        r#type: CharacteristicType::Text.into(),
        facet: true,
        ..Default::default()
    };
    CreateItemTypeRequest {
        item_type_id: "product".into(),
        item_type: Some(ItemType {
            item_type_id: "product".into(),
            display_name: "Product".into(),
            characteristics: ["department", "brand", "manufacturer", "package_size"]
                .map(text)
                .to_vec(),
            ..Default::default()
        }),
    }
}

fn product(n: usize, random: &mut SmallRng) -> Item {
    let kind = skewed(random, TYPES);
    let category = kind % CATEGORIES;
    let department = category % DEPARTMENTS;
    let text = |value: String| json::to_value(json!(value));
    Item {
        item_id: format!("{}", 25_671 + n * 199),
        item_type: "product".into(),
        title: [(String::new(), format!("Product type {kind} no. {n}"))].into(),
        url: format!("https://shop.example/p/{n}"),
        categories: vec![
            format!("Department {department}"),
            format!("Category {category}"),
            format!("Type {kind}"),
        ],
        characteristics: [
            ("department", format!("Department {department}")),
            (
                "brand",
                ["National", "Private"][usize::from(random.random_bool(0.17))].into(),
            ),
            ("manufacturer", format!("{}", skewed(random, 6_471))),
            ("package_size", format!("{} OZ", random.random_range(1..64))),
        ]
        .map(|(name, value)| (name.to_owned(), text(value)))
        .into(),
        price: Some(Money {
            currency_code: "USD".into(),
            amount: f64::from(random.random_range(49..2_999)) / 100.0,
        }),
        ..Default::default()
    }
}

fn identify(id: &str, random: &mut SmallRng) -> BatchMessage {
    let ages = ["19-24", "25-34", "35-44", "45-54", "55-64", "65+"];
    let incomes = ["Under 15K", "15-24K", "25-34K", "35-49K", "50-74K"];
    let traits = json!({
        "age": (ages[random.random_range(0..ages.len())]),
        "income": (incomes[random.random_range(0..incomes.len())]),
        "home_ownership": "Homeowner",
        "household_size": random.random_range(1..6),
        "kids_count": random.random_range(0..4),
    });
    BatchMessage {
        r#type: "identify".into(),
        message_id: format!("identify-{id}"),
        user_id: id.to_owned(),
        traits: json::to_struct(traits),
        ..Default::default()
    }
}

fn purchase(n: usize, random: &mut SmallRng) -> BatchMessage {
    // One year of the data set's shape; the second of the year is random.
    let second = 1_483_228_800 + random.random_range(0..31_536_000);
    let item = 25_671 + skewed(random, ITEMS) * 199;
    let properties = json!({
        "product_id": item.to_string(),
        "quantity": random.random_range(1..4),
        "revenue": f64::from(random.random_range(49..1_999)) / 100.0,
    });
    BatchMessage {
        r#type: "track".into(),
        message_id: format!("purchase-{n}"),
        user_id: format!("{}", random.random_range(1..=CUSTOMERS)),
        event: "Order Completed".into(),
        properties: json::to_struct(properties),
        timestamp: Some(prost_types::Timestamp {
            seconds: second,
            nanos: 0,
        }),
        ..Default::default()
    }
}

/// Few are frequent, most are rare: the square of a uniform draw.
fn skewed(random: &mut SmallRng, n: usize) -> usize {
    let u: f64 = random.random();
    ((u * u * u * n as f64) as usize).min(n - 1)
}
