//! What is too old goes, what is not stays, and whoever reads a person afterwards sees
//! neither trace nor gap. Passes are made by hand, on both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use attune_api::{
    json::to_struct,
    profile::v1::{
        CreateEventTypeRequest, CreateTraitRequest, EventMessage, EventType, IdentifyMessage,
        IngestMessage, Snapshot, ingest_message::Kind as Sent,
    },
    time::from_ms,
    r#type::v1 as types,
};
use attune_rpc::{Actor, Caller, Workspace};
use attune_testkit::test_database_urls;
use attune_vault::Masters;
use prost::Message as _;
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    Clock, Config, MIGRATIONS,
    convert::message::messages,
    domain::{Identity, purposes::Asked},
    service::{
        audit::Access,
        consent::{ConsentChange, DecisionsAsked, Said},
        events::EventsAsked,
        ingest::{Status, Submission},
        snapshot::Subject,
    },
};

const DAY_MS: i64 = 86_400_000;
const WORKSPACE: &str = "default";

struct Rig {
    service: Arc<Service>,
    now_ms: i64,
}

impl Rig {
    async fn all(name: &str, days: &[(&str, u16)]) -> Vec<(Self, attune_testkit::TestDatabase)> {
        let mut rigs = Vec::new();
        for database in test_database_urls(name).await {
            let rig = Self::open(database.url(), days).await;
            rigs.push((rig, database));
        }
        rigs
    }

    async fn open(url: &str, days: &[(&str, u16)]) -> Self {
        let days = days.iter();
        let days = days.map(|(class, days)| ((*class).to_owned(), (*days).try_into().unwrap()));
        let mut config = Config::default();
        config.retention.days = days.collect();
        let database = Database::open(url, &MIGRATIONS).await.unwrap();
        let masters = Masters::parse(&"0".repeat(64)).unwrap();
        let service = Service::open(config, database, masters, Clock::system())
            .await
            .unwrap();
        Self {
            service: Arc::new(service),
            now_ms: attune_api::time::now_ms(),
        }
    }

    /// A message of so many days ago.
    fn sent(&self, id: &str, who: &str, days_ago: i64, kind: Sent) -> IngestMessage {
        let (namespace, value) = who.split_once(':').unwrap();
        let time = Some(from_ms(self.now_ms - days_ago * DAY_MS));
        IngestMessage {
            message_id: id.to_owned(),
            identities: vec![types::Identity {
                namespace: namespace.to_owned(),
                value: value.to_owned(),
            }],
            time,
            receive_time: time,
            kind: Some(kind),
            ..IngestMessage::default()
        }
    }

    fn view(&self, id: &str, who: &str, days_ago: i64) -> IngestMessage {
        let event = EventMessage {
            name: "Product Viewed".to_owned(),
            properties: to_struct(json!({"product_id": id})),
        };
        self.sent(id, who, days_ago, Sent::Event(event))
    }

    fn identify(&self, id: &str, who: &str, days_ago: i64, traits: Json) -> IngestMessage {
        let traits = to_struct(traits);
        self.sent(
            id,
            who,
            days_ago,
            Sent::Identify(IdentifyMessage { traits }),
        )
    }

    async fn take(&self, sent: Vec<IngestMessage>) -> Vec<(ProfileId, Status)> {
        let shared = &self.service.shared;
        let workspace: Arc<str> = WORKSPACE.into();
        let declared = shared.declared.current(&shared.database, &workspace);
        let schema = declared.await.unwrap().schema.clone();
        let Ok(messages) = messages(sent, shared.rules(&schema), self.now_ms) else {
            panic!("valid messages are refused");
        };
        let submission = Submission {
            workspace,
            messages,
            schema,
            traceparent: String::new(),
        };
        let results = self.service.ingest(submission).await.unwrap();
        let results = results.into_iter();
        results.map(|r| (r.profile_id, r.status)).collect()
    }

    async fn one(&self, sent: IngestMessage) -> ProfileId {
        self.take(vec![sent]).await[0].0
    }

    async fn pass(&self) {
        pass(&self.service, &Tasks::new()).await.unwrap();
    }

    /// Ids of the events on the timeline, the newest first.
    async fn timeline(&self, profile_id: ProfileId) -> Vec<String> {
        let request = attune_api::profile::v1::ListEventsRequest {
            profile_id: profile_id.to_string(),
            page_size: 1_000,
            ..Default::default()
        };
        let asked: EventsAsked = crate::convert::events::list_events(request).unwrap();
        let listed = self.service.events(WORKSPACE, asked).await.unwrap();
        listed.events.into_iter().map(|e| e.event_id).collect()
    }

    /// Items of the events that decisions see.
    async fn recent(&self, who: &str) -> Vec<String> {
        let (namespace, value) = who.split_once(':').unwrap();
        let identity = Identity::of(namespace, value);
        let subject = Subject::Identity(identity);
        let asked = Asked::default();
        let answer = self.service.snapshot(WORKSPACE, subject, asked).await;
        let answer = answer.unwrap();
        let snapshot = Snapshot::decode(answer.snapshot).unwrap();
        let events = snapshot.recent_events.into_iter();
        events.flat_map(|event| event.item_ids).collect()
    }
}

#[tokio::test]
async fn events_go_when_their_days_are_over_and_decisions_forget_them() {
    for (rig, _database) in Rig::all("retention-events", &[("events", 30)]).await {
        let sent = [("old", 40), ("older", 31), ("young", 29), ("new", 0)];
        let sent = sent.map(|(id, days)| rig.view(id, "user_id:ann", days));
        let ann = rig.take(sent.into()).await[0].0;
        let bob = rig.one(rig.view("b1", "user_id:bob", 1)).await;
        // Held in memory from here on.
        assert_eq!(rig.recent("user_id:ann").await.len(), 4);
        rig.pass().await;
        assert_eq!(rig.timeline(ann).await, ["new", "young"]);
        assert_eq!(rig.recent("user_id:ann").await, ["new", "young"]);
        assert_eq!(rig.timeline(bob).await, ["b1"]);
        let profile = rig.service.profile(WORKSPACE, ann).await.unwrap();
        assert_eq!(profile.event_count, 2);
    }
}

/// A decision of so many days ago.
async fn decide(rig: &Rig, profile_id: ProfileId, purpose: &str, granted: bool, days_ago: i64) {
    let change = ConsentChange {
        workspace: WORKSPACE.into(),
        profile_id,
        said: Said::Purpose {
            purpose: purpose.to_owned(),
            granted,
            policy_version: String::new(),
            evidence: String::new(),
        },
        source: days_ago.to_string(),
        time_ms: Some(rig.now_ms - days_ago * DAY_MS),
        traceparent: String::new(),
    };
    rig.service.set_consent(change).await.unwrap();
}

/// `+` for a grant, the purpose's first letter and the days, the newest first.
async fn decisions(rig: &Rig, profile_id: ProfileId) -> String {
    let asked = DecisionsAsked {
        profile_id,
        size: 1_000,
        before: None,
    };
    let listed = rig.service.consent_history(WORKSPACE, asked).await.unwrap();
    let told = listed.consents.iter().map(|consent| {
        let sign = if consent.granted { '+' } else { '-' };
        format!("{sign}{}{}", &consent.purpose[..1], consent.source)
    });
    told.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn decisions_go_so_long_after_others_took_their_place_and_never_while_they_hold() {
    let days = [("consent_history", 100)];
    for (rig, _database) in Rig::all("retention-consents", &days).await {
        let part = rig.one(rig.view("e1", "anonymous_id:a", 3)).await;
        for (granted, days_ago) in [(true, 500), (false, 400)] {
            decide(&rig, part, "personalization", granted, days_ago).await;
        }
        let ann = rig.one(rig.view("e2", "user_id:ann", 2)).await;
        for (purpose, granted, days_ago) in [
            ("personalization", false, 900),
            ("personalization", true, 700),
            ("personalization", false, 600),
            // Held until 50 days ago.
            ("personalization", true, 300),
            ("personalization", false, 50),
            ("analytics", true, 900),
        ] {
            decide(&rig, ann, purpose, granted, days_ago).await;
        }
        rig.pass().await;
        assert_eq!(decisions(&rig, part).await, "-p400");
        assert_eq!(decisions(&rig, ann).await, "-p50 +p300 +a900");
        // Whatever a merge makes of them, each profile keeps its own.
        let previous = Some(types::Identity {
            namespace: "anonymous_id".to_owned(),
            value: "a".to_owned(),
        });
        let alias = Sent::Alias(attune_api::profile::v1::AliasMessage { previous });
        let one = rig.one(rig.sent("m", "user_id:ann", 0, alias)).await;
        let before = decisions(&rig, one).await;
        assert_eq!(before, "-p50 +p300 -p400 +a900");
        age(&rig, "update retention set begin_ms = 0").await;
        rig.pass().await;
        assert_eq!(decisions(&rig, one).await, before);
    }
}

#[tokio::test]
async fn more_than_fits_one_write_goes_in_one_pass() {
    for (rig, _database) in Rig::all("retention-many", &[("events", 30)]).await {
        let count = ROWS_MAX + 50;
        let ids: Vec<_> = (0..count).map(|n| format!("e{n}")).collect();
        for ids in ids.chunks(1_000) {
            let sent = ids.iter().map(|id| rig.view(id, "user_id:ann", 100));
            rig.take(sent.collect()).await;
        }
        let ann = rig.one(rig.view("new", "user_id:ann", 0)).await;
        rig.pass().await;
        assert_eq!(rig.timeline(ann).await, ["new"]);
    }
}

#[tokio::test]
async fn types_and_traits_are_kept_as_the_class_they_declare_says() {
    let days = [("events", 90), ("searches", 7), ("guesses", 30)];
    for (rig, _database) in Rig::all("retention-declared", &days).await {
        let declared = EventType {
            retention_class: "searches".to_owned(),
            ..EventType::default()
        };
        let request = CreateEventTypeRequest {
            event_type_id: "search".to_owned(),
            event_type: Some(declared),
        };
        let workspace: Arc<str> = WORKSPACE.into();
        let declared = rig.service.create_event_type(workspace.clone(), request);
        declared.await.unwrap();
        let declared = attune_api::profile::v1::Trait {
            r#type: attune_api::profile::v1::TraitType::TraitText.into(),
            retention_class: "guesses".to_owned(),
            ..Default::default()
        };
        let request = CreateTraitRequest {
            trait_id: "style".to_owned(),
            r#trait: Some(declared),
        };
        rig.service.create_trait(workspace, request).await.unwrap();
        let search = |id: &str, days| {
            let event = EventMessage {
                name: "search".to_owned(),
                properties: None,
            };
            rig.sent(id, "user_id:ann", days, Sent::Event(event))
        };
        let traits = json!({"style": "sporty", "name": "Ann"});
        let ann = rig.one(rig.identify("m1", "user_id:ann", 31, traits)).await;
        let traits = json!({"style": "classic"});
        let bob = rig.one(rig.identify("m2", "user_id:bob", 29, traits)).await;
        rig.take(vec![
            search("s-old", 8),
            search("s-new", 6),
            rig.view("v-old", "user_id:ann", 91),
            rig.view("v-new", "user_id:ann", 89),
        ])
        .await;
        rig.pass().await;
        assert_eq!(rig.timeline(ann).await, ["s-new", "v-new"]);
        for (id, expected) in [
            (ann, json!({"name": "Ann"})),
            (bob, json!({"style": "classic"})),
        ] {
            let profile = rig.service.profile(WORKSPACE, id).await.unwrap();
            let traits = attune_api::json::from_struct(&profile.traits.unwrap());
            assert_eq!(traits, expected);
        }
    }
}

#[tokio::test]
async fn anonymous_people_who_do_not_come_back_are_erased() {
    for (rig, _database) in Rig::all("retention-idle", &[("anonymous_profiles", 30)]).await {
        let gone = rig.one(rig.view("e1", "anonymous_id:x", 31)).await;
        let back = rig.one(rig.view("e2", "anonymous_id:y", 31)).await;
        rig.one(rig.view("e3", "anonymous_id:y", 1)).await;
        let known = rig.one(rig.view("e4", "user_id:ann", 31)).await;
        // Profiles are as old as their rows, which were all made now.
        rig.pass().await;
        assert_eq!(
            rig.timeline(gone).await,
            ["e1"],
            "made less than a month ago"
        );
        age(
            &rig,
            "update profiles set update_ms = update_ms - 2764800000",
        )
        .await;
        age(&rig, "update retention set begin_ms = 0").await;
        rig.pass().await;
        let erased = rig.service.profile(WORKSPACE, gone).await;
        assert!(matches!(erased, Err(Error::ProfileNotFound(_))));
        assert_eq!(rig.timeline(back).await, ["e3", "e2"]);
        assert_eq!(rig.timeline(known).await, ["e4"]);
        let asked = crate::service::audit::EntriesAsked {
            profile_id: Some(gone),
            before: None,
            size: 10,
        };
        let (entries, _) = rig.service.entries(WORKSPACE, asked).await.unwrap();
        let told: Vec<_> = entries.iter().map(|e| e.access.action.as_str()).collect();
        assert_eq!(told, ["EraseProfile"]);
        // Whoever comes by that identifier is somebody new.
        let again = rig.one(rig.view("e5", "anonymous_id:x", 0)).await;
        assert_ne!(again, gone);
    }
}

#[tokio::test]
async fn what_no_class_names_is_kept() {
    for (rig, _database) in Rig::all("retention-kept", &[("searches", 1)]).await {
        let ann = rig.one(rig.view("old", "user_id:ann", 4_000)).await;
        rig.pass().await;
        assert_eq!(rig.timeline(ann).await, ["old"]);
    }
}

#[tokio::test]
async fn values_that_traits_had_go_and_those_they_have_stay() {
    for (rig, _database) in Rig::all("retention-past", &[("trait_history", 30)]).await {
        let sent = [
            ("m1", 90, "Ulm"),
            ("m2", 60, "Bonn"),
            ("m3", 40, "Kiel"),
            ("m4", 10, "Jena"),
        ];
        let sent = sent
            .map(|(id, days, city)| rig.identify(id, "user_id:ann", days, json!({ "city": city })));
        let ann = rig.take(sent.into()).await[0].0;
        let newer = rig.identify("m5", "user_id:ann", 5, json!({"city": "Rom"}));
        rig.one(newer).await;
        rig.pass().await;
        let shared = &rig.service.shared;
        let held = crate::store::history::of_person(
            &shared.database,
            &shared.codec,
            WORKSPACE,
            ann,
            None,
            10,
        );
        let held: Vec<_> = held
            .await
            .unwrap()
            .into_iter()
            .map(|(_, _, v)| v.value)
            .collect();
        assert_eq!(held, [Some(attune_api::json::to_value(json!("Jena")))]);
        let profile = rig.service.profile(WORKSPACE, ann).await.unwrap();
        let traits = attune_api::json::from_struct(&profile.traits.unwrap());
        assert_eq!(traits, json!({"city": "Rom"}));
    }
}

#[tokio::test]
async fn ids_of_messages_are_forgotten_only_when_they_may_be() {
    for (rig, _database) in Rig::all("retention-messages", &[("messages", 30)]).await {
        let again = || rig.identify("m1", "user_id:ann", 0, json!({"a": 1}));
        rig.one(again()).await;
        rig.pass().await;
        assert_eq!(rig.take(vec![again()]).await[0].1, Status::Duplicate);
        age(
            &rig,
            "update messages set receive_ms = receive_ms - 2678400000",
        )
        .await;
        age(&rig, "update retention set begin_ms = 0").await;
        rig.pass().await;
        assert_eq!(rig.take(vec![again()]).await[0].1, Status::Accepted);
    }
}

#[tokio::test]
async fn an_audit_log_that_lost_its_oldest_end_still_verifies() {
    for (rig, _database) in Rig::all("retention-audit", &[("audit", 30)]).await {
        let mut caller = Caller::new(Workspace::default());
        caller.actor = Some(Actor::key("key-1").unwrap());
        for _ in 0..3 {
            let access = Access::of("GetProfile", "p");
            rig.service.shared.audit(&caller, access).await.unwrap();
        }
        let before = rig.service.verify_audit(WORKSPACE).await.unwrap();
        assert_eq!((before.intact, before.first_sequence), (true, 1));
        // As it would be a month later, told in the past: the hashes have to fit.
        make_older(&rig, 2).await;
        rig.pass().await;
        let after = rig.service.verify_audit(WORKSPACE).await.unwrap();
        let counted = (after.intact, after.first_sequence, after.entry_count);
        assert_eq!(counted, (true, 3, 1));
        let access = Access::of("GetProfile", "p");
        rig.service.shared.audit(&caller, access).await.unwrap();
        let after = rig.service.verify_audit(WORKSPACE).await.unwrap();
        assert_eq!((after.intact, after.entry_count), (true, 2));
    }
}

#[tokio::test]
async fn a_pass_is_made_when_it_is_time_and_goes_on_where_it_stopped() {
    for (rig, _database) in Rig::all("retention-resume", &[("events", 30)]).await {
        let ann = rig.one(rig.view("old", "user_id:ann", 40)).await;
        rig.pass().await;
        assert_eq!(rig.timeline(ann).await, [""; 0]);
        rig.one(rig.view("old-2", "user_id:ann", 40)).await;
        rig.pass().await;
        assert_eq!(rig.timeline(ann).await, ["old-2"], "it is not time");

        age(&rig, "update retention set begin_ms = 0").await;
        let stopped = Tasks::new();
        stopped.shutdown(Duration::from_secs(1)).await.unwrap();
        pass(&rig.service, &stopped).await.unwrap();
        let zoe = rig.one(rig.view("old-3", "user_id:zoe", 40)).await;
        rig.pass().await;
        // Whoever came after the place where it stopped is still looked at.
        assert_eq!(rig.timeline(zoe).await, [""; 0]);
        age(&rig, "update retention set begin_ms = 0, done = false").await;
        rig.one(rig.view("old-4", "user_id:zoe", 40)).await;
        rig.pass().await;
        assert_eq!(
            rig.timeline(zoe).await,
            ["old-4"],
            "another process is at it"
        );
    }
}

async fn age(rig: &Rig, statement: &'static str) {
    let aged = rig.service.shared.database.write(move |tx| {
        async move { tx.execute(statement, attune_storage::args![]).await }.boxed()
    });
    aged.await.unwrap();
}

/// The chain as if its first entries had been written two months ago.
async fn make_older(rig: &Rig, count: usize) {
    use crate::store::audit;
    let database = &rig.service.shared.database;
    let entries = audit::after(database, WORKSPACE, 0, 10).await.unwrap();
    age(rig, "delete from audit_entries").await;
    age(rig, "delete from audit_heads").await;
    let accesses = entries.into_iter().enumerate().map(|(index, entry)| {
        let mut access = entry.access;
        if index < count {
            access.time_ms -= 60 * DAY_MS;
        }
        access
    });
    let accesses: Vec<_> = accesses.collect();
    let appended = database.write(move |tx| {
        let accesses = accesses.clone();
        async move { audit::append(tx, WORKSPACE, accesses).await }.boxed()
    });
    appended.await.unwrap();
}
