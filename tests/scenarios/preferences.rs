//! Customers come for their own data: a token from whoever recognised them opens what is
//! known about them, and about nobody else, and closes with their last wish.

use attune_e2e::{
    Answer, Api, Deployment, Topology, on_both_topologies,
    shop::{self, personalize, track, viewed},
};
use serde_json::{Value, json};

on_both_topologies!(customers_see_change_take_away_and_erase_what_is_known_about_them);

async fn customers_see_change_take_away_and_erase_what_is_known_about_them(topology: Topology) {
    let deployment = Deployment::start(topology).await;
    let admin = deployment.api();
    shop::import(&admin).await;
    let identify = json!({"userId": "olga", "messageId": shop::message_id(), "traits": {"city": "Ulm", "plan": "gold"}});
    admin.post("/v1/identify", identify).await.ok();
    track(&admin, viewed("olga", "boots-3")).await;
    track(&admin, viewed("pia", "packs-6")).await;
    let olga = shop::profile_of(&admin, "olga").await;
    let me = admin.with_key(&token(&admin, "olga").await);

    see(&me, &olga).await;
    change(&me, &admin).await;
    take_away(&me, &admin, &olga).await;
    erase(&me, &admin, &olga).await;
}

async fn token(admin: &Api, user: &str) -> String {
    let scopes = [
        "SUBJECT_VIEW",
        "SUBJECT_CHANGE",
        "SUBJECT_EXPORT",
        "SUBJECT_ERASE",
    ];
    let wanted = json!({"subject": {"userId": user}, "ttl": "600s", "scopes": scopes});
    let made = admin.post("/v1/subjectTokens", wanted).await.ok();
    made["token"].as_str().unwrap_or_default().to_owned()
}

async fn see(me: &Api, olga: &str) {
    let profile = me.get("/v1/me").await.ok();
    assert_eq!(profile["profileId"], *olga);
    assert_eq!(profile["traits"]["city"], "Ulm");
    let events = me.get("/v1/me/events").await.ok();
    assert_eq!(events["events"][0]["items"][0]["itemId"], "boots-3");
    // Neither a name of somebody else nor the token's own opens another's data.
    assert_eq!(
        me.get(&format!("/v1/profiles/{olga}")).await.reason(),
        "KEY_INVALID"
    );
    for stranger in [
        me.with_key(olga),
        me.with_key("attune_subject_AAAA"),
        me.without_key(),
    ] {
        let answer = stranger.get("/v1/me").await;
        assert_eq!(
            (answer.status, answer.reason()),
            (401, "SUBJECT_TOKEN_INVALID")
        );
    }
}

async fn change(me: &Api, admin: &Api) {
    let traits = json!({"traits": {"city": "Bonn", "plan": null}});
    let profile = me.patch("/v1/me", traits).await.ok();
    assert_eq!(profile["traits"], json!({"city": "Bonn"}));
    let nothing = me.patch("/v1/me", json!({"traits": {}})).await;
    assert_eq!(nothing.violations(), ["traits"]);
    for (granted, basis) in [(false, "CONTEXT_ONLY"), (true, "FULL")] {
        let decision = json!({"granted": granted, "policyVersion": "3"});
        let consent = me
            .put("/v1/me/consents/personalization", decision)
            .await
            .ok();
        assert_eq!(consent["source"], "preference_center");
        let answer = personalize(admin, "olga", "home", 3).await;
        assert_eq!(answer["basis"], basis, "the very next answer: {answer}");
    }
    for (level, basis) in [
        ("CONTEXT_PERSONALIZATION", "CONTEXT_ONLY"),
        ("FULL_PERSONALIZATION", "FULL"),
    ] {
        let wish = json!({"level": level, "language": "de"});
        let wished = me.patch("/v1/me/preferences", wish).await.ok();
        assert_eq!(wished["level"], level);
        let answer = personalize(admin, "olga", "home", 3).await;
        assert_eq!(answer["basis"], basis, "the very next answer: {answer}");
    }
    let wishes = me.get("/v1/me/preferences").await.ok();
    assert_eq!(wishes["language"], "de");
    let decided = me.get("/v1/me/consents:history").await.ok();
    let decided: Vec<_> = decided["consents"].as_array().unwrap().iter().collect();
    assert_eq!(decided.len(), 2);
    let faulty = me
        .put("/v1/me/consents/No-Purpose", json!({"granted": true}))
        .await;
    assert_eq!(faulty.reason(), "INVALID_FIELDS");
}

fn parts<'a>(export: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let parts = export.iter().filter(|part| part["kind"] == *kind);
    parts.map(|part| &part["data"]).collect()
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let lines = answer.text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn take_away(me: &Api, admin: &Api, olga: &str) {
    let mine = lines(&me.get("/v1/me:export").await);
    assert_eq!(
        parts(&mine, "profile")[0]["traits"],
        json!({"city": "Bonn"})
    );
    assert_eq!(parts(&mine, "event").len(), 1);
    assert!(!parts(&mine, "trait_history").is_empty());
    assert!(!format!("{mine:?}").contains("packs-6"), "somebody else's");
    let seen = parts(&mine, "audit");
    assert!(
        seen.iter()
            .any(|e| e["actor"] == "subject" && e["action"] == "ExportProfile")
    );
    // The operator made the token, and so has looked.
    assert!(
        seen.iter()
            .any(|e| e["actor"] == "bootstrap" && e["action"] == "LookupProfile")
    );
    let theirs = lines(&admin.get(&format!("/v1/profiles/{olga}:export")).await);
    assert_eq!(parts(&theirs, "event"), parts(&mine, "event"));
}

async fn erase(me: &Api, admin: &Api, olga: &str) {
    let erasure = me.post("/v1/me:erase", json!({})).await.ok();
    assert_eq!(erasure["profileIds"], json!([olga]));
    let answer = me.get("/v1/me").await;
    assert_eq!(
        (answer.status, answer.reason()),
        (401, "SUBJECT_TOKEN_INVALID")
    );
    let traits = json!({"traits": {"city": "Kiel"}});
    assert_eq!(
        me.patch("/v1/me", traits).await.reason(),
        "SUBJECT_TOKEN_INVALID"
    );
    assert_eq!(
        me.get("/v1/me:export").await.reason(),
        "SUBJECT_TOKEN_INVALID"
    );
    assert_eq!(admin.get(&format!("/v1/profiles/{olga}")).await.status, 404);
    let audit = admin.get(&format!("/v1/audit?profileId={olga}")).await.ok();
    let proof = &audit["entries"][0];
    assert_eq!(
        (&proof["action"], &proof["actor"]),
        (&json!("EraseProfile"), &json!("subject"))
    );
    assert_eq!(proof["hash"], erasure["auditHash"]);
    let verified = admin.get("/v1/audit:verify").await.ok();
    assert_eq!(verified["intact"], true, "{verified}");
}
