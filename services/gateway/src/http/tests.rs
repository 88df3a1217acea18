//! Golden cases of transcoding: what a request becomes as a message, and everything
//! that is told about one that becomes none.

use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tonic::Status;

use super::{
    encode,
    request::{parse_body, to_wire},
    routes::{Lookup, Routes},
};
use crate::methods::Methods;
use attune_errors::{Fault, Reason, reason_of, violations_of};

/// The message in canonical JSON, with its method.
fn read(verb: &str, uri: &str, body: &str) -> Result<(String, Value), Fault> {
    let routes = Routes::read(&Methods::read()).unwrap();
    let (path, query) = uri
        .split_once('?')
        .map_or((uri, None), |(p, q)| (p, Some(q)));
    let Lookup::Found(route, texts) = routes.find(&verb.parse().unwrap(), path) else {
        panic!("no route for {verb} {uri}");
    };
    let body = parse_body(body.as_bytes())?;
    let wire = to_wire(route, &texts, query, &body)?;
    let mut out = Vec::new();
    let input = route.method.descriptor.input();
    // Our own writer and the reference's reader have to agree.
    DynamicMessage::decode(input.clone(), wire.as_slice()).unwrap();
    encode::to_json(&input, wire.into(), &mut out).unwrap();
    let method = route.method.descriptor.name().to_owned();
    Ok((method, serde_json::from_slice(&out).unwrap()))
}

fn check(verb: &str, uri: &str, body: &str, method: &str, expected: Value) {
    let (found_method, found) = read(verb, uri, body).unwrap_or_else(|fault| {
        panic!("{verb} {uri} {body}: {:?}", Status::from(fault));
    });
    assert_eq!(found_method, method, "{verb} {uri}");
    assert_eq!(found, expected, "{verb} {uri} {body}");
}

fn refused(verb: &str, uri: &str, body: &str, fields: &[&str]) {
    let status: Status = read(verb, uri, body).unwrap_err().into();
    assert_eq!(
        reason_of(&status),
        Some(Reason::InvalidFields),
        "{status:?}"
    );
    let found: Vec<_> = violations_of(&status).into_iter().map(|v| v.0).collect();
    assert_eq!(found, fields, "{verb} {uri} {body}: {status:?}");
}

#[test]
fn paths_and_queries_fill_fields() {
    let rule = json!({"rule": {"ruleId": "r1", "where": "x"}, "allowMissing": true});
    check(
        "PATCH",
        "/v1/rules/r1?allow_missing=true",
        r#"{"where": "x"}"#,
        "UpdateRule",
        rule.clone(),
    );
    check(
        "PATCH",
        "/v1/rules/r1?allowMissing=true",
        r#"{"ruleId": "another", "where": "x"}"#,
        "UpdateRule",
        rule,
    );
    check(
        "PATCH",
        "/v1/rules/r1?updateMask=displayName,schedule.startTime,action.boost",
        "{}",
        "UpdateRule",
        json!({
            "rule": {"ruleId": "r1"},
            "updateMask": "displayName,schedule.startTime,action.boost",
        }),
    );
    for uri in ["/v1/rules?rule_id=r1", "/v1/rules?ruleId=r1"] {
        let expected = json!({"ruleId": "r1", "rule": {"when": "true"}});
        check("POST", uri, r#"{"when": "true"}"#, "CreateRule", expected);
    }
    check(
        "POST",
        "/v1/rules",
        r#"{"ruleId": "r1"}"#,
        "CreateRule",
        json!({"rule": {"ruleId": "r1"}}),
    );
    check(
        "GET",
        "/v1/items?page_size=5&filter=item.price+%3C+20.0&pageToken=a%26b",
        "",
        "ListItems",
        json!({"pageSize": 5, "filter": "item.price < 20.0", "pageToken": "a&b"}),
    );
    check(
        "GET",
        "/v1/profiles:lookup?namespace=email&value=a%40b.c",
        "",
        "LookupProfile",
        json!({"namespace": "email", "value": "a@b.c"}),
    );
    check(
        "PUT",
        "/v1/profiles/p/consents/marketing_email",
        r#"{"granted": true, "time": "2026-01-02T03:04:05.5+01:00"}"#,
        "SetConsent",
        json!({
            "profileId": "p",
            "purpose": "marketing_email",
            "granted": true,
            "time": "2026-01-02T02:04:05.500Z",
        }),
    );
    check(
        "POST",
        "/v1/templates/welcome:render",
        r#"{"locale": "de"}"#,
        "RenderTemplate",
        json!({"templateId": "welcome", "locale": "de"}),
    );
}

#[test]
fn both_spellings_and_all_forms_of_values_are_read() {
    let camel = r#"{"items": [{"itemId": "a", "imageUrl": "u", "stock": "7",
        "state": "DRAFT", "title": {"en": "A"}, "price": {"currencyCode": "EUR", "amount": "1.5"},
        "characteristics": {"n": 1, "nothing": null, "deep": {"a": [true, "x"]}}}]}"#;
    let snake = r#"{"items": [{"item_id": "a", "image_url": "u", "stock": 7.0,
        "state": 1, "title": {"en": "A"}, "price": {"currency_code": "EUR", "amount": 1.5},
        "characteristics": {"n": 1, "nothing": null, "deep": {"a": [true, "x"]}}, "url": null}]}"#;
    let expected = json!({"items": [{
        "itemId": "a",
        "imageUrl": "u",
        "stock": "7",
        "state": "DRAFT",
        "title": {"en": "A"},
        "price": {"currencyCode": "EUR", "amount": 1.5},
        "characteristics": {"n": 1.0, "nothing": null, "deep": {"a": [true, "x"]}},
    }]});
    for body in [camel, snake] {
        let (uri, method) = ("/v1/items:batchUpsert", "BatchUpsertItems");
        check("POST", uri, body, method, expected.clone());
    }
}

#[test]
fn collection_ignores_what_it_does_not_know() {
    check(
        "POST",
        "/v1/track?x=1",
        r#"{"userId": "u", "event": "e", "writeKey": "k", "integrations": {"a": 1},
            "timestamp": "2026-01-02T03:04:05Z"}"#,
        "Track",
        json!({"userId": "u", "event": "e", "timestamp": "2026-01-02T03:04:05Z"}),
    );
}

#[test]
fn every_fault_is_told_with_its_path() {
    refused(
        "POST",
        "/v1/items:batchUpsert",
        r#"{"items": [{"itemId": 7, "stock": 1.5, "state": "SOLD", "colour": "red"},
            {"title": {"en": 3}, "price": {"amount": "much"}, "categories": ["a", null],
             "availableFrom": "yesterday"}], "itmes": []}"#,
        &[
            "items[0].item_id",
            "items[0].stock",
            "items[0].state",
            "items[0].colour",
            "items[1].title[\"en\"]",
            "items[1].price.amount",
            "items[1].categories[1]",
            "items[1].available_from",
            "itmes",
        ],
    );
    refused(
        "POST",
        "/v1/rules?rule_id=a&rule_id=b&rule.when=x&nope=1",
        r#"{"action": {"boost": {"factor": 2}, "exclude": {}}, "priority": 1, "priority": 2}"#,
        &[
            "rule.action.exclude",
            "rule.priority",
            "rule_id",
            "rule.when",
            "nope",
        ],
    );
    refused("GET", "/v1/items?page_size=many", "", &["page_size"]);
    refused("GET", "/v1/items", "[1]", &[""]);
    refused("POST", "/v1/personalize", "[]", &[""]);
    refused("POST", "/v1/personalize?channel=web", "{}", &["channel"]);
    refused(
        "POST",
        "/v1/personalize",
        r#"{"subject": {"userId": "a", "anonymousId": "b"}}"#,
        &["subject.anonymous_id"],
    );
}

#[test]
fn free_json_is_bounded_in_depth() {
    let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    let body = format!(r#"{{"userId": "u", "event": "e", "properties": {{"a": {deep}}}}}"#);
    let status: Status = read("POST", "/v1/track", &body).unwrap_err().into();
    let field = &violations_of(&status)[0].0;
    assert!(field.starts_with("properties[\"a\"][0][0]"), "{field}");
}

#[test]
fn a_body_that_is_no_json_says_where_it_breaks() {
    let status: Status = read("POST", "/v1/personalize", "{\"a\" 1}")
        .unwrap_err()
        .into();
    assert_eq!(reason_of(&status), Some(Reason::MalformedBody));
    assert!(violations_of(&status)[0].1.contains("line 1 column 6"));
}

#[test]
fn the_openapi_document_covers_every_route_and_refers_to_nothing_missing() {
    let routes = Routes::read(&Methods::read()).unwrap();
    let document = super::openapi::document(&routes);
    let operations: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|item| item.as_object().unwrap().len())
        .sum();
    assert_eq!(operations, routes.all().len());
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    let rule = &document["paths"]["/v1/rules/{rule.ruleId}"]["patch"];
    let names: Vec<_> = rule["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["in"].as_str().unwrap(), p["name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        names,
        [
            ("path", "rule.ruleId"),
            ("query", "updateMask"),
            ("query", "allowMissing"),
            ("query", "draft"),
        ]
    );
    let item = &schemas["attune.catalog.v1.Item"]["properties"]["itemType"];
    assert_eq!(item["description"], "Id of an existing item type.");
}
