//! The expressions that are kept up to date, and this test's own reading of each over
//! what a service shows of somebody. Knows no service.

use std::collections::{BTreeMap, BTreeSet};

use attune_api::{
    json::from_value,
    profile::v1::{Event, Profile},
    time::to_ms,
};
use jiff::{ToSpan as _, tz::TimeZone};
use serde_json::{Value as Json, json};

use crate::support::T0;

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;

/// 2026-03-24T00:00:00Z: five days before the clocks of Berlin change.
pub const START: i64 = T0 + 82 * DAY;

/// Days for which events, events of the type `view`, and the trait `plan` are kept:
/// shorter than some windows, and than how late events are told.
pub const EVENT_DAYS: u16 = 12;
pub const VIEW_DAYS: u16 = 6;
pub const PLAN_DAYS: u16 = 9;

/// `~` ends the names of one set of what is derived.
pub const TRAITS: [(&str, &str); 3] = [
    (
        "spent~",
        r#"events("purchase").within("10d").sum("revenue")"#,
    ),
    ("level~", r#"profile.spent~ > 20.0 ? "gold" : "plain""#),
    ("favourite~", r#"events("view").mostFrequent("category")"#),
];

pub const SEGMENTS: [(&str, &str); 9] = [
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

/// What is known of somebody, before anything is derived.
#[derive(Debug)]
pub struct Facts {
    pub now_ms: i64,
    /// The oldest first.
    pub events: Vec<Event>,
    pub plan: Json,
    pub decided: BTreeMap<String, bool>,
    pub listed: bool,
}

/// What is derived of somebody: values, and the segments they are in.
pub type Derived = (BTreeMap<&'static str, Json>, BTreeSet<&'static str>);

impl Facts {
    fn of<'a>(&'a self, event_type: &'a str) -> impl DoubleEndedIterator<Item = &'a Event> {
        let events = self.events.iter();
        events.filter(move |event| event.r#type == event_type)
    }

    /// Times of events.
    pub fn newest_first(&self) -> impl Iterator<Item = i64> {
        self.events.iter().rev().map(at)
    }

    pub fn agreed(&self, purpose: &str) -> bool {
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

    pub fn derived(&self) -> Derived {
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

pub fn at(event: &Event) -> i64 {
    to_ms(event.time.as_ref().unwrap())
}

pub fn category(event: &Event) -> String {
    let properties = event.properties.as_ref().unwrap();
    let category = from_value(&properties.fields["category"]);
    category.as_str().unwrap().to_owned()
}

pub fn value(profile: &Profile, trait_id: &str) -> Json {
    let traits = profile.traits.as_ref().unwrap();
    let value = traits.fields.get(trait_id).map_or(Json::Null, from_value);
    // JSON's numbers are doubles.
    value.as_f64().map_or(value, |number| json!(number))
}

/// As a profile says, of one set.
pub fn shown(profile: &Profile, end: &str) -> Derived {
    let values = TRAITS.map(|(id, _)| (id, value(profile, &id.replace('~', end))));
    let segments = SEGMENTS.map(|(id, _)| id).into_iter();
    let segments = segments.filter(|id| profile.segments.contains(&id.replace('~', end)));
    (values.into(), segments.collect())
}
