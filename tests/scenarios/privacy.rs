//! What is stored of a person is under their key, wherever it is stored, and gone with it:
//! no file of any service holds it in clear, before an erasure or after, and no copy of
//! the files does.

use std::{fs, path::Path};

use attune_e2e::{
    Deployment, PATIENCE, Topology, on_both_topologies,
    shop::{self, personalize, slots, track},
    wait_until,
};
use attune_testkit::files_with;
use serde_json::{Value, json};

on_both_topologies!(an_erased_person_is_nowhere_in_clear);

/// What the scenario says of a person.
const PERSONAL: [&str; 11] = [
    "annabel-lee-17",
    "annabel@example.org",
    "+436641234567",
    "Annabel Lee",
    "Quellenhof",
    "left-handed scissors",
    "203.0.113.77",
    "message-of-annabel",
    "browser-of-annabel",
    "Dear Annabel",
    "teal-is-her-colour",
];

const MAIL: [(&str, &str); 4] = [
    ("messaging.email.from", "Shop <hello@shop.example>"),
    ("messaging.email.smtp.host", "localhost"),
    // Nobody is there: the message stays queued.
    ("messaging.email.smtp.port", "1"),
    ("messaging.email.smtp.tls", "none"),
];

async fn an_erased_person_is_nowhere_in_clear(topology: Topology) {
    let deployment = Deployment::with(topology, &MAIL).await;
    let api = deployment.api();
    shop::import(&api).await;
    let id = live(&api).await;
    let decided = decide(&api).await;
    let message = write_to(&api, &id).await;
    // As a shop writes that knows the address alone.
    let to_the_address = write_to(&api, "").await;
    let read = format!("/v1/messages/{to_the_address}");
    assert_eq!(
        api.get(&read).await.ok()["profileId"]
            .as_str()
            .unwrap_or(""),
        ""
    );
    // Decisions are stored behind the answers.
    let decision = decided["decisionId"].as_str().unwrap().to_owned();
    let path = format!("/v1/decisions/{decision}");
    assert_eq!(api.get(&path).await.ok()["profileId"], id.as_str());
    assert_nothing_clear(&deployment, "before");
    copy(deployment.directory());

    let reason = json!({"reason": "asked for"});
    let erase = format!("/v1/profiles/{id}:erase");
    let erasure = api.post(&erase, reason.clone()).await.ok();
    assert_eq!(erasure["profileIds"][0], id.as_str(), "{erasure}");
    assert_eq!(api.post(&erase, reason).await.ok(), erasure, "once");
    assert_eq!(api.get(&format!("/v1/profiles/{id}")).await.status, 404);
    wait_until(
        "messages and decisions to be forgotten",
        PATIENCE,
        || async {
            let sent = api.get(&format!("/v1/messages/{message}")).await;
            let to_the_address = api.get(&read).await;
            let decision = api.get(&path).await.ok();
            sent.status == 404
                && to_the_address.status == 404
                && decision["profileId"]
                    .as_str()
                    .unwrap_or_default()
                    .is_empty()
        },
    )
    .await;
    assert_nothing_clear(&deployment, "after");

    // Who comes back is a stranger.
    let again = personalize(&api, "annabel-lee-17", "home", 5).await;
    assert_ne!(again["profile"]["id"], id.as_str(), "{again}");
    let audit = api.get(&format!("/v1/audit?profile_id={id}")).await.ok();
    for action in ["GetMessage", "GetDecision"] {
        let is_it = |entry: &Value| entry["action"] == action;
        let all = api.get("/v1/audit?pageSize=200").await.ok();
        assert!(entries(&all).iter().any(is_it), "{action} in {all}");
    }
    let hashes: Vec<_> = entries(&audit).iter().map(|e| e["hash"].clone()).collect();
    assert!(hashes.contains(&erasure["auditHash"]), "{audit}");
}

fn entries(audit: &Value) -> &[Value] {
    audit["entries"].as_array().map_or(&[], Vec::as_slice)
}

/// A person who is known, searched for something and was seen before.
async fn live(api: &attune_e2e::Api) -> String {
    let seen = json!({
        "anonymousId": "browser-of-annabel", "messageId": "message-of-annabel-1",
        "event": "Products Searched", "properties": {"query": "left-handed scissors"},
        "context": {"ip": "203.0.113.77"},
    });
    track(api, seen).await;
    let known = json!({
        "userId": "annabel-lee-17", "anonymousId": "browser-of-annabel",
        "messageId": "message-of-annabel-2",
        "traits": {
            "email": "annabel@example.org", "phone": "+436641234567",
            "name": "Annabel Lee", "address": {"street": "Quellenhof"},
            "favourite": "teal-is-her-colour",
        },
    });
    api.post("/v1/identify", known).await.ok();
    shop::profile_of(api, "annabel-lee-17").await
}

async fn decide(api: &attune_e2e::Api) -> Value {
    let request = json!({
        "subject": {"userId": "annabel-lee-17"}, "channel": "web",
        "placements": [{"placement": "home", "count": 5}],
        "context": {
            "page": {"type": "search", "query": "left-handed scissors",
                     "url": "https://shop.example/?for=Quellenhof"},
            "location": {"country": "AT", "city": "Quellenhof"},
            "attributes": {"name": "Annabel Lee"},
        },
    });
    let answer = api.post("/v1/personalize", request).await.ok();
    let slot = &slots(&answer, 0)[0];
    let click = json!({"outcomes": [{"token": slot["token"], "type": "CLICK"}]});
    api.post("/v1/outcomes:report", click).await.ok();
    answer["placements"][0].clone()
}

async fn write_to(api: &attune_e2e::Api, profile_id: &str) -> String {
    let message = json!({
        "channel": "email", "to": "annabel@example.org", "profileId": profile_id,
        "content": {"subject": "Dear Annabel", "text": "about the left-handed scissors"},
    });
    let sent = api.post("/v1/messages:send", message).await.ok();
    sent["messageId"].as_str().unwrap().to_owned()
}

fn assert_nothing_clear(deployment: &Deployment, step: &str) {
    for value in PERSONAL {
        let found = files_with(deployment.directory(), value.as_bytes());
        assert!(found.is_empty(), "{value} {step} the erasure: {found:?}");
    }
}

/// A backup of everything, beside it.
fn copy(folder: &Path) {
    copy_into(folder, &folder.join("backup"));
}

fn copy_into(from: &Path, to: &Path) {
    let entries: Vec<_> = fs::read_dir(from).unwrap().collect();
    fs::create_dir(to).unwrap();
    for entry in entries {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_into(&path, &copy);
        } else {
            fs::copy(&path, &copy).unwrap();
        }
    }
}
