//! The catalog through its real client, in process, on SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::{
    catalog::v1::{
        BatchGetItemsRequest, CreateItemRequest, DeleteItemRequest, Item, ItemState,
        UpdateItemRequest,
    },
    events::v1::log_entry::Change,
};
use attune_errors::{Reason, violations_of};
use attune_testkit::{PATIENCE, wait_until};
use prost_types::FieldMask;
use serde_json::json;
use support::*;

#[tokio::test]
async fn an_item_can_be_read_as_soon_as_it_is_stored() {
    on_both("read", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        // Asked for before: that it is not there must not be remembered for long.
        assert_eq!(reason(shop.get("t1").await), Reason::ResourceNotFound);
        let sent = tent(
            "t1",
            199.0,
            json!({"brand": "Halden", "persons": 2, "uses": ["trek"]}),
        );
        assert_eq!(shop.counts(vec![sent.clone()]).await, [1, 0, 0]);
        let stored = shop.get("t1").await.unwrap();
        assert_eq!(stored.state(), ItemState::Published);
        assert!(!stored.etag.is_empty() && stored.create_time.is_some());
        let expected = Item {
            etag: stored.etag.clone(),
            create_time: stored.create_time,
            update_time: stored.update_time,
            state: stored.state,
            ..sent
        };
        assert_eq!(stored, expected);
        let (items, missing) = shop.batch_get(&["nope", "t1", "t1", "no"]).await;
        assert_eq!(items, [stored.clone(), stored]);
        assert_eq!(missing, ["nope", "no"]);
        // Another tenant has none of it.
        let other = shop.in_workspace("other");
        assert_eq!(other.batch_get(&["t1"]).await.1, ["t1"]);
        assert!(other.list("", 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn items_survive_a_restart() {
    on_both("restart", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        shop.upsert(vec![tent("t1", 10.0, json!({}))])
            .await
            .unwrap();
        let stored = shop.get("t1").await.unwrap();
        let again = shop.replica().await;
        assert_eq!(again.get("t1").await.unwrap(), stored);
        // It knows the types too.
        assert_eq!(
            again
                .counts(vec![tent("t2", 10.0, json!({"brand": "x"}))])
                .await,
            [1, 0, 0]
        );
    })
    .await;
}

#[tokio::test]
async fn a_batch_tells_all_its_violations_and_stores_nothing() {
    on_both("violations", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        let mut unknown_type = tent("t3", 1.0, json!({}));
        unknown_type.item_type = "tnet".into();
        let mut bad = tent(
            "t4",
            -1.0,
            json!({"brand": 3, "persns": 2, "season": "autumn"}),
        );
        bad.stock = Some(-5);
        bad.url = "not a url".into();
        let items = vec![
            tent("t1", 1.0, json!({"brand": "ok"})),
            tent("t1", 1.0, json!({})),
            unknown_type,
            bad,
        ];
        let status = shop.upsert(items).await.unwrap_err();
        let mut told = fields(&status);
        told.sort();
        assert_eq!(
            told,
            [
                "items[1].item_id",
                "items[2].item_type",
                "items[3].characteristics.brand",
                "items[3].characteristics.persns",
                "items[3].characteristics.season",
                "items[3].price.amount",
                "items[3].stock",
                "items[3].url",
            ],
            "{}",
            shop.system
        );
        let rules = violations_of(&status);
        let rule = |field: &str| &rules.iter().find(|(f, _)| f == field).unwrap().1;
        assert!(rule("items[1].item_id").contains("items[0]"));
        assert!(rule("items[2].item_type").contains("`tent`"));
        assert!(rule("items[3].characteristics.persns").contains("`persons`"));
        assert!(shop.list("", 10).await.unwrap().is_empty());
        assert_eq!(shop.told().await.len(), 1, "only the type");
        assert_eq!(fields(&shop.upsert(vec![]).await.unwrap_err()), ["items"]);
    })
    .await;
}

#[tokio::test]
async fn what_does_not_change_is_neither_written_nor_told() {
    on_both("unchanged", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        let batch = vec![
            tent("t1", 1.0, json!({})),
            tent("t2", 2.0, json!({"brand": "x"})),
        ];
        assert_eq!(shop.counts(batch.clone()).await, [2, 0, 0]);
        let before = shop.get("t2").await.unwrap();
        let told = shop.told().await.len();
        assert_eq!(shop.counts(batch).await, [0, 0, 2]);
        assert_eq!(shop.get("t2").await.unwrap(), before);
        assert_eq!(shop.told().await.len(), told);
        let mixed = vec![
            tent("t1", 1.0, json!({})),
            tent("t2", 3.0, json!({"brand": "x"})),
            tent("t3", 3.0, json!({})),
        ];
        assert_eq!(shop.counts(mixed).await, [1, 1, 1]);
        let after = shop.get("t2").await.unwrap();
        assert_ne!(after.etag, before.etag);
        assert_eq!(after.create_time, before.create_time);
    })
    .await;
}

#[tokio::test]
async fn every_change_is_told_with_what_was_there_before() {
    on_both("log", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        shop.upsert(vec![tent("t1", 1.0, json!({}))]).await.unwrap();
        let first = shop.get("t1").await.unwrap();
        shop.upsert(vec![tent("t1", 2.0, json!({}))]).await.unwrap();
        let second = shop.get("t1").await.unwrap();
        let delete = DeleteItemRequest {
            item_id: "t1".into(),
            etag: second.etag.clone(),
        };
        shop.client
            .clone()
            .delete_item(shop.request(delete))
            .await
            .unwrap();
        assert_eq!(reason(shop.get("t1").await), Reason::ResourceNotFound);
        let told = shop.told().await;
        let [
            Change::ItemTypeChanged(item_type),
            Change::ItemUpserted(created),
            Change::ItemUpserted(updated),
            Change::ItemDeleted(deleted),
        ] = told.as_slice()
        else {
            panic!("{told:?}");
        };
        assert_eq!(item_type.item_type_id, "tent");
        assert_eq!(
            item_type.item_type.as_ref().unwrap().characteristics.len(),
            4
        );
        assert_eq!(
            (&created.item, &created.previous_item),
            (&Some(first.clone()), &None)
        );
        assert_eq!(
            (&updated.item, &updated.previous_item),
            (&Some(second), &Some(first))
        );
        assert_eq!(deleted.item_id, "t1");
    })
    .await;
}

#[tokio::test]
async fn creating_takes_the_id_from_either_place_and_refuses_a_second_one() {
    on_both("create", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        let create = async |item_id: &str, body_id: &str| {
            let request = shop.request(CreateItemRequest {
                item_id: item_id.into(),
                item: Some(tent(body_id, 1.0, json!({}))),
            });
            shop.client
                .clone()
                .create_item(request)
                .await
                .map(|r| r.into_inner().item_id)
        };
        assert_eq!(create("t1", "").await.unwrap(), "t1");
        assert_eq!(create("", "t2").await.unwrap(), "t2");
        assert_eq!(reason(create("t1", "t1").await), Reason::ResourceExists);
        assert_eq!(fields(&create("t1", "t3").await.unwrap_err()), ["item_id"]);
        assert_eq!(fields(&create("", "").await.unwrap_err()), ["item.item_id"]);
        let empty = shop.request(CreateItemRequest::default());
        let empty = shop.client.clone().create_item(empty).await;
        assert_eq!(fields(&empty.unwrap_err()), ["item"]);
    })
    .await;
}

#[tokio::test]
async fn an_update_changes_what_its_mask_names_and_knows_lost_races() {
    on_both("update", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        let update = async |item: Item, mask: Option<FieldMask>, allow_missing: bool| {
            let request = shop.request(UpdateItemRequest {
                item: Some(item),
                update_mask: mask,
                allow_missing,
            });
            shop.client
                .clone()
                .update_item(request)
                .await
                .map(|r| r.into_inner())
        };
        let wanted = tent("t1", 5.0, json!({"brand": "x"}));
        assert_eq!(
            reason(update(wanted.clone(), None, false).await),
            Reason::ResourceNotFound
        );
        let created = update(wanted.clone(), None, true).await.unwrap();
        assert_eq!(shop.get("t1").await.unwrap(), created);

        let stock = Item {
            stock: Some(7),
            url: "https://ignored.example".into(),
            ..tent("t1", 9.0, json!({}))
        };
        let updated = update(stock.clone(), mask(&["stock", "price.amount"]), false)
            .await
            .unwrap();
        assert_eq!(
            (updated.stock, updated.price.unwrap().amount),
            (Some(7), 9.0)
        );
        assert_eq!(
            (&updated.url, &updated.characteristics),
            (&created.url, &created.characteristics)
        );

        let outdated = Item {
            etag: created.etag.clone(),
            ..stock.clone()
        };
        let stale = update(outdated.clone(), mask(&["stock"]), false).await;
        assert_eq!(reason(stale), Reason::EtagMismatch);
        // A batch with an etag is held to it as well.
        assert_eq!(
            reason(shop.upsert(vec![outdated]).await),
            Reason::EtagMismatch
        );
        let current = Item {
            etag: updated.etag.clone(),
            stock: Some(8),
            ..stock.clone()
        };
        assert_eq!(
            update(current, mask(&["stock"]), false)
                .await
                .unwrap()
                .stock,
            Some(8)
        );

        let unknown = update(stock.clone(), mask(&["stok", "price.amnt"]), false).await;
        assert_eq!(
            fields(&unknown.unwrap_err()),
            ["update_mask", "update_mask"]
        );
        let invalid = Item {
            stock: Some(-1),
            ..stock
        };
        let invalid = update(invalid, mask(&["stock"]), false).await;
        assert_eq!(fields(&invalid.unwrap_err()), ["item.stock"]);
    })
    .await;
}

#[tokio::test]
async fn concurrent_updates_of_different_fields_are_all_kept() {
    on_both("races", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        shop.upsert(vec![tent("t1", 5.0, json!({}))]).await.unwrap();
        let update = async |item: Item, path: &str| {
            let request = shop.request(UpdateItemRequest {
                item: Some(item),
                update_mask: mask(&[path]),
                allow_missing: false,
            });
            shop.client.clone().update_item(request).await.unwrap();
        };
        let with = |change: fn(&mut Item)| {
            let mut item = tent("t1", 5.0, json!({}));
            change(&mut item);
            item
        };
        tokio::join!(
            update(with(|i| i.stock = Some(3)), "stock"),
            update(with(|i| i.url = "https://a.example/".into()), "url"),
            update(with(|i| i.set_state(ItemState::Archived)), "state"),
            update(with(|i| i.categories = vec!["New".into()]), "categories"),
        );
        let item = shop.get("t1").await.unwrap();
        assert_eq!(item.stock, Some(3));
        assert_eq!(item.url, "https://a.example/");
        assert_eq!(item.state(), ItemState::Archived);
        assert_eq!(item.categories, ["New"]);
        // A replacement that says no state leaves an archived item archived.
        shop.upsert(vec![tent("t1", 6.0, json!({}))]).await.unwrap();
        assert_eq!(shop.get("t1").await.unwrap().state(), ItemState::Archived);
    })
    .await;
}

#[tokio::test]
async fn deleting_needs_the_item_and_its_etag() {
    on_both("delete", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        shop.upsert(vec![tent("t1", 5.0, json!({}))]).await.unwrap();
        let delete = async |item_id: &str, etag: &str| {
            let request = shop.request(DeleteItemRequest {
                item_id: item_id.into(),
                etag: etag.into(),
            });
            shop.client.clone().delete_item(request).await
        };
        assert_eq!(reason(delete("t2", "").await), Reason::ResourceNotFound);
        assert_eq!(reason(delete("t1", "old").await), Reason::EtagMismatch);
        delete("t1", "").await.unwrap();
        assert_eq!(shop.batch_get(&["t1"]).await.1, ["t1"]);
        assert_eq!(reason(delete("t1", "").await), Reason::ResourceNotFound);
    })
    .await;
}

#[tokio::test]
async fn lists_are_paged_by_id_and_filtered() {
    on_both("list", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        let items = (0..25)
            .map(|i| {
                let brand = if i % 2 == 0 { "Halden" } else { "Fjell" };
                tent(
                    &format!("t{i:02}"),
                    f64::from(i),
                    json!({"brand": brand, "persons": i % 4}),
                )
            })
            .collect();
        shop.upsert(items).await.unwrap();
        let all: Vec<_> = (0..25).map(|i| format!("t{i:02}")).collect();
        for page_size in [0, 1, 7, 25, 1000] {
            assert_eq!(shop.list("", page_size).await.unwrap(), all, "{page_size}");
        }
        for page_size in [1, 3, 50] {
            let cheap = shop
                .list("item.price < 6 && item.brand == 'Halden'", page_size)
                .await;
            assert_eq!(cheap.unwrap(), ["t00", "t02", "t04"], "{page_size}");
        }
        assert!(shop.list("item.persons > 9", 10).await.unwrap().is_empty());
        assert_eq!(
            shop.list("has(item.stock) || item.id == 't07'", 10)
                .await
                .unwrap(),
            ["t07"]
        );

        let status = shop.list("item.brnd == 'x'", 10).await.unwrap_err();
        assert_eq!(fields(&status), ["filter"]);
        let (_, rule) = violations_of(&status).remove(0);
        assert!(rule.contains("1:6") && rule.contains("`brand`"), "{rule}");
        assert_eq!(
            fields(&shop.list("item.price <", -1).await.unwrap_err()),
            ["page_size", "filter"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_filter_looks_at_a_bounded_number_of_items_per_page() {
    let config = attune_catalog::Config {
        filter_scan_items_max: 10,
        ..Default::default()
    };
    for database in attune_testkit::test_database_urls("scan").await {
        let shop = Running::open(database.url(), database.system, config.clone()).await;
        shop.create_type(tent_type()).await.unwrap();
        let items = (0..35).map(|i| tent(&format!("t{i:02}"), f64::from(i), json!({})));
        shop.upsert(items.collect()).await.unwrap();
        let found = shop.list("item.price >= 33 || item.price == 4", 10).await;
        assert_eq!(found.unwrap(), ["t04", "t33", "t34"], "{}", database.system);
    }
}

#[tokio::test]
async fn a_full_batch_is_stored_and_one_beyond_is_refused() {
    on_both("full", async |shop| {
        shop.create_type(tent_type()).await.unwrap();
        let items: Vec<_> = (0..1001)
            .map(|i| {
                tent(
                    &format!("t{i:04}"),
                    1.0,
                    json!({"brand": "x", "persons": i % 5}),
                )
            })
            .collect();
        assert_eq!(
            fields(&shop.upsert(items.clone()).await.unwrap_err()),
            ["items"]
        );
        assert_eq!(shop.counts(items[..1000].to_vec()).await, [1000, 0, 0]);
        assert_eq!(shop.list("", 1000).await.unwrap().len(), 1000);
        let too_many = shop.request(BatchGetItemsRequest {
            item_ids: items.iter().map(|item| item.item_id.clone()).collect(),
        });
        let refused = shop.client.clone().batch_get_items(too_many).await;
        assert_eq!(fields(&refused.unwrap_err()), ["item_ids"]);
    })
    .await;
}

#[tokio::test]
async fn replicas_on_one_database_forget_what_another_changed() {
    let database = attune_testkit::TestDatabase::postgres("replicas").await;
    let one = Running::open(database.url(), "postgres", Default::default()).await;
    let two = one.replica().await;
    one.create_type(tent_type()).await.unwrap();
    // The type is known to the other at once, since it looks again before it refuses.
    two.upsert(vec![tent("t1", 1.0, json!({}))]).await.unwrap();
    for (writer, reader, price) in [(&one, &two, 2.0), (&two, &one, 3.0), (&one, &two, 4.0)] {
        assert!(reader.get("t1").await.is_ok());
        writer
            .upsert(vec![tent("t1", price, json!({}))])
            .await
            .unwrap();
        assert_eq!(writer.get("t1").await.unwrap().price.unwrap().amount, price);
        wait_until("the other replica sees it", PATIENCE, async || {
            reader.get("t1").await.unwrap().price.unwrap().amount == price
        })
        .await;
    }
    // Both write at once; both end up with what is stored.
    let (a, b) = tokio::join!(
        one.upsert(vec![tent("t1", 10.0, json!({}))]),
        two.upsert(vec![tent("t1", 20.0, json!({}))])
    );
    a.unwrap();
    b.unwrap();
    wait_until("both agree with the database", PATIENCE, async || {
        let listed = one.list("item.price == 20", 1).await.unwrap().len();
        let stored = if listed == 1 { 20.0 } else { 10.0 };
        let mut same = true;
        for replica in [&one, &two] {
            same &= replica.get("t1").await.unwrap().price.unwrap().amount == stored;
        }
        same
    })
    .await;
    one.stop().await;
    two.stop().await;
}
