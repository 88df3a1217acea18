//! Whether an item may be stored: its own fields, and its characteristics as its type
//! declares them.

use std::collections::{BTreeMap, HashMap};

use attune_api::{
    catalog::v1::{Item, ItemState},
    r#type::v1::Money,
};
use attune_errors::Violations;
use prost::Message;
use prost_types::Timestamp;
use url::Url;

use super::{
    audience::{self, Audiences},
    characteristic, suggestion,
};
use crate::domain::item_type::{KnownType, KnownTypes};

const ITEM_ID_MAX: usize = 128;
const ITEM_BYTES_MAX: usize = 64 << 10;
const URL_BYTES_MAX: usize = 2048;
const CATEGORIES_MAX: usize = 16;
const CATEGORY_CHARACTERS_MAX: usize = 128;
const TITLE_CHARACTERS_MAX: usize = 1024;
const DESCRIPTION_CHARACTERS_MAX: usize = 32_768;
pub(crate) const BATCH_ITEMS_MAX: usize = 1000;

/// All that is wrong with a batch, items at their index.
pub(crate) fn check_batch(items: &[Item], types: &KnownTypes) -> Result<(), Violations> {
    let mut violations = Violations::new();
    if items.is_empty() || items.len() > BATCH_ITEMS_MAX {
        violations.push("items", "must be 1 to 1000 items");
        return Err(violations);
    }
    let mut first_seen: HashMap<&str, usize> = HashMap::with_capacity(items.len());
    let mut audiences = Audiences::new();
    for (index, item) in items.iter().enumerate() {
        violations.within_item("items", index, |violations| {
            check(item, types, &mut audiences, violations);
            if let Some(first) = first_seen.get(item.item_id.as_str()) {
                let rule = format!("must not be that of items[{first}] too");
                violations.push("item_id", rule);
            }
        });
        first_seen.entry(&item.item_id).or_insert(index);
    }
    violations.into_result()
}

/// All that is wrong with one item, below the field `item`.
pub(crate) fn check_one(item: &Item, types: &KnownTypes) -> Result<(), Violations> {
    let mut violations = Violations::new();
    let mut audiences = Audiences::new();
    violations.within("item", |violations| {
        check(item, types, &mut audiences, violations);
    });
    violations.into_result()
}

fn check<'a>(
    item: &'a Item,
    types: &KnownTypes,
    audiences: &mut Audiences<'a>,
    violations: &mut Violations,
) {
    if !is_item_id(&item.item_id) {
        let rule = "must be 1 to 128 printable characters without `/` or white space";
        violations.push("item_id", rule);
    }
    check_texts("title", &item.title, TITLE_CHARACTERS_MAX, violations);
    check_texts(
        "description",
        &item.description,
        DESCRIPTION_CHARACTERS_MAX,
        violations,
    );
    check_url("url", &item.url, violations);
    check_url("image_url", &item.image_url, violations);
    check_categories(&item.categories, violations);
    check_type(item, types, violations);
    if let Some(price) = &item.price {
        violations.within("price", |violations| check_price(price, violations));
    }
    if item.stock.is_some_and(|stock| stock < 0) {
        violations.push("stock", "must not be negative");
    }
    check_times(item, violations);
    if ItemState::try_from(item.state).is_err() {
        violations.push("state", "must be a state that exists");
    }
    audience::check(item, audiences, violations);
    if item.encoded_len() > ITEM_BYTES_MAX {
        violations.push("", "must not be larger than 64 KiB");
    }
}

pub(crate) fn is_item_id(id: &str) -> bool {
    let printable = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
    // Most ids are ASCII, where bytes are characters.
    !id.is_empty()
        && (id.len() <= ITEM_ID_MAX || id.chars().count() <= ITEM_ID_MAX)
        && id.chars().all(printable)
}

fn check_texts(
    field: &str,
    texts: &BTreeMap<String, String>,
    characters_max: usize,
    violations: &mut Violations,
) {
    for (locale, text) in texts {
        if !locale.is_empty() && !is_locale(locale) {
            let rule = "must be a BCP 47 language tag such as `de-AT`, or empty for the default";
            violations.push(format!("{field}[{locale:?}]"), rule);
        }
        if text.len() > characters_max && text.chars().count() > characters_max {
            let rule = format!("must have at most {characters_max} characters");
            violations.push(format!("{field}[{locale:?}]"), rule);
        }
    }
}

/// The shape of a language tag; whether the language exists is not asked.
pub(super) fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        })
        && text.len() <= 35
}

fn check_url(field: &str, url: &str, violations: &mut Violations) {
    if url.is_empty() {
        return;
    }
    let parsed = (url.len() <= URL_BYTES_MAX).then(|| Url::parse(url));
    let fits = matches!(parsed, Some(Ok(url)) if matches!(url.scheme(), "http" | "https"));
    if !fits {
        let rule = "must be an absolute http or https URL of at most 2048 bytes";
        violations.push(field, rule);
    }
}

fn check_categories(categories: &[String], violations: &mut Violations) {
    if categories.len() > CATEGORIES_MAX {
        violations.push("categories", "must be at most 16");
    }
    for (index, category) in categories.iter().enumerate() {
        let characters = category.chars().count();
        if category.trim().is_empty() || characters > CATEGORY_CHARACTERS_MAX {
            let rule = "must be 1 to 128 characters";
            violations.push(format!("categories[{index}]"), rule);
        }
    }
}

fn check_type(item: &Item, types: &KnownTypes, violations: &mut Violations) {
    match types.get(&item.item_type) {
        Some(known) => check_characteristics(item, known, violations),
        None => {
            let near = suggestion(&item.item_type, types.keys().map(String::as_str));
            let rule = format!("must be the id of an item type that exists{near}");
            violations.push("item_type", rule);
        }
    }
}

fn check_characteristics(item: &Item, known: &KnownType, violations: &mut Violations) {
    for (name, value) in &item.characteristics {
        let rule = match known.characteristic(name) {
            Some(definition) => characteristic::broken_rule(definition, value),
            None => {
                let near = suggestion(name, known.characteristic_names());
                let item_type = &item.item_type;
                Some(format!(
                    "is no characteristic of item type `{item_type}`{near}"
                ))
            }
        };
        if let Some(rule) = rule {
            violations.push(format!("characteristics.{name}"), rule);
        }
    }
}

fn check_price(price: &Money, violations: &mut Violations) {
    let code = price.currency_code.as_bytes();
    if code.len() != 3 || !code.iter().all(u8::is_ascii_uppercase) {
        let rule = "must be a currency code of ISO 4217 such as `EUR`";
        violations.push("currency_code", rule);
    }
    if !price.amount.is_finite() || price.amount < 0.0 {
        violations.push("amount", "must be a finite number, and not negative");
    }
}

fn check_times(item: &Item, violations: &mut Violations) {
    let times = [
        ("available_from", &item.available_from),
        ("available_to", &item.available_to),
    ];
    for (field, time) in times {
        if time.as_ref().is_some_and(|time| !is_time(time)) {
            let rule = "must be a time in the years 1 to 9999";
            violations.push(field, rule);
        }
    }
    if let (Some(from), Some(to)) = (&item.available_from, &item.available_to)
        && (from.seconds, from.nanos) >= (to.seconds, to.nanos)
    {
        violations.push("available_to", "must be after available_from");
    }
}

/// What `google.protobuf.Timestamp` allows.
fn is_time(time: &Timestamp) -> bool {
    (-62_135_596_800..=253_402_300_799).contains(&time.seconds)
        && (0..1_000_000_000).contains(&time.nanos)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use attune_api::{
        catalog::v1::{CharacteristicDefinition, CharacteristicType, ItemType},
        json::to_value,
    };
    use serde_json::json;

    use super::*;

    fn types() -> KnownTypes {
        let item_type = ItemType {
            item_type_id: "tent".into(),
            characteristics: vec![CharacteristicDefinition {
                name: "brand".into(),
                r#type: CharacteristicType::Text.into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        [("tent".to_owned(), Arc::new(KnownType::new(item_type)))].into()
    }

    fn good() -> Item {
        Item {
            item_id: "tent-1".into(),
            item_type: "tent".into(),
            title: [
                (String::new(), "Tent".to_owned()),
                ("de-AT".into(), "Zelt".into()),
            ]
            .into(),
            url: "https://shop.example/tent-1".into(),
            categories: vec!["Camping".into()],
            characteristics: [("brand".to_owned(), to_value(json!("Halden")))].into(),
            price: Some(Money {
                currency_code: "EUR".into(),
                amount: 0.0,
            }),
            stock: Some(0),
            available_from: Some(Timestamp {
                seconds: 1,
                nanos: 0,
            }),
            available_to: Some(Timestamp {
                seconds: 1,
                nanos: 1,
            }),
            ..Default::default()
        }
    }

    fn fields(items: &[Item]) -> Vec<String> {
        let violations = check_batch(items, &types()).err().unwrap_or_default();
        violations.iter().map(|v| v.field.clone()).collect()
    }

    /// Changes a good item and tells what is said of it.
    fn check(change: impl Fn(&mut Item), expected: &[&str]) {
        let mut item = good();
        change(&mut item);
        let expected: Vec<_> = expected.iter().map(|f| format!("items[0].{f}")).collect();
        assert_eq!(fields(&[item]), expected);
    }

    #[test]
    fn each_field_is_told_by_its_path() {
        check(|_| (), &[]);
        check(|i| i.item_id = String::new(), &["item_id"]);
        check(|i| i.item_id = "a b".into(), &["item_id"]);
        check(|i| i.item_id = "a/b".into(), &["item_id"]);
        check(|i| i.item_id = "é".repeat(128), &[]);
        check(|i| i.item_id = "x".repeat(129), &["item_id"]);
        check(|i| i.item_type = "tend".into(), &["item_type"]);
        check(
            |i| drop(i.title.insert("de_AT".into(), "x".into())),
            &["title[\"de_AT\"]"],
        );
        check(|i| i.url = "/tent-1".into(), &["url"]);
        check(|i| i.image_url = "ftp://x.example/a".into(), &["image_url"]);
        check(|i| i.categories.push(" ".into()), &["categories[1]"]);
        check(
            |i| drop(i.characteristics.insert("brand".into(), to_value(json!(3)))),
            &["characteristics.brand"],
        );
        check(
            |i| {
                drop(
                    i.characteristics
                        .insert("brnd".into(), to_value(json!("x"))),
                )
            },
            &["characteristics.brnd"],
        );
        let price = |currency_code: &str, amount| {
            let currency_code = currency_code.to_owned();
            Some(Money {
                currency_code,
                amount,
            })
        };
        check(|i| i.price = price("eur", 1.0), &["price.currency_code"]);
        check(|i| i.price = price("EUR", f64::NAN), &["price.amount"]);
        check(
            |i| i.price = price("€", -1.0),
            &["price.currency_code", "price.amount"],
        );
        check(|i| i.stock = Some(-1), &["stock"]);
        check(|i| i.available_to = i.available_from, &["available_to"]);
        let far = Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        };
        check(|i| i.available_to = Some(far), &["available_to"]);
        check(|i| i.state = 17, &["state"]);
        check(|i| i.audience = "profile.age >= 18".into(), &[]);
        check(|i| i.audience = "profile.age >=".into(), &["audience"]);
        check(|i| i.audience = "item.price > 1.0".into(), &["audience"]);
        let locales = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        check(|i| i.locales = locales(&["de", "fr-CA"]), &[]);
        check(|i| i.locales = locales(&["de_AT", "de"]), &["locales[0]"]);
        check(
            |i| i.locales = locales(&["de-AT", "DE-at"]),
            &["locales[1]"],
        );
        check(|i| i.locales = vec!["de".into(); 51], &["locales"]);
        let lasts = |days, replenishable| {
            move |i: &mut Item| (i.replenishment_days, i.replenishable) = (days, replenishable)
        };
        check(lasts(30.5, true), &[]);
        check(lasts(0.0, true), &[]);
        check(lasts(30.5, false), &["replenishment_days"]);
        check(lasts(-1.0, true), &["replenishment_days"]);
        check(lasts(f64::NAN, true), &["replenishment_days"]);
    }

    #[test]
    fn all_violations_of_all_items_are_told_and_the_nearest_name() {
        let mut bad = good();
        bad.stock = Some(-1);
        bad.characteristics
            .insert("brnd".into(), to_value(json!("x")));
        let violations = check_batch(&[good(), bad], &types()).unwrap_err();
        let told: Vec<_> = violations.iter().collect();
        let told_fields: Vec<_> = told.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(
            told_fields,
            [
                "items[1].characteristics.brnd",
                "items[1].stock",
                "items[1].item_id"
            ]
        );
        assert!(told[0].rule.contains("`brand`"), "{}", told[0].rule);
        assert!(told[2].rule.contains("items[0]"), "{}", told[2].rule);
    }

    #[test]
    fn an_audience_that_many_items_have_is_told_at_each_with_its_place() {
        let mut young = good();
        young.audience = "profile.age > 3 &&".into();
        let mut old = young.clone();
        old.item_id = "tent-2".into();
        let violations = check_batch(&[young, old], &types()).unwrap_err();
        let told: Vec<_> = violations.iter().collect();
        let told_fields: Vec<_> = told.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(told_fields, ["items[0].audience", "items[1].audience"]);
        assert!(told[0].rule.contains("1:19"), "{}", told[0].rule);
    }

    #[test]
    fn a_batch_has_1_to_1000_items() {
        assert_eq!(fields(&[]), ["items"]);
        assert_eq!(fields(&vec![good(); 1001]), ["items"]);
    }
}
