//! Purposes, and what people decide about them by themselves or by where they are: all
//! of it honoured by the very next snapshot. On SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/purposes.rs"]
mod purposes;
mod support;

use attune_api::profile::v1::{
    Basis, CreatePurposeRequest, DeletePurposeRequest, GetPurposeRequest, LegalBasis,
    ListPurposesRequest, Purpose, Regime, SetConsentRequest, Snapshot,
};
use attune_api::time::from_ms;
use attune_errors::{Reason, violations_of};
use prost::Message as _;
use purposes::*;
use serde_json::json;
use support::*;

#[tokio::test]
async fn purposes_are_declared_changed_and_deleted() {
    on_both("purposes", async |shop| {
        let list = shop.request(ListPurposesRequest::default());
        let listed = shop
            .privacy
            .clone()
            .list_purposes(list)
            .await
            .unwrap()
            .into_inner();
        let ids: Vec<_> = listed
            .purposes
            .iter()
            .map(|p| p.purpose_id.as_str())
            .collect();
        assert_eq!(
            ids,
            [
                "analytics",
                "marketing_email",
                "marketing_push",
                "marketing_sms",
                "personalization",
                "sensitive_data"
            ]
        );
        let ads = Purpose {
            legal_basis: LegalBasis::Consent.into(),
            policy_version: "1".into(),
            ..Purpose::default()
        };
        let create = || {
            shop.request(CreatePurposeRequest {
                purpose_id: "ads".into(),
                purpose: Some(ads.clone()),
            })
        };
        let created = shop.privacy.clone().create_purpose(create()).await.unwrap();
        let created = created.into_inner();
        let again = shop
            .privacy
            .clone()
            .create_purpose(create())
            .await
            .unwrap_err();
        assert_eq!(reason(&again), Reason::ResourceExists);
        let changed = Purpose {
            policy_version: "2".into(),
            ..created.clone()
        };
        let changed = shop
            .update_purpose(changed, &["policy_version"])
            .await
            .unwrap();
        let stale = shop.update_purpose(created, &["policy_version"]).await;
        assert_eq!(reason(&stale.unwrap_err()), Reason::EtagMismatch);
        let get = shop.request(GetPurposeRequest {
            purpose_id: "ads".into(),
        });
        let got = shop
            .privacy
            .clone()
            .get_purpose(get)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(got, changed);
        let delete = |id: &str| {
            shop.request(DeletePurposeRequest {
                purpose_id: id.into(),
                etag: String::new(),
            })
        };
        shop.privacy
            .clone()
            .delete_purpose(delete("ads"))
            .await
            .unwrap();
        let gone = shop
            .privacy
            .clone()
            .delete_purpose(delete("ads"))
            .await
            .unwrap_err();
        assert_eq!(reason(&gone), Reason::ResourceNotFound);
        let kept = shop
            .privacy
            .clone()
            .delete_purpose(delete("analytics"))
            .await;
        assert_eq!(reason(&kept.unwrap_err()), Reason::WrongState);
    })
    .await;
}

#[tokio::test]
async fn a_broken_purpose_is_told_all_its_faults_and_changes_nothing() {
    on_both("purpose_faults", async |shop| {
        let broken = Purpose {
            purpose_id: "Ads!".into(),
            reconsent: true,
            regimes: [("europe".to_owned(), 7)].into(),
            tcf_purposes: vec![12, 3, 3],
            ..Purpose::default()
        };
        let create = shop.request(CreatePurposeRequest {
            purpose_id: String::new(),
            purpose: Some(broken),
        });
        let refused = shop
            .privacy
            .clone()
            .create_purpose(create)
            .await
            .unwrap_err();
        assert_eq!(
            fields(&refused),
            [
                "purpose.purpose_id",
                "purpose.legal_basis",
                "purpose.reconsent",
                "purpose.regimes[\"europe\"]",
                "purpose.regimes[\"europe\"]",
                "purpose.tcf_purposes[0]",
                "purpose.tcf_purposes[2]",
            ]
        );
        let id = shop.ann().await;
        let undeclared = SetConsentRequest {
            profile_id: id.clone(),
            purpose: "personalisation".into(),
            granted: true,
            ..SetConsentRequest::default()
        };
        let refused = shop.decide(undeclared).await.unwrap_err();
        assert_eq!(fields(&refused), ["purpose"]);
        let (_, told) = violations_of(&refused).remove(0);
        assert!(told.contains("did you mean `personalization`?"), "{told}");
        assert!(shop.history(&id).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn every_decision_is_kept_with_its_evidence() {
    on_both("history", async |shop| {
        let id = shop.ann().await;
        let grant = |source: &str, granted: bool, at: i64| SetConsentRequest {
            profile_id: id.clone(),
            purpose: "marketing_email".into(),
            granted,
            source: source.into(),
            policy_version: "3".into(),
            time: Some(from_ms(T0 + at)),
            evidence: "I agree to the newsletter.\nReally.".into(),
        };
        let held = shop.decide(grant("banner", true, 10)).await.unwrap();
        assert!(held.evidence.contains("Really"));
        shop.decide(grant("banner", true, 10)).await.unwrap();
        shop.decide(grant("settings", false, 30)).await.unwrap();
        // Too late to hold, and part of the history all the same, once.
        for _ in 0..2 {
            let late = shop.decide(grant("call-centre", true, 20)).await.unwrap();
            assert!(!late.granted);
        }
        assert_eq!(
            shop.history(&id).await,
            [
                "-marketing_email settings",
                "+marketing_email call-centre",
                "+marketing_email banner"
            ]
        );
        let seen = shop.snapshot(user("ann")).await.unwrap();
        assert!(!seen.consents["marketing_email"]);
        let profile = shop.profile(&id).await.unwrap();
        assert_eq!(profile.consents[0].source, "settings");
    })
    .await;
}

#[tokio::test]
async fn where_people_are_decides_what_holds_without_a_decision() {
    on_both("regions", async |shop| {
        let id = shop.ann().await;
        let opt_in = [("EU", Regime::OptIn), ("US-CA", Regime::OptIn)];
        shop.regimes("personalization", &opt_in).await;
        for (region, expected) in [
            ("", Basis::Full),
            ("AT", Basis::ContextOnly),
            ("US", Basis::Full),
            ("us-ca", Basis::ContextOnly),
            ("GB", Basis::Full),
        ] {
            assert_eq!(shop.basis(region, false).await, expected, "{region}");
        }
        // The last message says where they are, and the request where they are now.
        let moved = view("v2", &["u:ann"], 3, "mat");
        let moved = with_context(moved, json!({"location": {"country": "DE"}}));
        shop.one(moved).await;
        assert_eq!(shop.basis("", false).await, Basis::ContextOnly);
        assert_eq!(shop.basis("US", false).await, Basis::Full);
        assert_eq!(shop.basis("US", false).await, Basis::Full);
        let seen = shop.snapshot_from(user("ann"), "US", false).await.unwrap();
        let seen = Snapshot::decode(seen.snapshot).unwrap();
        assert_eq!(items_of(&seen), ["mat", "tent"]);
        // A decision holds wherever they are.
        shop.grant(&id, "personalization", true).await;
        assert_eq!(shop.basis("AT", false).await, Basis::Full);
        let nowhere = shop.snapshot_from(user("ann"), "Europe", false).await;
        assert_eq!(fields(&nowhere.unwrap_err()), ["region"]);
        let stranger = shop.snapshot_from(user("bob"), "AT", false).await.unwrap();
        assert_eq!(
            (stranger.found, stranger.basis()),
            (false, Basis::ContextOnly)
        );
    })
    .await;
}

#[tokio::test]
async fn people_are_asked_anew_where_the_purpose_says_so() {
    on_both("reconsent", async |shop| {
        let id = shop.ann().await;
        shop.regimes("personalization", &[("", Regime::OptIn)])
            .await;
        let grant = |version: &str| SetConsentRequest {
            profile_id: id.clone(),
            purpose: "personalization".into(),
            granted: true,
            policy_version: version.into(),
            ..SetConsentRequest::default()
        };
        shop.decide(grant("1")).await.unwrap();
        assert_eq!(shop.basis("", false).await, Basis::Full);
        let anew = Purpose {
            purpose_id: "personalization".into(),
            policy_version: "2".into(),
            reconsent: true,
            ..Purpose::default()
        };
        shop.update_purpose(anew, &["policy_version", "reconsent"])
            .await
            .unwrap();
        assert_eq!(shop.basis("", false).await, Basis::ContextOnly);
        shop.decide(grant("2")).await.unwrap();
        assert_eq!(shop.basis("", false).await, Basis::Full);
    })
    .await;
}
