//! What is refused when a rule is saved: what can never have an effect, what does not
//! exist, and what contradicts the rules in force; and what only looks like it. Through
//! the real client, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::{
    catalog::v1::{CharacteristicDefinition, CharacteristicType, ItemType},
    json,
    profile::v1::Snapshot,
    rules::v1::{
        Budget, Bury, DayOfWeek, Exclude, Include, PersonCap, Placement, Rule, Schedule,
        ScheduleWindow, SourceKind, action,
    },
    time,
};
use attune_errors::violations_of;
use serde_json::json;
use support::*;

async fn window(engine: &Running) {
    let items = ["a", "b", "c"].map(|id| item(id, "x", "Halden"));
    engine.publish_items(items.into()).await;
    let sources = [(SourceKind::Editorial, json!({"itemIds": ["a", "b", "c"]}))];
    engine
        .put_strategy(strategy("chosen", &sources))
        .await
        .unwrap();
    for id in ["home", "basket"] {
        engine.put_placement(placement(id, "chosen")).await.unwrap();
    }
}

fn include(items: &[&str]) -> action::Kind {
    let item_ids = items.iter().map(ToString::to_string).collect();
    action::Kind::Include(Include { item_ids })
}

fn exclude() -> action::Kind {
    action::Kind::Exclude(Exclude {})
}

fn bury() -> action::Kind {
    action::Kind::Bury(Bury { factor: 2.0 })
}

fn when(rule: Rule, when: &str) -> Rule {
    let when = when.into();
    Rule { when, ..rule }
}

fn windows(windows: &[(&[DayOfWeek], &str, &str)]) -> Schedule {
    let windows = windows.iter().map(|(days, start, end)| ScheduleWindow {
        days: days.iter().map(|day| (*day).into()).collect(),
        start: (*start).into(),
        end: (*end).into(),
    });
    Schedule {
        windows: windows.collect(),
        ..Schedule::default()
    }
}

#[tokio::test]
async fn every_field_of_a_rule_is_checked() {
    on_both("fields", async |engine| {
        let schedule = Schedule {
            time_zone: "Europe/Berlyn".into(),
            end_time: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            windows: vec![ScheduleWindow {
                days: vec![0, 2, 2, 9],
                start: "24:00".into(),
                end: "7:00".into(),
            }],
            ..Schedule::default()
        };
        let sent = Rule {
            schedule: Some(schedule),
            tags: vec!["ok".into(), "ok".into(), " padded".into(), String::new()],
            exclusion_group: "No Spaces".into(),
            budget: Some(Budget {
                exposure_max: 0,
                days: -1,
            }),
            person_cap: Some(PersonCap {
                exposure_max: 1001,
                days: 91,
            }),
            ..rule("r", "", boost(2.0))
        };
        let expected = [
            "rule.schedule.end_time",
            "rule.schedule.time_zone",
            "rule.schedule.windows[0].days[0]",
            "rule.schedule.windows[0].days[2]",
            "rule.schedule.windows[0].days[3]",
            "rule.schedule.windows[0].start",
            "rule.schedule.windows[0].end",
            "rule.tags[1]",
            "rule.tags[2]",
            "rule.tags[3]",
            "rule.exclusion_group",
            "rule.budget.exposure_max",
            "rule.budget.days",
            "rule.person_cap.exposure_max",
            "rule.person_cap.days",
        ];
        let refused = engine.put_rule(sent.clone()).await.unwrap_err();
        assert_eq!(fields(&refused), expected);
        assert_eq!(fields(&engine.draft(sent).await.unwrap_err()), expected);
    })
    .await;
}

#[tokio::test]
async fn a_rule_that_can_never_have_an_effect_is_refused() {
    on_both("never", async |engine| {
        window(&engine).await;
        let now_ms = time::now_ms();
        let at = |ms: i64| Some(time::from_ms(now_ms + ms));
        let ended = Schedule {
            end_time: at(-1000),
            ..Schedule::default()
        };
        // Three days, and the window is on the one before them.
        let today = jiff_weekday(now_ms);
        let missed = Schedule {
            start_time: at(DAY_MS),
            end_time: at(4 * DAY_MS),
            ..windows(&[(&[weekday_before(today)], "00:00", "00:01")])
        };
        let scheduled = |schedule: Schedule| Rule {
            schedule: Some(schedule),
            ..rule("r", "", boost(2.0))
        };
        let check = async |sent: Rule, field: &str| {
            let refused = engine.put_rule(sent.clone()).await.unwrap_err();
            assert_eq!(fields(&refused), [field], "{sent:?}");
            let disabled = Rule {
                disabled: true,
                rule_id: format!("off-{}", field.replace('.', "-")),
                ..sent
            };
            engine.put_rule(disabled).await.unwrap();
        };
        check(scheduled(ended), "rule.schedule.end_time").await;
        check(scheduled(missed), "rule.schedule.windows").await;
        let torn = when(
            rule("r", "", boost(2.0)),
            "profile.age > 40.0 && profile.age < 30.0",
        );
        check(torn, "rule.when").await;
        let torn = rule(
            "r",
            "item.brand == \"Halden\" && item.brand == \"Brenna\"",
            boost(2.0),
        );
        check(torn, "rule.where").await;
    })
    .await;
}

/// 1 is Monday.
fn jiff_weekday(ms: i64) -> i64 {
    // 1 January 1970 was a Thursday.
    (ms.div_euclid(DAY_MS) + 3).rem_euclid(7) + 1
}

fn weekday_before(day: i64) -> DayOfWeek {
    let before = (day + 5).rem_euclid(7) + 1;
    DayOfWeek::try_from(before as i32).unwrap()
}

#[tokio::test]
async fn an_item_that_does_not_exist_is_told_by_its_place() {
    on_both("items", async |engine| {
        window(&engine).await;
        let refused = engine
            .put_rule(rule("r", "", pin(1, &["a", "b", "nope"])))
            .await;
        assert_eq!(
            fields(&refused.unwrap_err()),
            ["rule.action.pin.item_ids[2]"]
        );
        let refused = engine.draft(rule("r", "", include(&["nope", "a"]))).await;
        assert_eq!(
            fields(&refused.unwrap_err()),
            ["rule.action.include.item_ids[0]"]
        );
        let refused = engine.put_placement(Placement {
            fallback_item_ids: vec!["a".into(), "nope".into()],
            ..placement("other", "chosen")
        });
        let refused = refused.await.unwrap_err();
        assert_eq!(fields(&refused), ["placement.fallback_item_ids[1]"]);
        let sources = [
            (SourceKind::Popular, json!({})),
            (SourceKind::Editorial, json!({"itemIds": ["nope", "b"]})),
        ];
        let refused = engine
            .put_strategy(strategy("s", &sources))
            .await
            .unwrap_err();
        assert_eq!(fields(&refused), ["strategy.sources[1].params.itemIds[0]"]);
        // Gone is as good as never there.
        engine.delete_item("c").await;
        let refused = engine
            .put_rule(rule("r", "", pin(1, &["c"])))
            .await
            .unwrap_err();
        assert_eq!(fields(&refused), ["rule.action.pin.item_ids[0]"]);
        // What behaviour alone has mentioned is no item.
        engine
            .publish_events(vec![event("p", "view", &["seen"], time::now_ms())])
            .await;
        let refused = engine
            .put_rule(rule("r", "", pin(1, &["seen"])))
            .await
            .unwrap_err();
        assert_eq!(fields(&refused), ["rule.action.pin.item_ids[0]"]);
    })
    .await;
}

#[tokio::test]
async fn rules_that_contradict_each_other_are_refused_by_name() {
    on_both("contradict", async |engine| {
        window(&engine).await;
        let gold = "profile.tier == \"gold\"";
        let held = [
            Rule {
                placements: vec!["home".into()],
                ..when(rule("pinned", "", pin(1, &["a"])), gold)
            },
            rule("boosted", "item.brand == \"Halden\"", boost(2.0)),
            rule("included", "", include(&["b"])),
            rule("out", "item.id == \"c\"", exclude()),
        ];
        for rule in held {
            engine.put_rule(rule).await.unwrap();
        }
        let check = async |sent: Rule, expected: &[(&str, &str)]| {
            let refused = engine.put_rule(sent.clone()).await.unwrap_err();
            let told = violations_of(&refused);
            let told: Vec<&str> = told.iter().map(|(field, _)| field.as_str()).collect();
            let fields: Vec<&str> = expected.iter().map(|(field, _)| *field).collect();
            assert_eq!(told, fields, "{sent:?}");
            for ((_, words), (_, other)) in violations_of(&refused).iter().zip(expected) {
                assert!(words.contains(&format!("\"{other}\"")), "{words}");
            }
        };
        let position = [("rule.action.pin.position", "pinned")];
        check(rule("r", "", pin(1, &["b"])), &position).await;
        check(
            when(rule("r", "", pin(1, &["b"])), "profile.age > 3.0"),
            &position,
        )
        .await;
        let excluded = [("rule.action.pin.item_ids[1]", "out")];
        check(rule("r", "", pin(2, &["b", "c"])), &excluded).await;
        let excluded = [("rule.action.include.item_ids[0]", "out")];
        check(rule("r", "", include(&["c"])), &excluded).await;
        check(
            rule("r", "item.id == \"a\"", exclude()),
            &[("rule.where", "pinned")],
        )
        .await;
        let all = engine.put_rule(rule("r", "", exclude())).await.unwrap_err();
        assert_eq!(fields(&all), ["rule.where", "rule.where"]);
        let opposite = [("rule.action", "boosted")];
        check(rule("r", "item.brand == \"Halden\"", bury()), &opposite).await;
    })
    .await;
}

#[tokio::test]
async fn rules_that_never_meet_do_not_contradict_each_other() {
    on_both("apart", async |engine| {
        window(&engine).await;
        let weekdays: &[DayOfWeek] = &[DayOfWeek::Monday, DayOfWeek::Tuesday];
        let pinned = Rule {
            placements: vec!["home".into()],
            channels: vec!["web".into()],
            exclusion_group: "hero".into(),
            schedule: Some(windows(&[(weekdays, "09:00", "17:00")])),
            ..when(rule("pinned", "", pin(1, &["a"])), "profile.age > 40.0")
        };
        engine.put_rule(pinned.clone()).await.unwrap();
        let mut number = 0;
        let mut apart = async |change: &dyn Fn(&mut Rule)| {
            number += 1;
            let mut other = Rule {
                rule_id: format!("r{number}"),
                disabled: false,
                exclusion_group: String::new(),
                ..pinned.clone()
            };
            change(&mut other);
            let saved = engine.put_rule(other.clone()).await;
            assert!(saved.is_ok(), "{other:?} {saved:?}");
            engine.remove(&other.rule_id).await.unwrap();
        };
        apart(&|r| r.placements = vec!["basket".into()]).await;
        apart(&|r| r.channels = vec!["app".into()]).await;
        apart(&|r| r.exclusion_group = "hero".into()).await;
        apart(&|r| r.priority = 1).await;
        apart(&|r| r.disabled = true).await;
        apart(&|r| r.when = "profile.age < 40.0".into()).await;
        apart(&|r| r.schedule = Some(windows(&[(weekdays, "17:00", "09:00")]))).await;
        apart(&|r| {
            let elsewhere = Schedule {
                time_zone: "Asia/Tokyo".into(),
                ..windows(&[(weekdays, "09:00", "17:00")])
            };
            r.schedule = Some(elsewhere);
        })
        .await;
        // And the rule itself may be saved again.
        let again = Rule {
            display_name: "Again".into(),
            ..pinned
        };
        engine.draft(again).await.unwrap();
        engine.publish_rules(&["pinned"], "").await.unwrap();
        // What is out of stock today may be pinned all the same.
        engine
            .put_rule(rule("sold-out", "item.stock < 1", exclude()))
            .await
            .unwrap();
        let mut gone = item("b", "x", "Halden");
        gone.stock = Some(0);
        engine.publish_items(vec![gone]).await;
        engine
            .put_rule(rule("restocked", "", pin(3, &["b"])))
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_value_that_no_type_declares_is_refused() {
    on_both("enum", async |engine| {
        let colour = CharacteristicDefinition {
            name: "colour".into(),
            r#type: CharacteristicType::Text.into(),
            ..Default::default()
        };
        engine
            .publish_type(ItemType {
                item_type_id: "product".into(),
                characteristics: vec![colour],
                ..Default::default()
            })
            .await;
        let check = async |r#where: &str, is_fine: bool| {
            let sent = engine.draft(rule("r", r#where, boost(2.0))).await;
            assert_eq!(sent.is_ok(), is_fine, "{}: {sent:?}", r#where);
        };
        check("item.colour == \"red\"", true).await;
        check("item.colour == 3.0", false).await;
        check("item.color == \"red\"", false).await;
    })
    .await;
}

#[tokio::test]
async fn the_first_rule_of_a_group_that_applies_is_the_only_one() {
    on_both("group", async |engine| {
        window(&engine).await;
        let grouped = |id: &str, priority, item: &str| Rule {
            exclusion_group: "hero".into(),
            priority,
            ..rule(id, "", pin(1, &[item]))
        };
        let best = when(grouped("best", 9, "c"), "profile.tier == \"gold\"");
        for rule in [grouped("usual", 1, "b"), best, grouped("never", 0, "a")] {
            engine.put_rule(rule).await.unwrap();
        }
        // Outside the group a rule for the same position goes next.
        engine
            .put_rule(Rule {
                priority: -1,
                ..rule("beside", "", pin(1, &["a"]))
            })
            .await
            .unwrap();
        let gold = Snapshot {
            traits: json::to_struct(json!({"tier": "gold"})),
            ..person(&[])
        };
        assert_eq!(engine.home(&gold).await, ["c", "a", "b"]);
        assert_eq!(engine.home(&stranger()).await, ["b", "a", "c"]);
    })
    .await;
}

#[tokio::test]
async fn a_rule_is_in_force_in_its_windows_only() {
    on_both("windows", async |engine| {
        window(&engine).await;
        let schedule = Schedule {
            time_zone: "Europe/Berlin".into(),
            ..windows(&[(&[DayOfWeek::Saturday], "22:00", "02:00")])
        };
        engine
            .put_rule(Rule {
                schedule: Some(schedule),
                ..rule("night", "", pin(1, &["c"]))
            })
            .await
            .unwrap();
        let first_at = async |moment: &str| {
            let mut request = ask("home", &stranger());
            request.context = Some(attune_api::r#type::v1::Context {
                time: Some(moment.parse().unwrap()),
                ..Default::default()
            });
            shown(&engine.decide_one(request).await)[0].clone()
        };
        // Saturday 28 March 2026; at 02:00 the clocks go forward to 03:00.
        for (moment, first) in [
            ("2026-03-28T20:59:59Z", "a"),
            ("2026-03-28T21:00:00Z", "c"),
            ("2026-03-29T00:59:59Z", "c"),
            ("2026-03-29T01:00:00Z", "a"),
            ("2026-03-27T22:00:00Z", "a"),
        ] {
            assert_eq!(first_at(moment).await, first, "{moment}");
        }
    })
    .await;
}
