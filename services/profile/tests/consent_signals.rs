//! What browsers and consent managers say decides too: Global Privacy Control, TCF
//! strings and the consent of Segment's clients. On SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/purposes.rs"]
mod purposes;
mod support;

use attune_api::profile::v1::{Basis, Purpose, SetConsentStringRequest};
use purposes::*;
use serde_json::json;
use support::*;

/// Consents to the IAB's purposes 1, 2 and 3.
const FIRST_THREE: &str = "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA";

#[tokio::test]
async fn global_privacy_control_withdraws_until_it_is_overruled() {
    on_both("gpc", async |shop| {
        let id = shop.ann().await;
        // Of the moment, without a trace.
        assert_eq!(shop.basis("", true).await, Basis::ContextOnly);
        assert_eq!(shop.basis("", false).await, Basis::Full);
        assert!(shop.history(&id).await.is_empty());
        let signal =
            |name: &str, at| with_context(view(name, &["u:ann"], at, "mat"), json!({"gpc": true}));
        shop.one(signal("g1", 10)).await;
        assert_eq!(shop.basis("", false).await, Basis::ContextOnly);
        assert_eq!(
            shop.history(&id).await,
            ["-personalization gpc", "-analytics gpc"]
        );
        shop.grant(&id, "personalization", true).await;
        shop.one(signal("g2", 20)).await;
        assert_eq!(shop.basis("", true).await, Basis::Full);
        assert_eq!(shop.history(&id).await.len(), 3);
        // Whose purposes it does not touch.
        let spared = Purpose {
            purpose_id: "personalization".into(),
            withdrawn_by_gpc: false,
            ..Purpose::default()
        };
        shop.update_purpose(spared, &["withdrawn_by_gpc"])
            .await
            .unwrap();
        let bob = view("b1", &["u:bob"], 1, "tent");
        shop.one(with_context(bob, json!({"gpc": true}))).await;
        let bob = shop.snapshot_from(user("bob"), "", true).await.unwrap();
        assert_eq!(bob.basis(), Basis::Full);
    })
    .await;
}

#[tokio::test]
async fn tcf_strings_decide_about_the_purposes_they_speak_of() {
    on_both("tcf", async |shop| {
        let id = shop.ann().await;
        let purpose = Purpose {
            purpose_id: "analytics".into(),
            tcf_purposes: vec![1, 2],
            ..Purpose::default()
        };
        shop.update_purpose(purpose, &["tcf_purposes"])
            .await
            .unwrap();
        let set = |tcf: &str| {
            shop.request(SetConsentStringRequest {
                profile_id: id.clone(),
                tcf: tcf.into(),
                ..SetConsentStringRequest::default()
            })
        };
        let decided = shop
            .privacy
            .clone()
            .set_consent_string(set(FIRST_THREE))
            .await;
        let decided = decided.unwrap().into_inner().consents;
        let shown: Vec<_> = decided
            .iter()
            .map(|c| (c.purpose.as_str(), c.granted))
            .collect();
        assert_eq!(shown, [("analytics", true), ("personalization", false)]);
        assert!(decided.iter().all(|c| c.evidence == FIRST_THREE));
        assert_eq!(shop.basis("", false).await, Basis::ContextOnly);
        // The same again is no news.
        let head = shop.database.log_head().await.unwrap();
        shop.privacy
            .clone()
            .set_consent_string(set(FIRST_THREE))
            .await
            .unwrap();
        assert_eq!(shop.database.log_head().await.unwrap(), head);
        let refused = shop.privacy.clone().set_consent_string(set("BOvFyG")).await;
        assert_eq!(fields(&refused.unwrap_err()), ["tcf"]);
        // In a message it comes with every one, and decides once.
        let consent = |tcf: &str| json!({"consent": {"tcf": tcf}});
        let bob =
            |name: &str, at| with_context(view(name, &["u:bob"], at, "tent"), consent(FIRST_THREE));
        let bob_id = shop.one(bob("b1", 1)).await;
        shop.grant(&bob_id, "personalization", true).await;
        shop.one(bob("b2", 2)).await;
        let seen = shop.snapshot(user("bob")).await.unwrap();
        assert_eq!((seen.basis(), seen.recent_events.len()), (Basis::Full, 2));
        let broken = with_context(view("b3", &["u:bob"], 3, "mat"), consent("CO?"));
        let refused = shop.try_send(vec![broken]).await.unwrap_err();
        assert_eq!(fields(&refused), ["messages[0].context.consent.tcf"]);
    })
    .await;
}

#[tokio::test]
async fn consent_managers_of_segments_clients_are_heeded() {
    on_both("categories", async |shop| {
        let choice = |name: &str, at, granted: bool| {
            let consent = json!({"consent": {"categoryPreferences": {
                "personalization": granted, "Advertising": true,
            }}});
            with_context(view(name, &["u:ann"], at, "tent"), consent)
        };
        shop.one(identify("i", &["u:ann"], 0, json!({"n": 1})))
            .await;
        let id = shop.one(choice("c1", 1, false)).await;
        assert_eq!(shop.basis("", false).await, Basis::ContextOnly);
        shop.one(choice("c2", 2, true)).await;
        assert_eq!(shop.basis("", false).await, Basis::Full);
        shop.one(choice("c3", 3, true)).await;
        assert_eq!(shop.history(&id).await.len(), 2);
    })
    .await;
}
