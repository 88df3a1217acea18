//! Whether an item may be shown to this person: whom it is for, what they bought and
//! what they do not want to see; through the real client, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::{
    catalog::v1::Item,
    json,
    profile::v1::{Basis, RecentEvent, Snapshot},
    rules::v1::{
        DecideRequest, Eligibility, Fatigue, FilterCause, Outcome, OutcomeType, PlacementDecision,
        RecordOutcomesRequest, SourceKind, Strategy,
    },
    time,
    r#type::v1::{Context, Location},
};
use serde_json::json;
use support::*;

const ANN: &str = "0190c0de-0000-7000-8000-00000000000a";
const IDS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Items that an editor chose for `home`, some of them changed.
async fn chosen(engine: &Running, change: impl Fn(&mut Item)) {
    let items = IDS.map(|id| {
        let mut item = item(id, "x", "Halden");
        change(&mut item);
        item
    });
    engine.publish_items(items.into()).await;
    put_strategy(engine, |_| ()).await;
    engine
        .put_placement(placement("home", "chosen"))
        .await
        .unwrap();
}

/// Makes the strategy, or changes it.
async fn put_strategy(engine: &Running, change: impl Fn(&mut Strategy)) {
    let params = json!({ "itemIds": IDS });
    let mut strategy = strategy("chosen", &[(SourceKind::Editorial, params)]);
    change(&mut strategy);
    let request = attune_api::rules::v1::UpdateStrategyRequest {
        strategy: Some(strategy),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["*".into()],
        }),
        allow_missing: true,
    };
    let mut client = engine.rules.clone();
    client
        .update_strategy(engine.request(request))
        .await
        .unwrap();
}

fn ann() -> Snapshot {
    Snapshot {
        profile_id: ANN.into(),
        basis: Basis::Full.into(),
        ..Snapshot::default()
    }
}

fn aged(age: i32) -> Snapshot {
    Snapshot {
        traits: json::to_struct(json!({ "age": age })),
        consents: [("health".to_owned(), age > 50)].into(),
        ..ann()
    }
}

fn buyer(bought: &[(&str, i64)]) -> Snapshot {
    let events = bought.iter().map(|(id, days)| RecentEvent {
        r#type: "purchase".into(),
        time_ms: time::now_ms() - days * DAY_MS,
        item_ids: vec![(*id).into()],
        revenue: 1.0,
        ..RecentEvent::default()
    });
    // Older than what candidates are found by.
    let views = (0..60).map(|_| RecentEvent {
        r#type: "view".into(),
        time_ms: time::now_ms(),
        item_ids: vec!["e".into()],
        ..RecentEvent::default()
    });
    Snapshot {
        recent_events: views.chain(events).collect(),
        ..ann()
    }
}

fn from(country: &str, locale: &str, snapshot: &Snapshot) -> DecideRequest {
    DecideRequest {
        context: Some(Context {
            locale: locale.into(),
            location: Some(Location {
                country: country.into(),
                ..Location::default()
            }),
            ..Context::default()
        }),
        ..ask("home", snapshot)
    }
}

/// What is kept out and why, by item.
async fn kept_out(engine: &Running, request: &DecideRequest) -> Vec<(String, FilterCause)> {
    let request = DecideRequest {
        explain: true,
        ..request.clone()
    };
    let decided = engine.decide_one(request).await;
    let told = decided.explanation.unwrap().filtered.into_iter();
    let mut kept_out: Vec<(String, FilterCause)> = told
        .flat_map(|filtered| {
            let cause = filtered.cause();
            filtered.item_ids.into_iter().map(move |id| (id, cause))
        })
        .collect();
    kept_out.sort();
    kept_out
}

async fn report(engine: &Running, decision: &PlacementDecision, item: &str, kind: OutcomeType) {
    let slot = decision.slots.iter().find(|slot| slot.item_id == item);
    let outcomes = vec![Outcome {
        token: slot.unwrap().token.clone(),
        r#type: kind.into(),
        ..Outcome::default()
    }];
    let request = engine.request(RecordOutcomesRequest { outcomes });
    let mut client = engine.decisions.clone();
    client.record_outcomes(request).await.unwrap();
}

#[tokio::test]
async fn an_item_is_shown_to_its_audience_alone() {
    on_both("audience", async |engine| {
        chosen(&engine, |item| {
            item.audience = match item.item_id.as_str() {
                "a" => "profile.age >= 18".into(),
                "b" => "context.location.country in [\"AT\", \"DE\"]".into(),
                "c" => "consent(\"health\") && profile.age >= 18".into(),
                _ => String::new(),
            };
        })
        .await;
        let refused = FilterCause::NotInAudience;
        for (snapshot, country, expected) in [
            (aged(60), "AT", &[][..]),
            (aged(40), "AT", &["c"]),
            (aged(40), "CH", &["b", "c"]),
            (aged(17), "DE", &["a", "c"]),
            (ann(), "", &["a", "b", "c"]),
            (stranger(), "DE", &["a", "c"]),
        ] {
            let found = kept_out(&engine, &from(country, "", &snapshot)).await;
            let expected: Vec<_> = expected
                .iter()
                .map(|id| (id.to_string(), refused))
                .collect();
            assert_eq!(found, expected, "{country}");
        }
        // An item that changes is for whom it says now.
        engine.publish_items(vec![item("a", "x", "Halden")]).await;
        assert_eq!(engine.home(&stranger()).await, ["a", "d", "e"]);
    })
    .await;
}

#[tokio::test]
async fn an_item_is_shown_to_those_who_speak_its_language() {
    on_both("locale", async |engine| {
        chosen(&engine, |item| {
            item.locales = match item.item_id.as_str() {
                "a" => vec!["de".into()],
                "b" => vec!["fr".into(), "de-AT".into()],
                _ => Vec::new(),
            };
        })
        .await;
        let refused = FilterCause::WrongLocale;
        for (locale, expected) in [
            ("de-AT", &[][..]),
            ("de-DE", &["b"]),
            ("fr-CH", &["a"]),
            ("en", &["a", "b"]),
            ("", &[]),
        ] {
            let found = kept_out(&engine, &from("", locale, &stranger())).await;
            let expected: Vec<_> = expected
                .iter()
                .map(|id| (id.to_string(), refused))
                .collect();
            assert_eq!(found, expected, "{locale}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_bought_comes_again_when_it_is_due() {
    on_both("already_bought", async |engine| {
        chosen(&engine, |item| {
            item.replenishable = ["b", "c"].contains(&item.item_id.as_str());
            item.replenishment_days = match item.item_id.as_str() {
                "c" => 30.0,
                _ => 0.0,
            };
        })
        .await;
        let refused = |ids: &[&str]| -> Vec<(String, FilterCause)> {
            let ids = ids.iter().map(ToString::to_string);
            ids.map(|id| (id, FilterCause::AlreadyBought)).collect()
        };
        for (bought, expected) in [
            (&[("a", 400), ("b", 1), ("c", 1)][..], &["a", "c"][..]),
            (&[("c", 29)], &[]),
            // The last purchase counts.
            (&[("c", 2), ("c", 90)], &["c"]),
        ] {
            let found = kept_out(&engine, &ask("home", &buyer(bought))).await;
            assert_eq!(found, refused(expected), "{bought:?}");
        }
        // Bought through a token.
        let decision = engine.decide_one(ask("home", &ann())).await;
        report(&engine, &decision, "d", OutcomeType::Conversion).await;
        let found = kept_out(&engine, &ask("home", &ann())).await;
        assert_eq!(found, refused(&["d"]));
        // Without consent nobody knows.
        let private = Snapshot {
            basis: Basis::ContextOnly.into(),
            ..buyer(&[("a", 1)])
        };
        assert_eq!(engine.home(&private).await, IDS);
        put_strategy(&engine, |strategy| {
            strategy.eligibility = Some(Eligibility {
                allow_bought: true,
                ..Eligibility::default()
            });
        })
        .await;
        assert_eq!(engine.home(&buyer(&[("a", 1), ("c", 1)])).await, IDS);
    })
    .await;
}

#[tokio::test]
async fn what_was_dismissed_stays_away_for_as_long_as_the_strategy_says() {
    on_both("dismissed", async |engine| {
        chosen(&engine, |_| ()).await;
        let decision = engine.decide_one(ask("home", &ann())).await;
        report(&engine, &decision, "b", OutcomeType::Dismiss).await;
        let refused = vec![("b".to_owned(), FilterCause::Dismissed)];
        let later = |days: i64| DecideRequest {
            context: Some(Context {
                time: Some(time::from_ms(time::now_ms() + days * DAY_MS)),
                ..Context::default()
            }),
            ..ask("home", &ann())
        };
        assert_eq!(kept_out(&engine, &later(0)).await, refused);
        assert_eq!(engine.home(&stranger()).await, IDS);
        for (days, shown_after, hidden_until) in [(0, 31, 29), (3, 4, 2), (-1, 0, 3000)] {
            put_strategy(&engine, |strategy| {
                strategy.eligibility = Some(Eligibility {
                    dismissed_days: days,
                    ..Eligibility::default()
                });
            })
            .await;
            assert_eq!(kept_out(&engine, &later(hidden_until)).await, refused);
            if shown_after > 0 {
                assert_eq!(kept_out(&engine, &later(shown_after)).await, []);
            }
        }
        engine.stop().await;
        let again = engine.replica().await;
        assert_eq!(kept_out(&again, &later(3000)).await, refused);
    })
    .await;
}

#[tokio::test]
async fn what_is_shown_in_vain_wears_out_until_it_is_clicked() {
    on_both("fatigue", async |engine| {
        chosen(&engine, |_| ()).await;
        put_strategy(&engine, |strategy| {
            strategy.fatigue = Some(Fatigue {
                half_exposures: 1.0,
                days: 0,
            });
        })
        .await;
        // An editor's first is worth 1, the second 0.63.
        let decision = engine.decide_one(ask("home", &ann())).await;
        assert_eq!(decision.slots[0].item_id, "a");
        report(&engine, &decision, "a", OutcomeType::Exposure).await;
        let request = DecideRequest {
            explain: true,
            ..ask("home", &ann())
        };
        let worn = engine.decide_one(request).await;
        assert_eq!(shown(&worn)[..2], ["b", "a"]);
        let explanation = worn.explanation.unwrap();
        let candidates = explanation.candidates.iter();
        let worn_out = candidates.filter_map(|candidate| {
            let mut parts = candidate.parts.iter();
            let part = parts.find(|part| part.feature == "fatigue")?;
            Some((candidate.item_id.as_str(), part.value, part.contribution))
        });
        assert_eq!(worn_out.collect::<Vec<_>>(), [("a", 0.5, -0.5)]);
        assert_eq!(engine.home(&stranger()).await, IDS);
        report(&engine, &decision, "a", OutcomeType::Click).await;
        assert_eq!(engine.home(&ann()).await, IDS);
    })
    .await;
}
