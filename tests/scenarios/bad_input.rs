//! Malformed requests: each gets a precise reason and all its violations at once, and
//! leaves nothing half-written.

use attune_e2e::{Answer, Api, Deployment, Topology, on_both_topologies, shop};
use serde_json::{Value, json};

on_both_topologies!(
    every_violation_is_told_at_once,
    bodies_that_cannot_be_read_say_why,
    keys_open_only_what_they_may,
    a_batch_with_one_bad_item_writes_nothing,
);

struct Row {
    verb: &'static str,
    path: &'static str,
    body: Value,
    /// Each must be among the violations.
    fields: &'static [&'static str],
}

fn row(
    verb: &'static str,
    path: &'static str,
    body: Value,
    fields: &'static [&'static str],
) -> Row {
    Row {
        verb,
        path,
        body,
        fields,
    }
}

fn rows() -> Vec<Row> {
    let long_ago = "1969-12-31T23:59:59Z";
    let far_ahead = "2199-01-01T00:00:00Z";
    vec![
        row(
            "POST",
            "/v1/personalize",
            json!({"channel": "", "placements": [{"placement": "home", "count": 101}, {"placement": "home"}]}),
            &[
                "subject",
                "channel",
                "placements[0].count",
                "placements[1].placement",
            ],
        ),
        row(
            "POST",
            "/v1/personalize",
            json!({"subject": {"userId": "u"}, "channel": "web"}),
            &["placements"],
        ),
        // What only the rule engine can judge.
        row(
            "POST",
            "/v1/personalize",
            json!({"subject": {"userId": "u"}, "channel": "web", "placements": [{"placement": "nowhere"}, {"placement": "home", "filter": "item.price <"}]}),
            &["placements[0].placement", "placements[1].filter"],
        ),
        row(
            "POST",
            "/v1/outcomes:report",
            json!({"outcomes": [{"token": ""}, {"token": "x", "type": "CONVERSION", "value": -1, "time": long_ago}]}),
            &["outcomes[0].token", "outcomes[0].type", "outcomes[1].value"],
        ),
        row(
            "POST",
            "/v1/track",
            json!({"messageId": "m".repeat(257)}),
            &["message_id", "event"],
        ),
        row(
            "POST",
            "/v1/track",
            json!({"userId": "u", "event": "x", "timestamp": far_ahead}),
            &["timestamp"],
        ),
        row("POST", "/v1/group", json!({"userId": "u"}), &["group_id"]),
        row("POST", "/v1/alias", json!({}), &["user_id", "previous_id"]),
        row(
            "POST",
            "/v1/batch",
            json!({"batch": [{"type": "track", "userId": "u", "event": "ok"}, {"type": "shout", "userId": "u"}, {"type": "track", "userId": "u"}]}),
            &["batch[1].type", "batch[2].event"],
        ),
        row(
            "POST",
            "/v1/itemTypes",
            json!({"itemTypeId": "Not An Id", "characteristics": [{"name": "9x", "type": "TEXT"}, {"name": "ok"}, {"name": "ok", "type": "ENUM"}]}),
            &[
                "item_type.item_type_id",
                "item_type.characteristics[0].name",
                "item_type.characteristics[1].type",
                "item_type.characteristics[2].name",
                "item_type.characteristics[2].enum_values",
            ],
        ),
        row(
            "POST",
            "/v1/items:batchUpsert",
            json!({"items": [
                {"itemId": "a b", "itemType": "product", "title": {"": "x"}},
                {"itemId": "two", "itemType": "unheard-of", "title": {"": "x"}},
                {"itemId": "three", "itemType": "product", "title": {"": "x"}, "characteristics": {"weight_g": "heavy", "no_such": 1}, "price": {"currencyCode": "euro", "amount": -1}},
                {"itemId": "three", "itemType": "product", "title": {"": "x"}},
            ]}),
            &[
                "items[0].item_id",
                "items[1].item_type",
                "items[2].characteristics.weight_g",
                "items[2].characteristics.no_such",
                "items[2].price.currency_code",
                "items[2].price.amount",
                "items[3].item_id",
            ],
        ),
        row(
            "GET",
            "/v1/items?pageSize=-1&pageToken=!!",
            Value::Null,
            &["page_size", "page_token"],
        ),
        row(
            "GET",
            "/v1/items?filter=item.price%20%3C",
            Value::Null,
            &["filter"],
        ),
        row(
            "POST",
            "/v1/placements",
            json!({"placementId": "Not An Id", "strategy": "Neither This"}),
            &["placement.placement_id", "placement.strategy"],
        ),
        row(
            "POST",
            "/v1/strategies",
            json!({"strategyId": "s", "sources": [{"kind": "POPULAR", "weight": -1}, {}], "exploration": {"share": 0.9}, "filter": "item."}),
            &[
                "strategy.sources[0].weight",
                "strategy.sources[1].kind",
                "strategy.exploration.share",
                "strategy.filter",
            ],
        ),
        row(
            "POST",
            "/v1/rules",
            json!({"ruleId": "r", "action": {"pin": {"position": 0}}}),
            &["rule.action.pin.position", "rule.action.pin.item_ids"],
        ),
        row(
            "POST",
            "/v1/rules",
            json!({"ruleId": "r"}),
            &["rule.action"],
        ),
        row(
            "POST",
            "/v1/templates",
            json!({"templateId": "t", "channel": "pigeon", "defaultLocale": "xx-", "variants": []}),
            &["template.channel", "template.variants"],
        ),
        row(
            "POST",
            "/v1/messages:send",
            json!({"channel": "email", "to": "nobody"}),
            &["to"],
        ),
        row(
            "GET",
            "/v1/profiles:lookup",
            Value::Null,
            &["namespace", "value"],
        ),
        row(
            "POST",
            "/v1/apiKeys",
            json!({"scopes": []}),
            &["api_key.scopes"],
        ),
        row(
            "POST",
            "/v1/workspaces",
            json!({"workspaceId": "No Way"}),
            &["workspace_id"],
        ),
    ]
}

async fn call(api: &Api, row: &Row) -> Answer {
    match row.verb {
        "GET" => api.get(row.path).await,
        _ => api.post(row.path, row.body.clone()).await,
    }
}

async fn every_violation_is_told_at_once(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let mut wrong = Vec::new();
    for row in rows() {
        let answer = call(&api, &row).await;
        let fields = answer.violations();
        let missing: Vec<_> = row.fields.iter().filter(|f| !fields.contains(f)).collect();
        if answer.status != 400 || !missing.is_empty() {
            let (verb, path, status) = (row.verb, row.path, answer.status);
            wrong.push(format!(
                "{verb} {path}: {status} {missing:?} not in {fields:?} {}",
                answer.text
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn bodies_that_cannot_be_read_say_why(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    let unknown = json!({"ruleId": "r", "wheen": "true"});
    let answer = api.post("/v1/rules", unknown).await;
    assert_eq!(answer.reason(), "INVALID_FIELDS", "{}", answer.text);
    assert_eq!(answer.violations(), ["rule.wheen"]);
    // The Segment spec's clients send more than we know.
    let extra = json!({"userId": "u", "event": "e", "messageId": shop::message_id(), "integrations": {}, "writeKey": "x"});
    assert!(api.post("/v1/track", extra).await.is_ok());
    for broken in ["", "{", "[]", "{\"batch\": 1}", "\u{0}"] {
        let answer = api.post_text("/v1/batch", broken).await;
        assert_eq!(answer.status, 400, "{broken:?}: {}", answer.text);
        assert!(
            ["MALFORMED_BODY", "INVALID_FIELDS"].contains(&answer.reason()),
            "{}",
            answer.text
        );
    }
    let large = json!({"userId": "u", "event": "e", "properties": {"x": "y".repeat(2 << 20)}});
    // On a connection of its own: the server closes one whose request it did not read.
    let answer = deployment.api().post("/v1/track", large).await;
    assert_eq!(
        (answer.status, answer.reason()),
        (413, "PAYLOAD_TOO_LARGE"),
        "{}",
        answer.text
    );
    assert_eq!(answer.metadata("limit_bytes"), (1 << 20).to_string());
    let answer = api.get("/v1/no/such/path").await;
    assert_eq!(
        (answer.status, answer.reason()),
        (404, "METHOD_UNKNOWN"),
        "{}",
        answer.text
    );
    let answer = api.get("/v1/rules/missing").await;
    assert_eq!(
        (answer.status, answer.reason()),
        (404, "RESOURCE_NOT_FOUND"),
        "{}",
        answer.text
    );
}

async fn keys_open_only_what_they_may(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let answer = api.without_key().get("/v1/rules").await;
    assert_eq!(
        (answer.status, answer.reason()),
        (401, "KEY_MISSING"),
        "{}",
        answer.text
    );
    let answer = api
        .with_key("a-key-that-nobody-made")
        .get("/v1/rules")
        .await;
    assert_eq!(
        (answer.status, answer.reason()),
        (401, "KEY_INVALID"),
        "{}",
        answer.text
    );

    let [write, read] = ["WRITE", "READ"].map(|scope| {
        let api = api.clone();
        async move {
            let made = api
                .post(
                    "/v1/apiKeys",
                    json!({"displayName": scope, "scopes": [scope]}),
                )
                .await
                .ok();
            api.with_key(made["secret"].as_str().expect("the secret is shown once"))
        }
    });
    let (write, read) = (write.await, read.await);
    let ask = shop::question("u", "home", 1);
    let tell = || shop::viewed("u", "tents-1");
    let refused = [
        (write.post("/v1/personalize", ask.clone()).await, "read"),
        (write.get("/v1/rules").await, "admin"),
        (read.post("/v1/track", tell()).await, "write"),
        (read.get("/v1/profiles").await, "admin"),
    ];
    for (answer, scope) in refused {
        assert_eq!(
            (answer.status, answer.reason()),
            (403, "SCOPE_INSUFFICIENT"),
            "{}",
            answer.text
        );
        assert_eq!(answer.metadata("scope"), scope, "{}", answer.text);
    }
    read.post("/v1/personalize", ask).await.ok();
    write.post("/v1/track", tell()).await.ok();

    let keys = api.get("/v1/apiKeys").await.ok();
    let list = keys["apiKeys"].as_array().expect("keys are listed");
    assert!(
        list.iter()
            .all(|key| key["secret"].as_str().unwrap_or_default().is_empty())
    );
    let id = list
        .iter()
        .find(|key| key["displayName"] == "READ")
        .map(|key| key["apiKeyId"].clone());
    let id = id
        .as_ref()
        .and_then(Value::as_str)
        .expect("it is among them")
        .to_owned();
    api.delete(&format!("/v1/apiKeys/{id}")).await.ok();
    let answer = read
        .post("/v1/personalize", shop::question("u", "home", 1))
        .await;
    assert_eq!(
        answer.reason(),
        "KEY_INVALID",
        "a revoked key is closed at once"
    );
}

async fn a_batch_with_one_bad_item_writes_nothing(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    shop::import(&api).await;
    let mut changed = shop::item("tents-1");
    changed["price"]["amount"] = json!(1);
    let mut bad = shop::item("tents-2");
    bad["characteristics"]["weight_g"] = json!(true);
    let answer = api
        .post("/v1/items:batchUpsert", json!({"items": [changed, bad]}))
        .await;
    assert_eq!(
        answer.violations(),
        ["items[1].characteristics.weight_g"],
        "{}",
        answer.text
    );
    let item = api.get("/v1/items/tents-1").await.ok();
    assert_eq!(item["price"]["amount"].as_f64(), Some(20.0), "{item}");

    let batch = json!({"batch": [
        {"type": "track", "userId": "lea", "messageId": "good", "event": "x"},
        {"type": "track", "userId": "lea", "messageId": "bad"},
    ]});
    assert_eq!(api.post("/v1/batch", batch).await.status, 400);
    let lookup = api
        .get("/v1/profiles:lookup?namespace=user_id&value=lea")
        .await;
    assert_eq!(lookup.reason(), "RESOURCE_NOT_FOUND", "{}", lookup.text);
}
