//! What was sent to somebody goes when the profile service erases them, however it was
//! addressed, and nothing is sent for them afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::{
    json::to_struct,
    messaging::v1::{GetMessageRequest, Message, SendMessageRequest},
    profile::v1::{
        EraseProfileRequest, IdentifyMessage, IngestMessage, IngestRequest, ingest_message::Kind,
        privacy_service_client::PrivacyServiceClient, profile_service_client::ProfileServiceClient,
    },
    time,
    r#type::v1::Identity,
};
use attune_errors::{Reason, reason_of, violations_of};
use attune_profile::Profile;
use attune_storage::{Database, args};
use attune_testkit::{TestDatabase, test_database_urls, wait_until};
use attune_vault::Masters;
use serde_json::{Value as Json, json};
use support::*;

struct Shop {
    app: App,
    profiles: Database,
}

impl Shop {
    async fn open(place: &TestDatabase) -> Self {
        let profiles = place.url_of("profile");
        let profiles = Database::open(&profiles, &attune_profile::MIGRATIONS)
            .await
            .unwrap();
        let masters = Masters::parse(&"5eaf00d5".repeat(8)).unwrap();
        let config = attune_profile::Config::default();
        let profile = Profile::open(config, profiles.clone(), masters)
            .await
            .unwrap();
        let url = place.url_of("messaging");
        let app = App::open_with_profile(&url, config_of_messaging(), &profile).await;
        Self { app, profiles }
    }

    async fn stop(self) {
        self.app.stop().await;
        self.profiles.close().await;
    }

    /// The profile's id.
    async fn identify(&self, identities: &[(&str, &str)], traits: Json) -> String {
        let identities = identities.iter().map(|(namespace, value)| Identity {
            namespace: (*namespace).to_owned(),
            value: (*value).to_owned(),
        });
        let traits = to_struct(traits);
        let message = IngestMessage {
            message_id: uuid::Uuid::now_v7().to_string(),
            identities: identities.collect(),
            time: Some(time::from_ms(time::now_ms())),
            kind: Some(Kind::Identify(IdentifyMessage { traits })),
            ..IngestMessage::default()
        };
        let messages = vec![message];
        let mut client = ProfileServiceClient::new(self.app.channel.clone());
        let taken = client.ingest(default(IngestRequest { messages })).await;
        taken.unwrap().into_inner().results.remove(0).profile_id
    }

    async fn erase(&self, profile_id: &str) {
        let request = EraseProfileRequest {
            profile_id: profile_id.to_owned(),
            ..EraseProfileRequest::default()
        };
        let mut client = PrivacyServiceClient::new(self.app.channel.clone());
        client.erase_profile(default(request)).await.unwrap();
    }

    async fn write(&self, to: &str, profile_id: &str) -> Message {
        let message = SendMessageRequest {
            profile_id: profile_id.to_owned(),
            ..plain(to)
        };
        self.app.send(message).await.unwrap()
    }

    async fn exists(&self, message: &Message) -> bool {
        let request = GetMessageRequest {
            message_id: message.message_id.clone(),
        };
        let found = self.app.client.clone().get_message(default(request)).await;
        found.is_ok()
    }

    async fn keys_of(&self, owner: &str) -> i64 {
        const KEYS: &str = "select count(*) from data_keys where owner = $1";
        let found = self.app.database.fetch_all(KEYS, args![owner]).await;
        found.unwrap()[0].get(0).unwrap()
    }
}

/// With a server that nobody listens at.
fn config_of_messaging() -> attune_messaging::Config {
    config(1)
}

#[tokio::test]
async fn messages_to_no_profile_go_with_whoever_holds_the_address() {
    for place in test_database_urls("addresses").await {
        let shop = Shop::open(&place).await;
        // Before anybody is known by the address, and more than are asked about at once.
        let mut to_ann = Vec::new();
        for _ in 0..201 {
            to_ann.push(shop.write("Ann@Example.org", "").await);
        }
        let ann = [("user_id", "ann"), ("email", "ann@example.org")];
        let ann = shop.identify(&ann, json!({})).await;
        let bob = [("user_id", "bob@example.org")];
        let traits = json!({"email": "robert@example.org"});
        let bob = shop.identify(&bob, traits).await;
        let to_bob = shop.write("bob@example.org", "").await;
        let to_robert = shop.write("robert@example.org", "").await;
        let to_bob_at_anns = shop.write("ann@example.org", &bob).await;
        let to_nobody = shop.write("carl@example.org", "").await;
        shop.app.deliver();

        shop.erase(&ann).await;
        let last = to_ann.last().unwrap();
        wait_until("Ann's messages to go", PATIENCE, || async {
            !shop.exists(last).await
        })
        .await;
        for gone in &to_ann {
            assert!(!shop.exists(gone).await, "{}", place.system);
        }
        assert_eq!(shop.keys_of(&last.message_id).await, 0);
        for kept in [&to_bob, &to_robert, &to_bob_at_anns, &to_nobody] {
            assert!(shop.exists(kept).await, "{} on {}", kept.to, place.system);
        }
        // A user id that is an address, and a trait that holds one, are the person's too.
        shop.erase(&bob).await;
        for gone in [&to_bob, &to_robert, &to_bob_at_anns] {
            wait_until("Bob's messages to go", PATIENCE, || async {
                !shop.exists(gone).await
            })
            .await;
        }
        assert!(shop.exists(&to_nobody).await, "{}", place.system);
        shop.stop().await;
    }
}

#[tokio::test]
async fn nothing_is_queued_for_somebody_who_was_erased() {
    for place in test_database_urls("afterwards").await {
        let shop = Shop::open(&place).await;
        let ann = shop.identify(&[("user_id", "ann")], json!({})).await;
        let before = shop.write("ann@example.org", &ann).await;
        shop.app.deliver();
        shop.erase(&ann).await;
        wait_until("the message to go", PATIENCE, || async {
            !shop.exists(&before).await
        })
        .await;
        for spelling in [ann.clone(), ann.to_uppercase(), ann.replace('-', "")] {
            let message = SendMessageRequest {
                profile_id: spelling,
                ..plain("ann@example.org")
            };
            let refused = shop.app.send(message).await.unwrap_err();
            assert_eq!(reason_of(&refused), Some(Reason::ResourceNotFound));
        }
        assert_eq!(shop.keys_of(&ann).await, 0, "{}", place.system);
        shop.write("ann@example.org", "").await;
        shop.stop().await;
    }
}

#[tokio::test]
async fn a_profile_is_named_by_its_id_however_that_is_written() {
    for place in test_database_urls("ids").await {
        let shop = Shop::open(&place).await;
        let ann = shop.identify(&[("user_id", "ann")], json!({})).await;
        let sent = shop.write("ann@example.org", &ann.to_uppercase()).await;
        assert_eq!(sent.profile_id, ann, "{}", place.system);
        let message = SendMessageRequest {
            profile_id: "ann".into(),
            ..plain("ann@example.org")
        };
        let refused = shop.app.send(message).await.unwrap_err();
        let fields: Vec<_> = violations_of(&refused)
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, ["profile_id"]);
        shop.stop().await;
    }
}
