//! What people want, beside what they allow: it is kept and honoured by the very next
//! snapshot; and what may not be learned from. On SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/purposes.rs"]
mod purposes;
mod support;

use attune_api::profile::v1::{
    Basis, GetPreferencesRequest, PersonalizationLevel, Preferences, Regime,
    UpdatePreferencesRequest,
};
use prost::Message as _;
use purposes::*;
use serde_json::json;
use support::*;

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
