//! Purposes, what people decide about them and by which signals, and what they want: all
//! of it honoured by the very next snapshot. On SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::{
    json::to_struct,
    profile::v1::{
        Basis, Consent, CreatePurposeRequest, DeletePurposeRequest, GetPreferencesRequest,
        GetPurposeRequest, IngestMessage, LegalBasis, ListConsentHistoryRequest,
        ListPurposesRequest, PersonalizationLevel, Preferences, Purpose, Regime, SetConsentRequest,
        SetConsentStringRequest, Snapshot, UpdatePreferencesRequest, UpdatePurposeRequest,
    },
    time::from_ms,
};
use attune_errors::{Reason, reason_of, violations_of};
use prost::Message as _;
use prost_types::FieldMask;
use serde_json::{Value as Json, json};
use support::*;
use tonic::Status;

/// Consents to the IAB's purposes 1, 2 and 3.
const FIRST_THREE: &str = "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA";

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask {
        paths: paths.iter().map(ToString::to_string).collect(),
    })
}

fn with_context(mut message: IngestMessage, context: Json) -> IngestMessage {
    message.context = to_struct(context);
    message
}

impl Running {
    async fn update_purpose(&self, purpose: Purpose, paths: &[&str]) -> Result<Purpose, Status> {
        let request = self.request(UpdatePurposeRequest {
            purpose: Some(purpose),
            update_mask: mask(paths),
            allow_missing: false,
        });
        Ok(self
            .privacy
            .clone()
            .update_purpose(request)
            .await?
            .into_inner())
    }

    async fn regimes(&self, purpose_id: &str, regimes: &[(&str, Regime)]) {
        let rows = regimes.iter();
        let purpose = Purpose {
            purpose_id: purpose_id.into(),
            regimes: rows.map(|(r, x)| ((*r).to_owned(), (*x).into())).collect(),
            ..Purpose::default()
        };
        self.update_purpose(purpose, &["regimes"]).await.unwrap();
    }

    async fn decide(&self, request: SetConsentRequest) -> Result<Consent, Status> {
        let request = self.request(request);
        Ok(self.client.clone().set_consent(request).await?.into_inner())
    }

    async fn grant(&self, profile_id: &str, purpose: &str, granted: bool) -> Consent {
        let request = SetConsentRequest {
            profile_id: profile_id.into(),
            purpose: purpose.into(),
            granted,
            ..SetConsentRequest::default()
        };
        self.decide(request).await.unwrap()
    }

    /// Purpose, sign and source, the newest first, by pages of two.
    async fn history(&self, profile_id: &str) -> Vec<String> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = self.request(ListConsentHistoryRequest {
                profile_id: profile_id.into(),
                page_size: 2,
                page_token,
            });
            let page = self
                .privacy
                .clone()
                .list_consent_history(request)
                .await
                .unwrap();
            let page = page.into_inner();
            all.extend(page.consents.iter().map(|c| {
                let sign = if c.granted { '+' } else { '-' };
                format!("{sign}{} {}", c.purpose, c.source)
            }));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }

    async fn prefer(&self, profile_id: &str, preferences: Preferences) -> Preferences {
        let request = self.request(UpdatePreferencesRequest {
            profile_id: profile_id.into(),
            preferences: Some(preferences),
            update_mask: None,
        });
        let answer = self
            .privacy
            .clone()
            .update_preferences(request)
            .await
            .unwrap();
        answer.into_inner()
    }

    async fn basis(&self, region: &str, gpc: bool) -> Basis {
        let answer = self.snapshot_from(user("ann"), region, gpc).await.unwrap();
        let snapshot = Snapshot::decode(answer.snapshot.clone()).unwrap();
        let full = snapshot.basis() == Basis::Full;
        assert_eq!(snapshot.traits.is_some(), full);
        assert_eq!(!snapshot.recent_events.is_empty(), full);
        answer.basis()
    }

    /// Somebody with a trait and an event.
    async fn ann(&self) -> String {
        self.one(identify("i", &["u:ann"], 1, json!({"plan": "gold"})))
            .await;
        self.one(view("v", &["u:ann"], 2, "tent")).await
    }
}

fn reason(status: &Status) -> Reason {
    reason_of(status).unwrap()
}

fn fields(status: &Status) -> Vec<String> {
    violations_of(status)
        .into_iter()
        .map(|(field, _)| field)
        .collect()
}

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

#[tokio::test]
async fn what_people_want_is_kept_and_honoured() {
    on_both("preferences", async |shop| {
        let id = shop.ann().await;
        let wanted = shop
            .prefer(
                &id,
                Preferences {
                    interests: vec!["climbing".into()],
                    channels: vec!["email".into()],
                    language: "de-at".into(),
                    quiet_start: "22:00".into(),
                    quiet_end: "07:00".into(),
                    ..Preferences::default()
                },
            )
            .await;
        assert_eq!(wanted.language, "de-AT");
        let seen = shop.snapshot(user("ann")).await.unwrap();
        let traits = traits_of(&seen);
        assert_eq!(traits, json!({"plan": "gold", "interests": ["climbing"]}));
        let preferences = seen.preferences.unwrap();
        assert_eq!(
            (preferences.channels, preferences.quiet_start.as_str()),
            (vec!["email".to_owned()], "22:00")
        );
        for (level, basis) in [
            (
                PersonalizationLevel::ContextPersonalization,
                Basis::ContextOnly,
            ),
            (
                PersonalizationLevel::NoPersonalization,
                Basis::NotPersonalized,
            ),
            (PersonalizationLevel::FullPersonalization, Basis::Full),
        ] {
            let level = Preferences {
                level: level.into(),
                ..Preferences::default()
            };
            shop.prefer(&id, level).await;
            assert_eq!(shop.basis("", false).await, basis);
        }
        // The same again is no news.
        let head = shop.database.log_head().await.unwrap();
        shop.prefer(
            &id,
            Preferences {
                language: "de-AT".into(),
                ..Preferences::default()
            },
        )
        .await;
        assert_eq!(shop.database.log_head().await.unwrap(), head);
        let get = shop.request(GetPreferencesRequest {
            profile_id: id.clone(),
        });
        let held = shop
            .privacy
            .clone()
            .get_preferences(get)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (held.interests.len(), held.quiet_end.as_str()),
            (1, "07:00")
        );
        let broken = shop.request(UpdatePreferencesRequest {
            profile_id: id,
            preferences: Some(Preferences {
                language: "not a language".into(),
                quiet_start: "25:00".into(),
                quiet_end: String::new(),
                ..Preferences::default()
            }),
            update_mask: mask(&["language", "quiet_start", "quiet_end"]),
        });
        let refused = shop
            .privacy
            .clone()
            .update_preferences(broken)
            .await
            .unwrap_err();
        assert_eq!(
            fields(&refused),
            [
                "preferences.quiet_start",
                "preferences.quiet_end",
                "preferences.language"
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn what_may_not_be_learned_from_is_told_so() {
    use attune_api::events::v1::{LogEntry, log_entry::Change};
    on_both("learning", async |shop| {
        let id = shop.ann().await;
        shop.grant(&id, "analytics", false).await;
        shop.one(view("v2", &["u:ann"], 3, "mat")).await;
        shop.grant(&id, "analytics", true).await;
        shop.one(view("v3", &["u:ann"], 4, "cup")).await;
        shop.regimes("analytics", &[("EU", Regime::OptIn)]).await;
        let bob = |name: &str, at, country: &str| {
            let context = json!({"location": {"country": country}});
            with_context(view(name, &["u:bob"], at, "lamp"), context)
        };
        shop.one(bob("b1", 1, "US")).await;
        shop.one(bob("b2", 2, "AT")).await;
        shop.one(view("b3", &["u:bob"], 3, "lamp")).await;
        let entries = shop.database.log_read(0, 100).await.unwrap().entries;
        let told: Vec<_> = entries
            .iter()
            .filter_map(
                |stored| match LogEntry::decode(stored.entry.clone()).unwrap().change {
                    Some(Change::EventRecorded(e)) => Some(e.personalization_allowed),
                    _ => None,
                },
            )
            .collect();
        assert_eq!(
            told,
            [true, false, true, true, false, false],
            "{}",
            shop.system
        );
    })
    .await;
}
