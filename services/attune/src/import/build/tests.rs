//! What rows become by a mapping, and what is said of those that become nothing.

use super::*;
use crate::import::mapping::{SHIPPED, What};
use attune_api::json::{from_struct, from_value};
use serde_json::json;

fn builder(name: &str, what: What) -> Builder {
    let (_, text) = SHIPPED.iter().find(|(n, _)| *n == name).unwrap();
    Builder::new(Mapping::parse(text, what).unwrap(), "abcdef0123456789")
}

fn built(builder: &mut Builder, values: &[(&str, &str)]) -> Built {
    let row = Row::of_texts(builder.mapping.columns.names(), values);
    builder.build(&row)
}

fn sent(built: Built) -> Record {
    match built {
        Built::Send(record) => *record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_product_with_empty_columns_is_an_item_without_them() {
    let mut builder = builder("complete-journey-products", What::Items);
    let values = [
        ("product_id", "26081"),
        ("manufacturer_id", "2"),
        ("department", "MISCELLANEOUS"),
        ("brand", "National"),
        ("product_category", ""),
        ("product_type", ""),
        ("package_size", ""),
    ];
    let Record::Item(item) = sent(built(&mut builder, &values)) else {
        panic!()
    };
    assert_eq!(item.item_id, "26081");
    assert_eq!(item.categories, ["MISCELLANEOUS"]);
    assert!(item.replenishable);
    assert_eq!(item.title[""], "Miscellaneous 26081 (National)");
    let names: Vec<_> = item.characteristics.keys().map(String::as_str).collect();
    assert_eq!(names, ["brand", "department", "manufacturer"]);
    assert_eq!(built(&mut builder, &values), Built::Repeated);
}

#[test]
fn an_item_says_whom_it_is_for() {
    let mapping = r#"
            kind = "items"
            [item]
            id = "{id}"
            type = "wine"
            audience = { constant = 'profile.age >= 18 && context.location.country in ["DE"]' }
            locales = { column = "languages", separator = " " }
            replenishable = { column = "again" }
            replenishment_days = "{lasts}"
        "#;
    let mapping = Mapping::parse(mapping, What::Items).unwrap();
    let mut builder = Builder::new(mapping, "abcdef0123456789");
    let rows = [
        (["w1", "de fr", "yes", "30"], (2, true, 30.0)),
        (["w2", "", "no", ""], (0, false, 0.0)),
    ];
    for ([id, languages, again, lasts], expected) in rows {
        let values = [
            ("id", id),
            ("languages", languages),
            ("again", again),
            ("lasts", lasts),
        ];
        let Record::Item(item) = sent(built(&mut builder, &values)) else {
            panic!()
        };
        assert!(item.audience.ends_with(r#"in ["DE"]"#), "{}", item.audience);
        let found = (
            item.locales.len(),
            item.replenishable,
            item.replenishment_days,
        );
        assert_eq!(found, expected);
    }
}

#[test]
fn a_household_is_a_profile_with_traits() {
    let mut builder = builder("complete-journey-demographics", What::Profiles);
    let values = [
        ("household_id", "1"),
        ("age", "65+"),
        ("income", "35-49K"),
        ("home_ownership", ""),
        ("household_size", "5+"),
        ("kids_count", "0"),
    ];
    let Record::Message(message) = sent(built(&mut builder, &values)) else {
        panic!()
    };
    assert_eq!(
        (message.r#type.as_str(), message.user_id.as_str()),
        ("identify", "1")
    );
    let traits = from_struct(&message.traits.unwrap());
    assert_eq!(
        traits,
        json!({"age": "65+", "income": "35-49K", "household_size": 5, "kids_count": 0})
    );
}

#[test]
fn a_line_of_a_basket_is_a_purchase() {
    let mut builder = builder("complete-journey-transactions", What::Events);
    let values = [
        ("household_id", "2261"),
        ("store_id", "309"),
        ("basket_id", "31625220889"),
        ("product_id", "940996"),
        ("quantity", "2.0"),
        ("sales_value", "3.86"),
        ("transaction_timestamp", "2017-01-28 19:06:53"),
    ];
    let Record::Message(message) = sent(built(&mut builder, &values)) else {
        panic!()
    };
    assert_eq!(message.event, "Order Completed");
    assert_eq!(message.message_id, "cj-2261-31625220889-940996");
    let properties = from_struct(&message.properties.unwrap());
    assert_eq!(properties["product_id"], "940996");
    assert_eq!(properties["quantity"], 2);
    assert_eq!(properties["revenue"], 3.86);
    assert_eq!(message.timestamp, Some(from_ms(1_485_648_413_000)));
}

#[test]
fn invoices_are_purchases_and_cancellations_are_refunds() {
    let base = [
        ("StockCode", "22087"),
        ("Description", "PAPER BUNTING"),
        ("InvoiceDate", "2009-12-01 10:33:00"),
        ("Price", "2.95"),
    ];
    let row = |more: &[(&'static str, &'static str)]| {
        let mut builder = builder("online-retail-events", What::Events);
        built(&mut builder, &[&base[..], more].concat())
    };
    let message = |b: Built| match sent(b) {
        Record::Message(message) => message,
        other => panic!("{other:?}"),
    };
    let bought = message(row(&[
        ("Invoice", "489434"),
        ("Quantity", "12"),
        ("Customer ID", "13085.0"),
    ]));
    assert_eq!(
        (bought.event.as_str(), bought.user_id.as_str()),
        ("Order Completed", "13085")
    );
    let properties = bought.properties.unwrap();
    assert_eq!(from_value(&properties.fields["revenue"]), json!(35.4));
    let returned = message(row(&[
        ("Invoice", "C489449"),
        ("Quantity", "-12"),
        ("Customer ID", "1"),
    ]));
    assert_eq!(returned.event, "Order Refunded");
    assert_eq!(
        from_value(&returned.properties.unwrap().fields["quantity"]),
        json!(12)
    );
    let guest = message(row(&[
        ("Invoice", "489434"),
        ("Quantity", "1"),
        ("Customer ID", ""),
    ]));
    assert_eq!(
        (guest.user_id.as_str(), guest.anonymous_id.as_str()),
        ("", "invoice-489434")
    );
    // Stock that was lost is nobody's behaviour.
    let lost = row(&[
        ("Invoice", "489464"),
        ("Quantity", "-240"),
        ("Customer ID", ""),
    ]);
    assert_eq!(lost, Built::Skipped);
    let broken = row(&[
        ("Invoice", "489434"),
        ("Quantity", "many"),
        ("Customer ID", "1"),
    ]);
    let Built::Rejected(reason) = broken else {
        panic!()
    };
    assert_eq!(reason, "Quantity: \"many\" is not a number");
}
