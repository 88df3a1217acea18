//! Each source that follows behaviour or the catalog: what it proposes, what it says of
//! it, and that an event or change is visible to the next decision; through the real
//! client, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::{
    catalog::v1::Item,
    profile::v1::{RecentEvent, Snapshot},
    rules::v1::{DecideRequest, PlacementDecision, SourceKind},
    time,
    r#type::v1::{Context, Money},
};
use serde_json::{Value as Json, json};
use support::*;

const PLACEMENT: &str = "row";

/// Tents and stoves of two brands, and a placement with one source.
async fn shop(engine: &Running, kind: SourceKind, params: Json) {
    let mut items = Vec::new();
    for (leaf, brand) in [
        ("tents", "Halden"),
        ("tents", "Brenna"),
        ("stoves", "Halden"),
    ] {
        for i in 1..4 {
            items.push(item(&format!("{leaf}-{brand}-{i}"), leaf, brand));
        }
    }
    engine.publish_items(items).await;
    engine
        .put_strategy(strategy("one", &[(kind, params)]))
        .await
        .unwrap();
    engine
        .put_placement(placement(PLACEMENT, "one"))
        .await
        .unwrap();
}

/// What the source itself proposed, with the words for it; not what filled the rest.
fn proposed(decision: &PlacementDecision, kind: &str) -> Vec<(String, String)> {
    let slots = decision.slots.iter();
    let told = slots.filter_map(|slot| {
        let reason = slot.reasons.iter().find(|reason| {
            let source = reason.source.as_ref();
            source.is_some_and(|source| source.kind == kind && reason.weight > 0.0)
        })?;
        Some((slot.item_id.clone(), reason.text.clone()))
    });
    told.collect()
}

fn ids(proposed: &[(String, String)]) -> Vec<&str> {
    proposed.iter().map(|(id, _)| id.as_str()).collect()
}

fn with_cart(mut request: DecideRequest, cart: &[&str]) -> DecideRequest {
    request.context = Some(Context {
        cart_item_ids: cart.iter().map(ToString::to_string).collect(),
        ..Default::default()
    });
    request
}

#[tokio::test]
async fn what_others_viewed_in_the_same_visit_is_found() {
    on_both("also_viewed", async |engine| {
        shop(&engine, SourceKind::AlsoViewed, json!({})).await;
        let now_ms = time::now_ms();
        let viewer = person(&[("view", "tents-Halden-1")]);
        let row = async || engine.decide_one(ask(PLACEMENT, &viewer)).await;
        assert!(proposed(&row().await, "also_viewed").is_empty());
        let mut events = Vec::new();
        for (number, other) in ["stoves-Halden-2", "stoves-Halden-2", "tents-Brenna-1"]
            .into_iter()
            .enumerate()
        {
            let who = format!("p{number}");
            events.push(event(&who, "view", &["tents-Halden-1"], now_ms - 60_000));
            events.push(event(&who, "view", &[other], now_ms));
        }
        engine.publish_events(events).await;
        let found = proposed(&row().await, "also_viewed");
        assert_eq!(ids(&found), ["stoves-Halden-2", "tents-Brenna-1"]);
        assert_eq!(found[0].1, "Often viewed with Item tents-Halden-1");
    })
    .await;
}

#[tokio::test]
async fn a_row_is_named_after_one_item_and_two_rows_after_two() {
    on_both("because_viewed", async |engine| {
        shop(&engine, SourceKind::BecauseViewed, json!({})).await;
        engine
            .put_placement(placement("second", "one"))
            .await
            .unwrap();
        let viewer = person(&[("view", "tents-Halden-1"), ("view", "stoves-Halden-1")]);
        let mut request = ask(PLACEMENT, &viewer);
        request.placements[0].count = 2;
        let mut second = request.placements[0].clone();
        second.placement = "second".into();
        request.placements.push(second);
        let answer = engine.decide(request).await.unwrap();
        let names = answer.placements.iter().map(|row| {
            let mut texts: Vec<String> = row
                .slots
                .iter()
                .map(|slot| slot.reasons[0].text.clone())
                .collect();
            texts.dedup();
            texts
        });
        let names: Vec<Vec<String>> = names.collect();
        let named = |id: &str| vec![format!("Because you viewed Item {id}")];
        assert_eq!(names, [named("tents-Halden-1"), named("stoves-Halden-1")]);
        // Nobody looked at anything: the row has no name.
        let row = engine.decide_one(ask(PLACEMENT, &stranger())).await;
        assert!(proposed(&row, "because_viewed").is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_goes_with_the_basket_is_no_more_of_the_same() {
    on_both("complement", async |engine| {
        shop(&engine, SourceKind::CartComplement, json!({})).await;
        let then_ms = time::now_ms() - 10 * DAY_MS;
        let baskets = [
            ["tents-Halden-1", "tents-Brenna-1"],
            ["tents-Halden-1", "tents-Brenna-1"],
            ["tents-Halden-1", "stoves-Halden-1"],
        ];
        let events = baskets.iter().enumerate();
        let events = events.map(|(n, basket)| event(&format!("p{n}"), "purchase", basket, then_ms));
        engine.publish_events(events.collect()).await;
        let request = with_cart(ask(PLACEMENT, &stranger()), &["tents-Halden-1"]);
        let found = proposed(&engine.decide_one(request).await, "cart_complement");
        assert_eq!(ids(&found), ["stoves-Halden-1", "tents-Brenna-1"]);
        assert_eq!(found[0].1, "Goes with Item tents-Halden-1");
        // Without a basket there is nothing to complete.
        let row = engine.decide_one(ask(PLACEMENT, &stranger())).await;
        assert!(proposed(&row, "cart_complement").is_empty());
    })
    .await;
}

/// A person who bought things so many days ago, the newest first.
fn buyer(purchases: &[(&str, i64)]) -> Snapshot {
    let event = |(id, days): &(&str, i64)| RecentEvent {
        r#type: "purchase".into(),
        time_ms: time::now_ms() - days * DAY_MS,
        item_ids: vec![(*id).into()],
        ..RecentEvent::default()
    };
    Snapshot {
        recent_events: purchases.iter().map(event).collect(),
        ..person(&[])
    }
}

/// Gas, bought every ten days by everybody, that the catalog says is replenishable.
async fn gas(engine: &Running) {
    let mut gas = item("gas", "fuel", "Halden");
    gas.replenishable = true;
    engine.publish_items(vec![gas]).await;
    let now_ms = time::now_ms();
    let purchases = (0..6).flat_map(|person| {
        (0..5).map(move |time| {
            let at_ms = now_ms - (10 * time + 1) * DAY_MS;
            event(&format!("p{person}"), "purchase", &["gas"], at_ms)
        })
    });
    let mut purchases: Vec<_> = purchases.collect();
    purchases.reverse();
    engine.publish_events(purchases).await;
}

#[tokio::test]
async fn what_is_bought_again_is_shown_when_it_is_due() {
    on_both("buy_again", async |engine| {
        shop(&engine, SourceKind::BuyAgain, json!({})).await;
        gas(&engine).await;
        let score = async |snapshot: Snapshot| {
            let row = engine.decide_one(ask(PLACEMENT, &snapshot)).await;
            let found = proposed(&row, "buy_again");
            let slot = row.slots.iter().find(|slot| slot.item_id == "gas");
            if ids(&found).contains(&"gas") {
                assert_eq!(found[0].1, "Time to buy it again");
                slot.unwrap().score
            } else {
                0.0
            }
        };
        let (fresh, due, overdue) = (
            score(buyer(&[("gas", 1)])).await,
            score(buyer(&[("gas", 10)])).await,
            score(buyer(&[("gas", 200)])).await,
        );
        assert!(due > 2.0 * fresh, "{fresh} {due}");
        assert!(due > 4.0 * overdue, "{due} {overdue}");
        // Someone who takes a month is not asked after ten days.
        let slow = [("gas", 10), ("gas", 40), ("gas", 70), ("gas", 100)];
        assert!(score(buyer(&slow)).await < due);
        let mut slow_and_due = slow.map(|(id, days)| (id, days + 18));
        slow_and_due.sort_by_key(|(_, days)| *days);
        let of_slow = score(buyer(&slow_and_due)).await;
        assert!(of_slow > score(buyer(&slow)).await);
        assert!(of_slow > score(buyer(&[("gas", 28)])).await);
    })
    .await;
}

fn priced(id: &str, leaf: &str, amount: f64, days_ago: i64) -> Item {
    let mut item = item(id, leaf, "Halden");
    item.price = Some(Money {
        currency_code: "EUR".into(),
        amount,
    });
    item.update_time = Some(time::from_ms(time::now_ms() - days_ago * DAY_MS));
    item
}

#[tokio::test]
async fn a_lower_price_is_news_across_a_restart() {
    on_both("dropped", async |engine| {
        let params = json!({"days": 7, "percentMin": 10});
        shop(&engine, SourceKind::PriceDropped, params).await;
        let prices = |tent: f64, stove: f64, map: f64, days_ago| {
            vec![
                priced("tents-Halden-1", "tents", tent, days_ago),
                priced("stoves-Halden-1", "stoves", stove, days_ago),
                priced("map", "maps", map, days_ago),
            ]
        };
        engine.publish_items(prices(100.0, 100.0, 100.0, 60)).await;
        let row = engine.decide_one(ask(PLACEMENT, &stranger())).await;
        assert!(proposed(&row, "price_dropped").is_empty());
        // The map's 5 % are too little.
        engine.publish_items(prices(80.0, 50.0, 95.0, 1)).await;
        let dropped = async |engine: &Running, snapshot: Snapshot| {
            let row = engine.decide_one(ask(PLACEMENT, &snapshot)).await;
            proposed(&row, "price_dropped")
        };
        let for_all = dropped(&engine, stranger()).await;
        assert_eq!(ids(&for_all), ["stoves-Halden-1", "tents-Halden-1"]);
        assert_eq!(for_all[0].1, "The price has dropped");
        // One's own interest comes before the deeper cut.
        let camper = person(&[("view", "tents-Brenna-3")]);
        let for_camper = dropped(&engine, camper).await;
        assert_eq!(ids(&for_camper), ["tents-Halden-1", "stoves-Halden-1"]);
        engine.stop().await;
        let second = engine.replica().await;
        assert_eq!(dropped(&second, stranger()).await, for_all);
        // Raised again, it is no news any more.
        second
            .publish_items(vec![priced("stoves-Halden-1", "stoves", 100.0, 0)])
            .await;
        let left = dropped(&second, stranger()).await;
        assert_eq!(ids(&left), ["tents-Halden-1"]);
    })
    .await;
}

#[tokio::test]
async fn what_is_in_stock_again_is_news_across_a_restart() {
    on_both("restocked", async |engine| {
        shop(&engine, SourceKind::BackInStock, json!({})).await;
        let stocked = |units, days_ago| {
            let mut item = priced("tents-Halden-1", "tents", 100.0, days_ago);
            item.stock = Some(units);
            vec![item]
        };
        let found = async |engine: &Running| {
            let row = engine.decide_one(ask(PLACEMENT, &stranger())).await;
            proposed(&row, "back_in_stock")
        };
        engine.publish_items(stocked(0, 20)).await;
        assert!(found(&engine).await.is_empty());
        engine.publish_items(stocked(5, 1)).await;
        let news = found(&engine).await;
        assert_eq!(ids(&news), ["tents-Halden-1"]);
        assert_eq!(news[0].1, "Back in stock");
        // More of it is no news.
        engine.publish_items(stocked(50, 0)).await;
        assert_eq!(found(&engine).await, news);
        engine.stop().await;
        let second = engine.replica().await;
        assert_eq!(found(&second).await, news);
        second.publish_items(stocked(0, 0)).await;
        assert!(found(&second).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_segment_sees_what_it_likes_more_than_others() {
    on_both("affinity", async |engine| {
        shop(&engine, SourceKind::SegmentAffinity, json!({})).await;
        let now_ms = time::now_ms();
        let in_segment = |who: &str, segment: &str, id: &str| {
            let mut event = event(who, "view", &[id], now_ms);
            event.segments = vec![segment.into()];
            event
        };
        let mut events = Vec::new();
        for n in 0..12 {
            let (climber, cook) = (format!("a{n}"), format!("b{n}"));
            for (who, segment, own) in [
                (&climber, "climbers", "tents-Halden-1"),
                (&cook, "cooks", "stoves-Halden-1"),
            ] {
                events.push(in_segment(who, segment, "tents-Brenna-3"));
                events.push(in_segment(who, segment, own));
            }
        }
        engine.publish_events(events).await;
        let climber = Snapshot {
            segments: vec!["climbers".into()],
            ..person(&[])
        };
        let row = engine.decide_one(ask(PLACEMENT, &climber)).await;
        let found = proposed(&row, "segment_affinity");
        // Everybody's darling tells nothing of climbers.
        assert_eq!(ids(&found), ["tents-Halden-1"]);
        assert_eq!(found[0].1, "Popular with people like you");
        engine.stop().await;
        let second = engine.replica().await;
        let row = second.decide_one(ask(PLACEMENT, &climber)).await;
        assert_eq!(proposed(&row, "segment_affinity"), found);
    })
    .await;
}
