//! What is on a timeline, read by filter and in pages: through the service's real
//! client, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::{
    profile::v1::{EventOrder, ListEventsRequest},
    time::from_ms,
};
use attune_errors::violations_of;
use serde_json::json;
use support::*;

/// Ids of the events that pass, by pages of `page_size`.
async fn listed(shop: &Running, asked: ListEventsRequest) -> Vec<String> {
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = shop.request(ListEventsRequest {
            page_token,
            ..asked.clone()
        });
        let page = shop.client.clone().list_events(request).await.unwrap();
        let page = page.into_inner();
        assert!(page.events.len() <= asked.page_size.max(1) as usize);
        ids.extend(page.events.into_iter().map(|event| event.event_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

#[tokio::test]
async fn timelines_are_filtered_and_paged_in_either_order() {
    on_both("timeline_filters", async |shop| {
        let mut ann = String::new();
        // Each two of a time, and one that comes late.
        for (id, at, name, item) in [
            ("e0", 0, "view", "tent"),
            ("e1", 0, "Order Completed", "tent"),
            ("e3", 20, "view", "stove"),
            ("e4", 20, "search", "lamp"),
            ("e2", 10, "view", "tent"),
        ] {
            let properties = json!({"product_id": item});
            ann = shop.one(event(id, &["u:ann"], at, name, properties)).await;
        }
        let asked = |change: &dyn Fn(&mut ListEventsRequest)| {
            let mut request = ListEventsRequest {
                profile_id: ann.clone(),
                page_size: 2,
                ..ListEventsRequest::default()
            };
            change(&mut request);
            request
        };
        let oldest = i32::from(EventOrder::OldestFirst);
        let time = |ms: i64| Some(from_ms(T0 + ms));
        type Change<'a> = &'a dyn Fn(&mut ListEventsRequest);
        let rows: [(Change<'_>, &[&str]); 10] = [
            (&|_| {}, &["e4", "e3", "e2", "e1", "e0"]),
            (&|r| r.order = oldest, &["e0", "e1", "e2", "e3", "e4"]),
            (&|r| r.r#type = "view".into(), &["e3", "e2", "e0"]),
            (
                &|r| r.types = vec!["search".into(), "purchase".into()],
                &["e4", "e1"],
            ),
            (
                &|r| {
                    r.r#type = "purchase".into();
                    r.types = vec!["search".into()];
                    r.order = oldest;
                },
                &["e1", "e4"],
            ),
            (&|r| r.start_time = time(10), &["e4", "e3", "e2"]),
            (&|r| r.end_time = time(10), &["e1", "e0"]),
            (
                &|r| {
                    r.start_time = time(0);
                    r.end_time = time(20);
                    r.item_id = "tent".into();
                },
                &["e2", "e1", "e0"],
            ),
            (&|r| r.item_id = "stove".into(), &["e3"]),
            (&|r| r.channel = "nowhere".into(), &[]),
        ];
        for (i, (change, expected)) in rows.into_iter().enumerate() {
            assert_eq!(listed(&shop, asked(change)).await, expected, "row {i}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_filter_that_looks_inside_goes_on_until_its_page_is_full() {
    on_both("timeline_inside", async |shop| {
        let messages = (0..1_200).map(|i| {
            let item = if i % 400 == 7 { "rare" } else { "common" };
            let properties = json!({"product_id": item});
            event(&format!("e{i}"), &["u:bob"], i, "view", properties)
        });
        let messages: Vec<_> = messages.collect();
        let mut bob = String::new();
        for part in messages.chunks(600) {
            bob = shop.send(part.to_vec()).await.remove(0).profile_id;
        }
        let asked = ListEventsRequest {
            profile_id: bob,
            page_size: 2,
            item_id: "rare".into(),
            ..ListEventsRequest::default()
        };
        assert_eq!(listed(&shop, asked).await, ["e807", "e407", "e7"]);
    })
    .await;
}

#[tokio::test]
async fn filters_that_make_no_sense_are_refused_all_at_once() {
    on_both("timeline_refused", async |shop| {
        let request = shop.request(ListEventsRequest {
            profile_id: shop.one(view("m", &["u:eve"], 0, "x")).await,
            types: vec![String::new(); 51],
            start_time: Some(from_ms(T0)),
            end_time: Some(from_ms(T0)),
            channel: "x".repeat(257),
            item_id: "\u{7}".into(),
            order: 9,
            ..ListEventsRequest::default()
        });
        let status = shop.client.clone().list_events(request).await.unwrap_err();
        let fields: Vec<_> = violations_of(&status)
            .into_iter()
            .map(|(field, _)| field)
            .filter(|field| !field.starts_with("types["))
            .collect();
        assert_eq!(fields, ["channel", "item_id", "end_time", "order", "types"]);
    })
    .await;
}
