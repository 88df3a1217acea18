//! Whom the profile service erased is forgotten here: in decisions, outcomes and what is
//! remembered of people; and what people said in words is not kept in the first place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::{
    rules::v1::{Decision, GetDecisionRequest, Outcome, OutcomeType, RecordOutcomesRequest},
    r#type::v1::{Context, Location, Page},
};
use attune_storage::args;
use serde_json::json;
use support::*;

async fn decision(engine: &Running, decision_id: &str) -> Decision {
    let get = GetDecisionRequest {
        decision_id: decision_id.to_owned(),
    };
    let found = engine
        .decisions
        .clone()
        .get_decision(engine.request(get))
        .await;
    found.unwrap().into_inner()
}

/// A situation with everything in it.
fn situation() -> Context {
    Context {
        location: Some(Location {
            lat: Some(47.07),
            lng: Some(15.44),
            country: "AT".into(),
            region: "AT-6".into(),
            city: "Quellenhof".into(),
        }),
        page: Some(Page {
            url: "https://shop.example/?q=left-handed+scissors".into(),
            query: "left-handed scissors".into(),
            r#type: "search".into(),
            ..Page::default()
        }),
        attributes: attune_api::json::to_struct(
            json!({"name": "Annabel", "age": 40, "member": true, "more": {"name": "Annabel"}}),
        ),
        ..Context::default()
    }
}

#[tokio::test]
async fn decisions_do_not_keep_what_people_say_in_words() {
    on_both("words", async |engine| {
        engine
            .publish_items(vec![item("a", "tents", "Halden")])
            .await;
        engine.put_placement(placement("home", "")).await.unwrap();
        let mut request = ask("home", &person(&[]));
        request.context = Some(situation());
        let decided = engine.decide_one(request).await;
        let kept = decision(&engine, &decided.decision_id)
            .await
            .context
            .unwrap();
        let location = kept.location.unwrap();
        assert_eq!(
            (location.region.as_str(), location.city.as_str()),
            ("AT-6", "")
        );
        assert_eq!((location.lat, location.lng), (None, None));
        let page = kept.page.unwrap();
        assert_eq!(
            (page.query, page.url, page.r#type),
            ("".into(), "".into(), "search".into())
        );
        let attributes = attune_api::json::from_struct(&kept.attributes.unwrap());
        assert_eq!(attributes, json!({"age": 40, "member": true}));
    })
    .await;
}

#[tokio::test]
async fn an_erased_person_is_in_no_decision_and_no_outcome() {
    on_both("erased", async |engine| {
        let items = (0..5).map(|n| item(&format!("i{n}"), "tents", "Halden"));
        engine.publish_items(items.collect()).await;
        engine.put_placement(placement("home", "")).await.unwrap();
        let ann = person(&[("view", "i0")]);
        let mut bob = ann.clone();
        bob.profile_id = "0190c0de-0000-7000-8000-000000000002".into();
        let mut decided = Vec::new();
        for who in [&ann, &bob] {
            let mut request = ask("home", who);
            request.context = Some(situation());
            let one = engine.decide_one(request).await;
            let dismissed = Outcome {
                token: one.slots[0].token.clone(),
                r#type: OutcomeType::Dismiss.into(),
                ..Outcome::default()
            };
            let report = engine.request(RecordOutcomesRequest {
                outcomes: vec![dismissed],
            });
            engine
                .decisions
                .clone()
                .record_outcomes(report)
                .await
                .unwrap();
            decided.push(one);
        }
        let merged = "0190c0de-0000-7000-8000-000000000009";
        engine.publish_erasure(&[&ann.profile_id, merged]).await;
        for (one, who) in decided.iter().zip([&ann, &bob]) {
            let found = decision(&engine, &one.decision_id).await;
            let is_ann = who.profile_id == ann.profile_id;
            assert_eq!(found.context.is_none(), is_ann, "{}", engine.system);
            assert_eq!(found.profile_id.is_empty(), is_ann);
            assert_eq!((found.slots.len(), found.outcomes.len()), (5, 1));
        }
        for (table, left) in [("outcomes", 0), ("dismissals", 0)] {
            for (who, left) in [(&ann, left), (&bob, 1)] {
                let sql = format!("select count(*) from {table} where profile_id = $1");
                let sql = attune_storage::Sql::built(sql);
                let args = args![who.profile_id.clone()];
                let rows = engine.database.fetch_all(sql, args).await.unwrap();
                assert_eq!(rows[0].get::<i64>(0).unwrap(), left, "{table}");
            }
        }
        // What they did not want to see again is forgotten; the others' is not.
        let place = |who| engine.decide_one(ask("home", who));
        assert_eq!(place(&ann).await.slots.len(), 5, "{}", engine.system);
        assert_eq!(place(&bob).await.slots.len(), 4, "{}", engine.system);
        // The slot they were shown is still open in a browser.
        let late = engine.request(RecordOutcomesRequest {
            outcomes: vec![Outcome {
                token: decided[0].slots[1].token.clone(),
                r#type: OutcomeType::Dismiss.into(),
                ..Outcome::default()
            }],
        });
        let recorded = engine.decisions.clone().record_outcomes(late).await;
        assert_eq!(recorded.unwrap().into_inner().accepted_count, 1);
        for table in ["outcomes", "dismissals"] {
            let sql = format!("select count(*) from {table} where profile_id = $1");
            let sql = attune_storage::Sql::built(sql);
            let args = args![ann.profile_id.clone()];
            let rows = engine.database.fetch_all(sql, args).await.unwrap();
            assert_eq!(rows[0].get::<i64>(0).unwrap(), 0, "{table} afterwards");
        }
        // Told twice, as after a restart, it changes nothing.
        engine.publish_erasure(&[&ann.profile_id, merged]).await;
        assert_eq!(
            decision(&engine, &decided[1].decision_id).await.profile_id,
            bob.profile_id
        );
    })
    .await;
}
