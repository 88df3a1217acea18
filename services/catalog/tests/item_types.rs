//! Item types through the real client, in process, on SQLite and PostgreSQL: how they
//! are edited, and what items hold fast.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use attune_api::catalog::v1::{
    CharacteristicType, CreateItemTypeRequest, DeleteItemRequest, DeleteItemTypeRequest,
    GetItemTypeRequest, ItemType, ListItemTypesRequest, UpdateItemTypeRequest,
};
use attune_errors::Reason;
use serde_json::json;
use support::*;

#[tokio::test]
async fn item_types_are_edited_with_etags_and_masks() {
    on_both("types", async |shop| {
        let created = shop.create_type(tent_type()).await.unwrap();
        assert!(!created.etag.is_empty() && created.create_time.is_some());
        assert_eq!(
            reason(shop.create_type(tent_type()).await),
            Reason::ResourceExists
        );
        let get = |id: &str| {
            shop.request(GetItemTypeRequest {
                item_type_id: id.into(),
            })
        };
        let read = shop
            .client
            .clone()
            .get_item_type(get("tent"))
            .await
            .unwrap();
        assert_eq!(read.into_inner(), created);
        let missing = shop.client.clone().get_item_type(get("boat")).await;
        assert_eq!(reason(missing), Reason::ResourceNotFound);

        let renamed = UpdateItemTypeRequest {
            item_type: Some(ItemType {
                item_type_id: "tent".into(),
                display_name: "Tents".into(),
                etag: created.etag.clone(),
                ..Default::default()
            }),
            update_mask: mask(&["display_name"]),
            allow_missing: false,
        };
        let updated = shop.update_type(renamed.clone()).await.unwrap();
        assert_eq!(updated.characteristics, created.characteristics);
        assert_eq!(
            reason(shop.update_type(renamed).await),
            Reason::EtagMismatch
        );

        let upsert = UpdateItemTypeRequest {
            item_type: Some(ItemType {
                item_type_id: "shoe".into(),
                ..Default::default()
            }),
            update_mask: None,
            allow_missing: true,
        };
        shop.update_type(upsert).await.unwrap();
        let list = shop.request(ListItemTypesRequest::default());
        let list = shop
            .client
            .clone()
            .list_item_types(list)
            .await
            .unwrap()
            .into_inner();
        let ids: Vec<_> = list
            .item_types
            .iter()
            .map(|t| t.item_type_id.as_str())
            .collect();
        assert_eq!(ids, ["shoe", "tent"]);

        let mut broken = tent_type();
        broken.item_type_id = "2".into();
        broken.characteristics[0].name = "price".into();
        broken.characteristics[1].name = "season".into();
        let status = shop.create_type(broken).await.unwrap_err();
        assert_eq!(
            fields(&status),
            [
                "item_type.item_type_id",
                "item_type.characteristics[0].name",
                "item_type.characteristics[2].name"
            ]
        );
        let other_id = shop.request(CreateItemTypeRequest {
            item_type_id: "boat".into(),
            item_type: Some(tent_type()),
        });
        let other_id = shop.client.clone().create_item_type(other_id).await;
        assert_eq!(fields(&other_id.unwrap_err()), ["item_type_id"]);
    })
    .await;
}

#[tokio::test]
async fn what_items_use_is_not_taken_from_them() {
    on_both("in_use", async |shop| {
        let created = shop.create_type(tent_type()).await.unwrap();
        let item = tent("t1", 1.0, json!({"brand": "x", "season": "winter"}));
        shop.upsert(vec![item.clone()]).await.unwrap();
        let change = async |edit: &dyn Fn(&mut ItemType)| {
            let mut item_type = tent_type();
            edit(&mut item_type);
            let request = UpdateItemTypeRequest {
                item_type: Some(item_type),
                update_mask: mask(&["*"]),
                allow_missing: false,
            };
            shop.update_type(request).await
        };
        let remove_type = async || {
            let request = shop.request(DeleteItemTypeRequest {
                item_type_id: "tent".into(),
                etag: String::new(),
            });
            shop.client.clone().delete_item_type(request).await
        };
        let in_use = Reason::ResourceInUse;
        assert_eq!(reason(remove_type().await), in_use);
        let without_brand = |t: &mut ItemType| drop(t.characteristics.remove(0));
        assert_eq!(reason(change(&without_brand).await), in_use);
        let number = |t: &mut ItemType| t.characteristics[0].set_type(CharacteristicType::Number);
        assert_eq!(reason(change(&number).await), in_use);
        let no_winter = |t: &mut ItemType| drop(t.characteristics[2].enum_values.pop());
        assert_eq!(reason(change(&no_winter).await), in_use);
        let get = shop.request(GetItemTypeRequest {
            item_type_id: "tent".into(),
        });
        let kept = shop
            .client
            .clone()
            .get_item_type(get)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(kept.etag, created.etag);

        // Nobody uses `persons`.
        change(&|t: &mut ItemType| drop(t.characteristics.remove(1)))
            .await
            .unwrap();
        let status = shop
            .upsert(vec![tent("t2", 1.0, json!({"persons": 2}))])
            .await;
        assert_eq!(
            fields(&status.unwrap_err()),
            ["items[0].characteristics.persons"]
        );

        // Once no item has a brand, it can go; once there is no item, so can the type.
        shop.upsert(vec![tent("t1", 1.0, json!({"season": "winter"}))])
            .await
            .unwrap();
        change(&without_brand).await.unwrap();
        assert_eq!(reason(remove_type().await), in_use);
        let delete = shop.request(DeleteItemRequest {
            item_id: "t1".into(),
            etag: String::new(),
        });
        shop.client.clone().delete_item(delete).await.unwrap();
        remove_type().await.unwrap();
        assert_eq!(
            fields(&shop.upsert(vec![item]).await.unwrap_err()),
            ["items[0].item_type"]
        );
    })
    .await;
}
