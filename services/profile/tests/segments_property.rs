//! What is kept up to date with every write is what comes of looking at everybody from
//! scratch: whatever people do, now or told late, however they are merged and parted,
//! whatever they agree to and however much time passes in between. From scratch twice: by
//! this test's own reading of each expression over the timelines that the service shows,
//! and by the same expressions declared again at the end, under other names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, resume_unwind},
    time::Duration,
};

use attune_api::{
    json::from_value,
    profile::v1::{
        CreateTraitRequest, EstimateSegmentRequest, Event, EventOrder, IngestMessage,
        ListEventsRequest, ListMergesRequest, ListProfilesRequest, LookupProfileRequest,
        MergeProfilesRequest, Profile, SetConsentRequest, Trait, TraitType, UnmergeProfilesRequest,
        schema_service_client::SchemaServiceClient,
    },
    time::to_ms,
    r#type::v1::subject::Id,
};
use attune_errors::{Reason, reason_of};
use attune_profile::{Clock, Config as ServiceConfig};
use attune_storage::args;
use attune_testkit::{TestDatabase, wait_until};
use futures::FutureExt as _;
use jiff::{ToSpan as _, tz::TimeZone};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value as Json, json};
use support::*;
use tonic::Status;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// 2026-03-24T00:00:00Z: five days before the clocks of Berlin change.
const START: i64 = T0 + 82 * DAY;

const DEADLINE: Duration = Duration::from_secs(10);

/// By whose identifiers people speak.
const WHO: [&str; 6] = ["u:p0", "u:p1", "u:p2", "a:d0", "a:d1", "a:d2"];

/// `marketing_email` is read by name; without `personalization` no trait may be read.
const PURPOSES: [&str; 2] = ["marketing_email", "personalization"];

/// `~` ends the names of one set of what is derived.
const TRAITS: [(&str, &str); 3] = [
    (
        "spent~",
        r#"events("purchase").within("10d").sum("revenue")"#,
    ),
    ("level~", r#"profile.spent~ > 20.0 ? "gold" : "plain""#),
    ("favourite~", r#"events("view").mostFrequent("category")"#),
];

const SEGMENTS: [(&str, &str); 9] = [
    ("recent~", r#"events("view").within("7d").count() >= 2"#),
    (
        "lapsed~",
        r#"events("view").exists() && !("recent~" in segments)"#,
    ),
    (
        "days~",
        r#"events("purchase").withinDays(3, "Europe/Berlin").exists()"#,
    ),
    (
        "found~",
        r#"events("search").then("purchase").within("2d").exists()"#,
    ),
    (
        "quiet~",
        r#"now - events("view").last().time > duration("72h")"#,
    ),
    (
        "gold~",
        r#"profile.level~ == "gold" && profile.plan == "pro""#,
    ),
    (
        "loyal~",
        r#"events("purchase").where(e, e.category == profile.favourite~).count() >= 2"#,
    ),
    (
        "agreed~",
        r#"consent("marketing_email") && ("recent~" in segments || "vip" in segments)"#,
    ),
    ("picked~", r#""vip" in segments && !("days~" in segments)"#),
];

/// A message by one of [`WHO`].
#[derive(Debug, Clone)]
enum Said {
    Did {
        who: usize,
        event_type: &'static str,
        category: &'static str,
        revenue: u32,
        hours_ago: i64,
    },
    /// Of the plan `pro`, or of none any more.
    Plans(usize, bool),
    /// By a user id and a device, which may make two people one.
    Both(usize, usize),
    /// That one was the other before.
    Was(usize, usize),
}

#[derive(Debug, Clone)]
enum Op {
    /// In one request.
    Say(Vec<Said>),
    Consent(usize, usize, bool),
    List(usize, bool),
    Merge(usize, usize),
    /// Undoes the n-th merge, whoever made it, if there is one that is not undone.
    Undo(usize),
    PassHours(i64),
    /// To the moment at which somebody has to be looked at, or next to it.
    PassToDue(i64),
}

fn said() -> impl Strategy<Value = Said> {
    let who = 0..WHO.len();
    let event_type = prop_oneof![Just("view"), Just("purchase"), Just("search")];
    let category = prop_oneof![Just("tents"), Just("stoves")];
    // Times meet: what is told later is then the later.
    let hours_ago = prop_oneof![3 => Just(0), 2 => (0i64..60).prop_map(|n| n * 6)];
    let did = (who.clone(), event_type, category, 0u32..30, hours_ago).prop_map(
        |(who, event_type, category, revenue, hours_ago)| Said::Did {
            who,
            event_type,
            category,
            revenue,
            hours_ago,
        },
    );
    prop_oneof![
        8 => did,
        1 => (who.clone(), any::<bool>()).prop_map(|(who, pro)| Said::Plans(who, pro)),
        1 => (0usize..3, 3usize..6).prop_map(|(user, device)| Said::Both(user, device)),
        1 => (who, 1..WHO.len()).prop_map(|(a, on)| Said::Was(a, (a + on) % WHO.len())),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..WHO.len();
    prop_oneof![
        8 => prop::collection::vec(said(), 1..4).prop_map(Op::Say),
        2 => (who.clone(), 0..PURPOSES.len(), any::<bool>())
            .prop_map(|(who, purpose, granted)| Op::Consent(who, purpose, granted)),
        2 => (who.clone(), prop::bool::weighted(0.7)).prop_map(|(who, on)| Op::List(who, on)),
        2 => (who.clone(), who).prop_map(|(a, b)| Op::Merge(a, b)),
        2 => (0usize..6).prop_map(Op::Undo),
        2 => (1i64..30).prop_map(|n| Op::PassHours(n * 6)),
        3 => (-1i64..=1).prop_map(Op::PassToDue),
    ]
}

/// A service, or two on one database that take turns, in a workspace of its own.
struct Played {
    shops: Vec<Running>,
    /// Steps that were taken, of which messages are named.
    step: usize,
}

impl Played {
    async fn begin(database: &TestDatabase, case: usize) -> Self {
        let clock = Clock::standing_at(START);
        // The history that decisions see is short, so that windows reach beyond it.
        let config = ServiceConfig {
            recent_events_max: 3,
            ..ServiceConfig::default()
        };
        let count = if database.system == "sqlite" { 1 } else { 2 };
        let mut shops = Vec::new();
        for _ in 0..count {
            let (config, clock) = (config.clone(), clock.clone());
            let shop = Running::open_with(database.url(), database.system, config, clock).await;
            shops.push(shop.in_workspace(&format!("case{case}")));
        }
        let played = Self { shops, step: 0 };
        let shop = played.shop();
        let plan = Trait {
            r#type: TraitType::TraitText.into(),
            ..Trait::default()
        };
        let request = shop.request(CreateTraitRequest {
            trait_id: "plan".into(),
            r#trait: Some(plan),
        });
        let mut client = SchemaServiceClient::new(shop.channel.clone());
        client.create_trait(request).await.unwrap();
        shop.declare("vip", "").await;
        played.declare("").await;
        played
    }

    /// Whose turn it is.
    fn shop(&self) -> &Running {
        &self.shops[self.step % self.shops.len()]
    }

    fn now_ms(&self) -> i64 {
        self.shop().clock.now_ms()
    }

    async fn declare(&self, end: &str) {
        for (id, expression) in TRAITS {
            self.shop()
                .compute(&id.replace('~', end), &expression.replace('~', end))
                .await;
        }
        for (id, expression) in SEGMENTS {
            self.shop()
                .upsert(&id.replace('~', end), &expression.replace('~', end))
                .await
                .unwrap();
        }
        self.until_none("fills", i64::MAX).await;
    }

    /// Waits until nothing of this workspace is left to be filled in, or due by a time.
    async fn until_none(&self, table: &'static str, until_ms: i64) {
        let shop = self.shop();
        let (sql, arguments) = match table {
            "fills" => ("select count(*) from fills where workspace = $1", None),
            _ => (
                "select count(*) from due where workspace = $1 and due_ms <= $2",
                Some(until_ms),
            ),
        };
        wait_until("nothing is left to do", DEADLINE, async || {
            let workspace = shop.caller.workspace.as_str();
            let arguments = match arguments {
                None => args![workspace],
                Some(until_ms) => args![workspace, until_ms],
            };
            let rows = shop.database.fetch_all(sql, arguments).await.unwrap();
            rows[0].get::<i64>(0).unwrap() == 0
        })
        .await;
    }

    async fn play(&mut self, op: &Op) {
        self.step += 1;
        match op {
            Op::Say(said) => {
                let messages = said.iter().enumerate();
                let messages = messages.map(|(n, said)| self.message(n, said)).collect();
                self.shop().send(messages).await;
            }
            Op::Consent(who, purpose, granted) => {
                let Some(profile_id) = self.profile_id(*who).await else {
                    return;
                };
                let request = self.shop().request(SetConsentRequest {
                    profile_id,
                    purpose: PURPOSES[*purpose].into(),
                    granted: *granted,
                    ..SetConsentRequest::default()
                });
                let mut client = self.shop().client.clone();
                client.set_consent(request).await.unwrap();
            }
            Op::List(who, on) => {
                let id = match identity(WHO[*who]) {
                    held if held.namespace == "user_id" => Id::UserId(held.value),
                    held => Id::AnonymousId(held.value),
                };
                let (add, remove) = if *on {
                    (vec![id], vec![])
                } else {
                    (vec![], vec![id])
                };
                self.shop().change("vip", &add, &remove).await.unwrap();
            }
            Op::Merge(a, b) => {
                let ids = (self.profile_id(*a).await, self.profile_id(*b).await);
                let (Some(profile_id), Some(other_profile_id)) = ids else {
                    return;
                };
                if profile_id == other_profile_id {
                    return;
                }
                let request = self.shop().request(MergeProfilesRequest {
                    profile_id,
                    other_profile_id,
                    reason: String::new(),
                });
                let mut client = self.shop().privacy.clone();
                client.merge_profiles(request).await.unwrap();
            }
            Op::Undo(n) => self.undo(*n).await,
            Op::PassHours(hours) => self.pass_to(self.now_ms() + hours * HOUR).await,
            Op::PassToDue(beside_ms) => {
                // In three centuries durations are too long to be told.
                const DUE: &str = "select due_ms from due \
                     where workspace = $1 and due_ms < $2 order by due_ms limit 1";
                let workspace = self.shop().caller.workspace.as_str();
                let database = &self.shop().database;
                let arguments = args![workspace, START + 3_650 * DAY];
                let row = database.fetch_optional(DUE, arguments).await;
                if let Some(row) = row.unwrap() {
                    let due_ms = row.get::<i64>(0).unwrap();
                    self.pass_to(due_ms + beside_ms).await;
                }
            }
        }
    }

    async fn pass_to(&self, ms: i64) {
        self.shop().clock.set(ms.max(self.now_ms()));
        self.until_none("due", self.now_ms()).await;
    }

    fn message(&self, n: usize, said: &Said) -> IngestMessage {
        let id = format!("m{}-{n}", self.step);
        let now = self.now_ms() - T0;
        match said {
            Said::Did {
                who,
                event_type,
                category,
                revenue,
                hours_ago,
            } => {
                let properties = json!({"category": category, "revenue": revenue});
                let at = now - hours_ago * HOUR;
                event(&id, &[WHO[*who]], at, event_type, properties)
            }
            Said::Plans(who, pro) => {
                let plan = if *pro { json!("pro") } else { Json::Null };
                identify(&id, &[WHO[*who]], now, json!({ "plan": plan }))
            }
            Said::Both(a, b) => {
                let properties = json!({"category": "tents"});
                event(&id, &[WHO[*a], WHO[*b]], now, "view", properties)
            }
            Said::Was(a, b) => alias(&id, &[WHO[*a]], WHO[*b]),
        }
    }

    async fn profile_id(&self, who: usize) -> Option<String> {
        let held = identity(WHO[who]);
        let request = self.shop().request(LookupProfileRequest {
            namespace: held.namespace,
            value: held.value,
        });
        match self.shop().client.clone().lookup_profile(request).await {
            Ok(found) => Some(found.into_inner().profile_id),
            Err(refused) => {
                assert_eq!(reason_of(&refused), Some(Reason::ResourceNotFound));
                None
            }
        }
    }

    async fn undo(&self, n: usize) {
        let mut stand = BTreeSet::new();
        for profile in self.people().await {
            let request = self.shop().request(ListMergesRequest {
                profile_id: profile.profile_id,
                ..ListMergesRequest::default()
            });
            let merges = self.shop().privacy.clone().list_merges(request).await;
            let merges = merges.unwrap().into_inner().merges.into_iter();
            let merges = merges.filter(|merge| !merge.undone && !merge.refused);
            stand.extend(merges.map(|merge| merge.merge_id));
        }
        if stand.is_empty() {
            return;
        }
        let merge_id = stand.iter().nth(n % stand.len()).unwrap().clone();
        let request = self.shop().request(UnmergeProfilesRequest {
            merge_id,
            reason: String::new(),
        });
        let mut client = self.shop().privacy.clone();
        client.unmerge_profiles(request).await.unwrap();
    }

    async fn people(&self) -> Vec<Profile> {
        let request = self.shop().request(ListProfilesRequest {
            page_size: 1_000,
            ..ListProfilesRequest::default()
        });
        let listed = self.shop().client.clone().list_profiles(request).await;
        listed.unwrap().into_inner().profiles
    }

    async fn facts(&self, profile: &Profile) -> Facts {
        let request = self.shop().request(ListEventsRequest {
            profile_id: profile.profile_id.clone(),
            page_size: 1_000,
            order: EventOrder::OldestFirst.into(),
            ..ListEventsRequest::default()
        });
        let events = self.shop().client.clone().list_events(request).await;
        let decided = profile.consents.iter();
        Facts {
            now_ms: self.now_ms(),
            events: events.unwrap().into_inner().events,
            plan: value(profile, "plan"),
            decided: decided.map(|c| (c.purpose.clone(), c.granted)).collect(),
            listed: profile.segments.iter().any(|id| id == "vip"),
        }
    }

    /// For how many an expression holds that nobody saves.
    async fn estimate(&self, expression: &str) -> Result<i64, Status> {
        let request = self.shop().request(EstimateSegmentRequest {
            expression: expression.into(),
            ..EstimateSegmentRequest::default()
        });
        let estimated = self.shop().segment_client().estimate_segment(request).await;
        Ok(estimated?.into_inner().size)
    }

    /// Those who are in each segment of a set, as the segments list them.
    async fn members(&self, end: &str) -> BTreeMap<&'static str, Vec<String>> {
        let mut members = BTreeMap::new();
        for (id, _) in SEGMENTS {
            let listed = self.shop().members(&id.replace('~', end)).await;
            members.insert(id, listed);
        }
        members
    }

    async fn end(self) {
        for shop in self.shops {
            shop.stop().await;
        }
    }
}

/// What is known of somebody, before anything is derived.
#[derive(Debug)]
struct Facts {
    now_ms: i64,
    /// The oldest first.
    events: Vec<Event>,
    plan: Json,
    decided: BTreeMap<String, bool>,
    listed: bool,
}

/// What is derived of somebody: values, and the segments they are in.
type Derived = (BTreeMap<&'static str, Json>, BTreeSet<&'static str>);

impl Facts {
    fn of<'a>(&'a self, event_type: &'a str) -> impl DoubleEndedIterator<Item = &'a Event> {
        let events = self.events.iter();
        events.filter(move |event| event.r#type == event_type)
    }

    fn agreed(&self, purpose: &str) -> bool {
        // Personalization is allowed by these settings, e-mail is not.
        let decided = self.decided.get(purpose).copied();
        decided.unwrap_or(purpose == "personalization")
    }

    /// Of as many the one seen last.
    fn favourite(&self) -> Json {
        let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for (place, event) in self.of("view").enumerate() {
            let (count, last) = counts.entry(category(event)).or_default();
            (*count, *last) = (*count + 1, place);
        }
        let most = counts.into_iter().max_by_key(|(_, seen)| *seen);
        most.map_or(Json::Null, |(category, _)| json!(category))
    }

    fn found(&self) -> bool {
        let places = self.events.iter().enumerate();
        places.filter(|(_, e)| e.r#type == "search").any(|(i, s)| {
            let later = self.events[i + 1..].iter();
            later
                .filter(|e| e.r#type == "purchase")
                .any(|p| at(p) - at(s) <= 2 * DAY)
        })
    }

    fn derived(&self) -> Derived {
        let within = |event: &&Event, days: i64| at(event) >= self.now_ms - days * DAY;
        let spent: f64 = self
            .of("purchase")
            .filter(|e| within(e, 10))
            .map(|e| e.revenue)
            .sum();
        let may_read = self.agreed("personalization");
        let level = if may_read && spent > 20.0 {
            "gold"
        } else {
            "plain"
        };
        let favourite = self.favourite();
        let is_favourite = |event: &&Event| json!(category(event)) == favourite;
        let recent = self.of("view").filter(|e| within(e, 7)).count() >= 2;
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let day = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap();
        let day = |ms: i64| day(ms).to_zoned(berlin.clone()).date();
        let first = day(self.now_ms) - 2.days();
        let days = self.of("purchase").any(|e| day(at(e)) >= first);
        let seen = self.of("view").next_back();
        let holds = [
            ("recent~", recent),
            ("lapsed~", seen.is_some() && !recent),
            ("days~", days),
            ("found~", self.found()),
            (
                "quiet~",
                seen.is_some_and(|e| self.now_ms - at(e) > 72 * HOUR),
            ),
            (
                "gold~",
                may_read && level == "gold" && self.plan == json!("pro"),
            ),
            (
                "loyal~",
                may_read && self.of("purchase").filter(is_favourite).count() >= 2,
            ),
            (
                "agreed~",
                self.agreed("marketing_email") && (recent || self.listed),
            ),
            ("picked~", self.listed && !days),
        ];
        let values = [
            ("spent~", json!(spent)),
            ("level~", json!(level)),
            ("favourite~", favourite),
        ];
        let segments = holds.into_iter().filter(|(_, holds)| *holds);
        (values.into(), segments.map(|(id, _)| id).collect())
    }
}

fn at(event: &Event) -> i64 {
    to_ms(event.time.as_ref().unwrap())
}

fn category(event: &Event) -> String {
    let properties = event.properties.as_ref().unwrap();
    let category = from_value(&properties.fields["category"]);
    category.as_str().unwrap().to_owned()
}

fn value(profile: &Profile, trait_id: &str) -> Json {
    let traits = profile.traits.as_ref().unwrap();
    let value = traits.fields.get(trait_id).map_or(Json::Null, from_value);
    // JSON's numbers are doubles.
    value.as_f64().map_or(value, |number| json!(number))
}

/// As a profile says, of one set.
fn shown(profile: &Profile, end: &str) -> Derived {
    let values = TRAITS.map(|(id, _)| (id, value(profile, &id.replace('~', end))));
    let segments = SEGMENTS.map(|(id, _)| id).into_iter();
    let segments = segments.filter(|id| profile.segments.contains(&id.replace('~', end)));
    (values.into(), segments.collect())
}

/// Stops the services also where something does not hold, since there will be others.
async fn run(database: &TestDatabase, case: usize, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut played = Played::begin(database, case).await;
    let held = AssertUnwindSafe(holds(&mut played, ops))
        .catch_unwind()
        .await;
    played.end().await;
    held.unwrap_or_else(|panic| resume_unwind(panic))
}

async fn holds(played: &mut Played, ops: &[Op]) -> Result<(), TestCaseError> {
    for op in ops {
        played.play(op).await;
    }
    let people = played.people().await;
    let mut in_segments: BTreeMap<&str, Vec<String>> =
        SEGMENTS.map(|(id, _)| (id, Vec::new())).into();
    for profile in &people {
        let id = &profile.profile_id;
        let facts = played.facts(profile).await;
        let (kept, judged) = (shown(profile, ""), facts.derived());
        prop_assert_eq!(&kept, &judged, "{} of {:#?}", id, facts);
        for segment in kept.1 {
            in_segments.entry(segment).or_default().push(id.clone());
        }
    }
    prop_assert_eq!(played.members("").await, in_segments.clone());
    for (id, expression) in SEGMENTS {
        let size = played.estimate(&expression.replace('~', "")).await.unwrap();
        prop_assert_eq!(size, in_segments[id].len() as i64, "of {}", id);
    }
    played.declare("_again").await;
    for profile in &played.people().await {
        let (kept, again) = (shown(profile, ""), shown(profile, "_again"));
        prop_assert_eq!(kept, again, "{}", profile.profile_id);
    }
    prop_assert_eq!(played.members("_again").await, in_segments);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_up_to_date_is_what_comes_of_looking_from_scratch() {
    for database in databases("segments_property").await {
        let config = Config {
            cases: if database.system == "sqlite" { 24 } else { 6 },
            max_shrink_iters: 200,
            failure_persistence: None,
            ..Config::default()
        };
        let case = std::cell::Cell::new(0);
        TestRunner::new(config)
            .run(&prop::collection::vec(op(), 1..40), |ops| {
                case.set(case.get() + 1);
                tokio::task::block_in_place(|| {
                    let runtime = tokio::runtime::Handle::current();
                    runtime.block_on(run(&database, case.get(), &ops))
                })
            })
            .unwrap();
    }
}
