//! A catalog behind its real client, on a fresh database; and short ways to say what
//! tests send. Knows the contract only.

#![allow(dead_code, clippy::unwrap_used)] // Each test binary uses its own part of it.

use attune_api::{
    catalog::v1::{
        BatchGetItemsRequest, BatchUpsertItemsRequest, BatchUpsertItemsResponse,
        CharacteristicDefinition, CharacteristicType, CreateItemTypeRequest, GetItemRequest, Item,
        ItemType, ListItemsRequest, UpdateItemTypeRequest,
        catalog_service_client::CatalogServiceClient,
    },
    events::v1::{LogEntry, log_entry::Change},
    json,
    r#type::v1::Money,
};
use attune_catalog::{Catalog, Config, MIGRATIONS};
use attune_errors::{Reason, reason_of, violations_of};
use attune_rpc::{Caller, Channel, Internal, PeerToken, Peers, Tasks, Workspace};
use attune_storage::Database;
use attune_testkit::{PATIENCE, test_database_urls};
use prost::Message as _;
use prost_types::FieldMask;
use serde_json::Value as Json;
use tonic::{Request, Status, service::RoutesBuilder};

pub struct Running {
    pub client: CatalogServiceClient<Channel>,
    pub database: Database,
    pub caller: Caller,
    pub url: String,
    pub system: &'static str,
    tasks: Tasks,
}

/// Runs a test on a fresh catalog on each database.
pub async fn on_both(name: &str, test: impl AsyncFn(Running)) {
    for database in test_database_urls(name).await {
        let url = database.url().to_owned();
        test(Running::open(&url, database.system, Config::default()).await).await;
    }
}

impl Running {
    pub async fn open(url: &str, system: &'static str, config: Config) -> Self {
        let database = Database::open(url, &MIGRATIONS).await.unwrap();
        let catalog = Catalog::open(config, database.clone()).await.unwrap();
        let mut routes = RoutesBuilder::default();
        catalog.register(&mut routes);
        let internal = Internal::new(PeerToken::random());
        let channel = Channel::in_process("catalog", routes.routes(), &internal);
        let tasks = Tasks::new();
        let peers = Peers {
            profile: channel.clone(),
            catalog: channel.clone(),
            rule_engine: channel.clone(),
            messaging: channel.clone(),
        };
        catalog.start(&tasks, &peers);
        Self {
            client: CatalogServiceClient::new(channel)
                .max_decoding_message_size(attune_rpc::MESSAGE_BYTES_MAX),
            database,
            caller: Caller::new(Workspace::default()),
            url: url.to_owned(),
            system,
            tasks,
        }
    }

    /// Another process on the same database.
    pub async fn replica(&self) -> Self {
        Self::open(&self.url, self.system, Config::default()).await
    }

    pub async fn stop(self) {
        self.tasks.shutdown(PATIENCE).await.unwrap();
        self.database.close().await;
    }

    /// The same service for another tenant.
    pub fn in_workspace(&self, name: &str) -> Self {
        Self {
            client: self.client.clone(),
            database: self.database.clone(),
            caller: Caller::new(Workspace::new(name).unwrap()),
            url: self.url.clone(),
            system: self.system,
            tasks: self.tasks.clone(),
        }
    }

    pub fn request<M>(&self, message: M) -> Request<M> {
        self.caller.request(message)
    }

    pub async fn create_type(&self, item_type: ItemType) -> Result<ItemType, Status> {
        let request = self.request(CreateItemTypeRequest {
            item_type: Some(item_type),
            ..Default::default()
        });
        Ok(self
            .client
            .clone()
            .create_item_type(request)
            .await?
            .into_inner())
    }

    pub async fn update_type(&self, request: UpdateItemTypeRequest) -> Result<ItemType, Status> {
        let request = self.request(request);
        Ok(self
            .client
            .clone()
            .update_item_type(request)
            .await?
            .into_inner())
    }

    pub async fn upsert(&self, items: Vec<Item>) -> Result<BatchUpsertItemsResponse, Status> {
        let request = self.request(BatchUpsertItemsRequest { items });
        Ok(self
            .client
            .clone()
            .batch_upsert_items(request)
            .await?
            .into_inner())
    }

    /// Created, updated and unchanged.
    pub async fn counts(&self, items: Vec<Item>) -> [i32; 3] {
        let response = self.upsert(items).await.unwrap();
        [
            response.created_count,
            response.updated_count,
            response.unchanged_count,
        ]
    }

    pub async fn get(&self, item_id: &str) -> Result<Item, Status> {
        let item_id = item_id.to_owned();
        let request = self.request(GetItemRequest { item_id });
        Ok(self.client.clone().get_item(request).await?.into_inner())
    }

    /// Ids found and ids missing.
    pub async fn batch_get(&self, ids: &[&str]) -> (Vec<Item>, Vec<String>) {
        let item_ids = ids.iter().map(ToString::to_string).collect();
        let request = self.request(BatchGetItemsRequest { item_ids });
        let response = self.client.clone().batch_get_items(request).await.unwrap();
        let response = response.into_inner();
        (response.items, response.missing_item_ids)
    }

    /// Ids of all items that pass a filter, page by page.
    pub async fn list(&self, filter: &str, page_size: i32) -> Result<Vec<String>, Status> {
        let mut ids = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = self.request(ListItemsRequest {
                page_size,
                page_token,
                filter: filter.into(),
            });
            let page = self.client.clone().list_items(request).await?.into_inner();
            ids.extend(page.items.into_iter().map(|item| item.item_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(ids);
            }
        }
    }

    /// Everything the log tells, oldest first.
    pub async fn told(&self) -> Vec<Change> {
        let batch = self.database.log_read(0, 10_000).await.unwrap();
        let change = |entry: &[u8]| LogEntry::decode(entry).unwrap().change.unwrap();
        batch
            .entries
            .iter()
            .map(|stored| change(&stored.entry))
            .collect()
    }
}

/// `tent` with a brand, a number of persons and a season.
pub fn tent_type() -> ItemType {
    let define = |name: &str, kind: CharacteristicType, values: &[&str]| CharacteristicDefinition {
        name: name.into(),
        r#type: kind.into(),
        enum_values: values.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    ItemType {
        item_type_id: "tent".into(),
        display_name: "Tent".into(),
        characteristics: vec![
            define("brand", CharacteristicType::Text, &[]),
            define("persons", CharacteristicType::Number, &[]),
            define("season", CharacteristicType::Enum, &["summer", "winter"]),
            define("uses", CharacteristicType::TextSet, &[]),
        ],
        ..Default::default()
    }
}

pub fn tent(item_id: &str, price: f64, characteristics: Json) -> Item {
    Item {
        item_id: item_id.into(),
        item_type: "tent".into(),
        title: [(String::new(), format!("Tent {item_id}"))].into(),
        categories: vec!["Camping".into(), "Tents".into()],
        characteristics: json::to_struct(characteristics).unwrap().fields,
        price: Some(Money {
            currency_code: "EUR".into(),
            amount: price,
        }),
        ..Default::default()
    }
}

pub fn fields(status: &Status) -> Vec<String> {
    assert_eq!(reason_of(status), Some(Reason::InvalidFields), "{status:?}");
    violations_of(status)
        .into_iter()
        .map(|(field, _)| field)
        .collect()
}

pub fn mask(paths: &[&str]) -> Option<FieldMask> {
    let paths = paths.iter().map(ToString::to_string).collect();
    Some(FieldMask { paths })
}

pub fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    reason_of(&result.unwrap_err()).unwrap()
}
