//! The merchandiser's rules: what is boosted, buried, pinned, included and excluded is,
//! for those it is meant for, and the answer says so.

use attune_e2e::{
    Api, Deployment, PATIENCE, Topology, on_both_topologies,
    shop::{self, personalize, shown, slots},
    wait_until,
};
use serde_json::{Value, json};

on_both_topologies!(
    rules_take_effect_and_say_so,
    a_rule_applies_only_where_it_says,
    a_broken_expression_is_refused_with_its_place,
    a_misspelt_name_is_refused_once_names_are_declared,
    a_rule_goes_from_draft_to_publication_and_back,
    a_rule_keeps_to_its_hours_and_gives_way_in_its_group,
);

/// What an editor chose, in this order, so that what rules change is all that changes.
const CHOSEN: [&str; 5] = ["tents-1", "tents-2", "tents-3", "tents-4", "tents-5"];

async fn editorial(api: &Api) {
    shop::import(api).await;
    let strategy = json!({
        "strategyId": "chosen",
        "sources": [{"kind": "EDITORIAL", "params": {"itemIds": CHOSEN}}],
    });
    api.post("/v1/strategies?strategyId=chosen", strategy)
        .await
        .ok();
    shop::place(api, "window", json!({"strategy": "chosen"})).await;
    let before = personalize(api, "gil", "window", 5).await;
    assert_eq!(shown(&before), CHOSEN);
}

/// Puts a rule in force, waits until `holds` is true of what is shown, and takes it
/// away again.
async fn under_rule(api: &Api, rule: Value, holds: impl Fn(&[String]) -> bool) {
    let what = rule.to_string();
    shop::rule(api, "on-trial", rule).await;
    wait_until(&what, PATIENCE, || async {
        holds(&shown(&personalize(api, "gil", "window", 5).await))
    })
    .await;
    let answer = personalize(api, "gil", "window", 5).await;
    let touched = slots(&answer, 0).iter().any(|slot| {
        let mut reasons = slot["reasons"].as_array().into_iter().flatten();
        reasons.any(|reason| reason["ruleId"] == "on-trial")
    });
    // What is kept out leaves no slot to say so.
    assert!(touched || what.contains("exclude"), "{answer}");
    api.delete("/v1/rules/on-trial").await.ok();
    wait_until("the rule is gone", PATIENCE, || async {
        shown(&personalize(api, "gil", "window", 5).await) == CHOSEN
    })
    .await;
}

async fn rules_take_effect_and_say_so(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    editorial(&api).await;
    let fifth = r#"item.id == "tents-5""#;
    let first = r#"item.id == "tents-1""#;
    let boost = json!({"where": fifth, "action": {"boost": {"factor": 100}}});
    under_rule(&api, boost, |shown| shown[0] == "tents-5").await;
    let bury = json!({"where": first, "action": {"bury": {"factor": 100}}});
    under_rule(&api, bury, |shown| {
        shown.last().is_some_and(|id| id == "tents-1")
    })
    .await;
    let pin = json!({"action": {"pin": {"position": 2, "itemIds": ["packs-6", "packs-5"]}}});
    under_rule(&api, pin, |shown| {
        shown[1] == "packs-6" && shown[2] == "packs-5"
    })
    .await;
    let exclude = json!({"where": r#"item.brand == "Halden""#, "action": {"exclude": {}}});
    // What the editors chose is not enough then, and other sources fill up.
    under_rule(&api, exclude, |shown| {
        let halden = ["-1", "-2", "-3"];
        let kept_out = |id: &String| halden.iter().any(|end| id.ends_with(end));
        shown[..2] == ["tents-4", "tents-5"] && !shown.iter().any(kept_out)
    })
    .await;
}

async fn a_rule_applies_only_where_it_says(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    editorial(&api).await;
    shop::place(&api, "elsewhere", json!({"strategy": "chosen"})).await;
    for (user, plan) in [("hans", "gold"), ("ida", "basic")] {
        let identify =
            json!({"userId": user, "messageId": shop::message_id(), "traits": {"plan": plan}});
        api.post("/v1/identify", identify).await.ok();
    }
    let rule = json!({
        "when": r#"profile.plan == "gold" && context.location.country == "AT""#,
        "action": {"include": {"itemIds": ["boots-6"]}},
        "placements": ["window"],
        "channels": ["web"],
    });
    shop::rule(&api, "gold", rule).await;
    let asked = |user: &str, placement: &str, channel: &str, country: &str| {
        let mut question = shop::question(user, placement, 6);
        question["channel"] = json!(channel);
        question["context"] = json!({"location": {"country": country}});
        let api = api.clone();
        async move {
            let answer = api.post("/v1/personalize", question).await.ok();
            shown(&answer).contains(&"boots-6".to_owned())
        }
    };
    wait_until("the rule is in force", PATIENCE, || {
        asked("hans", "window", "web", "AT")
    })
    .await;
    let others = [
        ("ida", "window", "web", "AT"),
        ("hans", "elsewhere", "web", "AT"),
        ("hans", "window", "app", "AT"),
        ("hans", "window", "web", "DE"),
    ];
    for (user, placement, channel, country) in others {
        let applied = asked(user, placement, channel, country).await;
        assert!(!applied, "{user} {placement} {channel} {country}");
    }
}

async fn a_broken_expression_is_refused_with_its_place(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    let rule = json!({
        "ruleId": "broken",
        "when": "profile.plan ==",
        "where": "itm.price < 20.0",
        "action": {"boost": {"factor": 0.5}},
    });
    let answer = api.post("/v1/rules?ruleId=broken", rule).await;
    assert_eq!(answer.reason(), "INVALID_FIELDS", "{}", answer.text);
    let fields = answer.violations();
    for field in ["rule.when", "rule.where", "rule.action.boost.factor"] {
        assert!(fields.contains(&field), "{field} is not among {fields:?}");
    }
}

async fn a_misspelt_name_is_refused_once_names_are_declared(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    let rule = |when: &str| json!({"when": when, "action": {"boost": {"factor": 2}}});
    let misspelt = r#"profile.pln == "gold""#;
    // Anything goes as long as nothing is declared.
    let made = api.post("/v1/rules?ruleId=early", rule(misspelt)).await;
    assert!(made.is_ok(), "{}", made.text);
    let declared = json!({"type": "TRAIT_ENUM", "enumValues": ["gold", "basic"]});
    api.post("/v1/traits?traitId=plan", declared).await.ok();
    let declared =
        json!({"closed": true, "properties": [{"name": "stars", "type": "TRAIT_NUMBER"}]});
    api.post("/v1/eventTypes?eventTypeId=rated", declared)
        .await
        .ok();
    let refused = [
        (misspelt, "did you mean `plan`?"),
        (r#"profile.plan == "golden""#, "golden"),
        ("profile.plan > 3.0", "number"),
        (r#"events("ratd").exists()"#, "did you mean `rated`?"),
        (
            r#"events("rated").where(e, e.star > 3.0).exists()"#,
            "did you mean `stars`?",
        ),
    ];
    for (when, hint) in refused {
        let answer = api.post("/v1/rules?ruleId=late", rule(when)).await;
        assert_eq!(answer.reason(), "INVALID_FIELDS", "{when}: {}", answer.text);
        assert_eq!(answer.violations(), ["rule.when"], "{when}");
        assert!(answer.text.contains(hint), "{when}: {}", answer.text);
    }
    let known = r#"profile.plan == "gold" && events("rated").within("7d").avg("stars") > 3.0"#;
    let made = api.post("/v1/rules?ruleId=late", rule(known)).await;
    assert!(made.is_ok(), "{}", made.text);
    // Its scorer's terms are held against the same names.
    let strategy = json!({"scorer": {"terms": [{"expression": "profile.pln == \"gold\" ? 1.0 : 0.0", "weight": 1}]}});
    let answer = api.post("/v1/strategies?strategyId=scored", strategy).await;
    assert!(
        answer.text.contains("did you mean `plan`?"),
        "{}",
        answer.text
    );
    // What it says of people breaks the same declarations.
    let identify = json!({"userId": "hans", "traits": {"plan": "golden"}});
    let answer = api.post("/v1/identify", identify).await;
    assert_eq!(answer.violations(), ["traits.plan"], "{}", answer.text);
    let track = json!({"userId": "hans", "event": "Rated", "properties": {"star": 5}});
    let answer = api.post("/v1/track", track).await;
    assert_eq!(answer.violations(), ["properties.star"], "{}", answer.text);
    let report = api.get("/v1/traits:quality").await.ok();
    assert_eq!(report["traits"][0]["rejectedCount"], json!("1"), "{report}");
}

fn pinned(item: &str) -> Value {
    json!({"action": {"pin": {"position": 1, "itemIds": [item]}}, "tags": ["spring"]})
}

/// Whoever asks next is shown this first, on every replica.
async fn first(api: &Api, item: &str) {
    wait_until(item, PATIENCE, || async {
        shown(&personalize(api, "gil", "window", 5).await)[0] == item
    })
    .await;
}

async fn a_rule_goes_from_draft_to_publication_and_back(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    editorial(&api).await;
    // An item is pinned right after it was made, before the log has told of it.
    api.post("/v1/items?itemId=packs-7", shop::item("packs-7"))
        .await
        .ok();
    api.post("/v1/rules?ruleId=hero", pinned("packs-7"))
        .await
        .ok();
    let draft = "/v1/rules/hero?draft=true";
    let kept = api.patch(draft, pinned("boots-6")).await.ok();
    assert_eq!(kept["state"], "RULE_DRAFT", "{kept}");
    let diff = api.get("/v1/rules/hero:diff").await.ok();
    let change = &diff["changes"][0];
    assert_eq!(change["field"], "action.pin.item_ids", "{diff}");
    assert_eq!(change["before"], r#"["packs-7"]"#);
    assert_eq!(change["after"], r#"["boots-6"]"#);
    let drafts = api.get("/v1/rules?drafts=true&tag=spring").await.ok();
    assert_eq!(drafts["rules"][0]["ruleId"], "hero", "{drafts}");
    first(&api, "packs-7").await;

    let wish = json!({"tag": "spring", "comment": "spring is here"});
    let published = api.post("/v1/rules:publish", wish).await.ok();
    assert_eq!(published["rules"][0]["version"], "2", "{published}");
    first(&api, "boots-6").await;
    let versions = api.get("/v1/rules/hero/versions").await.ok();
    assert_eq!(
        versions["versions"][0]["comment"], "spring is here",
        "{versions}"
    );
    let back = api
        .post("/v1/rules/hero:rollback", json!({"version": 1}))
        .await
        .ok();
    assert_eq!(back["version"], "3", "{back}");
    first(&api, "packs-7").await;

    let again = api.post("/v1/rules?ruleId=rival", pinned("boots-5")).await;
    assert_eq!(
        again.violations(),
        ["rule.action.pin.position"],
        "{}",
        again.text
    );
    let nothing = api.post("/v1/rules?ruleId=rival", pinned("boots-99")).await;
    assert_eq!(
        nothing.violations(),
        ["rule.action.pin.item_ids[0]"],
        "{}",
        nothing.text
    );
    api.patch(draft, pinned("boots-5")).await.ok();
    api.post("/v1/rules/hero:discardDraft", json!({}))
        .await
        .ok();
    let none = api.get("/v1/rules/hero:diff").await;
    assert_eq!(none.reason(), "WRONG_STATE", "{}", none.text);
}

async fn a_rule_keeps_to_its_hours_and_gives_way_in_its_group(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let api = deployment.api();
    editorial(&api).await;
    let mut night = pinned("packs-6");
    night["schedule"] = json!({
        "timeZone": "Europe/Berlin",
        "windows": [{"days": ["SATURDAY"], "start": "22:00", "end": "02:00"}],
    });
    night["exclusionGroup"] = json!("hero");
    night["priority"] = json!(1);
    let mut usual = pinned("boots-6");
    usual["exclusionGroup"] = json!("hero");
    api.post("/v1/rules?ruleId=night", night).await.ok();
    api.post("/v1/rules?ruleId=usual", usual).await.ok();
    first(&api, "boots-6").await;
    // The clocks go forward at 02:00 that night.
    for (moment, expected) in [
        ("2026-03-28T20:59:59Z", ["boots-6", "tents-1"]),
        ("2026-03-28T21:00:00Z", ["packs-6", "tents-1"]),
        ("2026-03-29T00:59:59Z", ["packs-6", "tents-1"]),
        ("2026-03-29T01:00:00Z", ["boots-6", "tents-1"]),
    ] {
        let mut question = shop::question("gil", "window", 2);
        question["context"] = json!({"time": moment});
        let answer = api.post("/v1/personalize", question).await.ok();
        assert_eq!(shown(&answer), expected, "{moment}");
    }
}
