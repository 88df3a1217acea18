//! What was concluded of somebody from what may not be used of them where they ask is
//! withheld with it. On SQLite and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::{
    json::to_struct,
    profile::v1::{
        Basis, CreatePurposeRequest, CreateTraitRequest, LegalBasis, Purpose, Regime, Snapshot,
        Trait, TraitType, UpdatePurposeRequest, schema_service_client::SchemaServiceClient,
    },
};
use prost::Message as _;
use prost_types::FieldMask;
use serde_json::json;
use support::*;

impl Running {
    async fn purpose(&self, purpose: Purpose) {
        let request = self.request(CreatePurposeRequest {
            purpose_id: String::new(),
            purpose: Some(purpose),
        });
        self.privacy.clone().create_purpose(request).await.unwrap();
    }

    /// Also under Global Privacy Control.
    async fn keep_personalizing(&self) {
        let request = self.request(UpdatePurposeRequest {
            purpose: Some(Purpose {
                purpose_id: "personalization".into(),
                ..Purpose::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["withdrawn_by_gpc".into()],
            }),
            allow_missing: false,
        });
        self.privacy.clone().update_purpose(request).await.unwrap();
    }

    /// A text that is used for a purpose.
    async fn used_for(&self, trait_id: &str, purpose: &str) {
        let request = self.request(CreateTraitRequest {
            trait_id: trait_id.into(),
            r#trait: Some(Trait {
                r#type: TraitType::TraitText.into(),
                purpose: purpose.into(),
                ..Trait::default()
            }),
        });
        let mut client = SchemaServiceClient::new(self.channel.clone());
        client.create_trait(request).await.unwrap();
    }

    /// Segments and traits of Ann as she asks, and whether both answers agree.
    async fn shown(&self, region: &str, gpc: bool) -> (Vec<String>, Vec<String>) {
        let answer = self.snapshot_from(user("ann"), region, gpc).await.unwrap();
        assert_eq!(answer.basis(), Basis::Full, "{region}");
        let snapshot = Snapshot::decode(answer.snapshot).unwrap();
        assert_eq!(snapshot.segments, answer.segments);
        let traits = snapshot.traits.unwrap_or_default().fields;
        (snapshot.segments, traits.into_keys().collect())
    }
}

#[tokio::test]
async fn conclusions_go_where_what_they_were_drawn_from_may_not_be_used() {
    on_both("withheld", async |shop| {
        shop.purpose(Purpose {
            purpose_id: "wellbeing".into(),
            legal_basis: LegalBasis::Consent.into(),
            withdrawn_by_gpc: true,
            regimes: [
                ("US".to_owned(), Regime::OptOut.into()),
                ("EU".to_owned(), Regime::OptIn.into()),
            ]
            .into(),
            ..Purpose::default()
        })
        .await;
        shop.keep_personalizing().await;
        shop.used_for("illness", "wellbeing").await;
        shop.used_for("city", "").await;
        shop.compute("ailing", "{'by': profile.illness}").await;
        shop.compute("place", "{'in': profile.city}").await;
        shop.declare("ill", "has(profile.illness)").await;
        shop.declare("urban", "profile.city == 'Graz'").await;
        shop.declare("ill_in_town", "'ill' in segments && 'urban' in segments")
            .await;
        shop.declare("reachable", "consent('wellbeing')").await;
        let mut ann = identify(
            "m1",
            &["u:ann"],
            0,
            json!({"illness": "asthma", "city": "Graz"}),
        );
        ann.context = to_struct(json!({"location": {"country": "US"}}));
        shop.one(ann).await;

        let all = ["ill", "ill_in_town", "reachable", "urban"];
        let (segments, traits) = shop.shown("", false).await;
        assert_eq!(segments, all);
        assert_eq!(traits, ["ailing", "city", "illness", "place"]);
        // Asked from memory and, the second time, from what was read anew.
        for (region, gpc) in [("AT", false), ("", true), ("AT", true), ("AT", false)] {
            let (segments, traits) = shop.shown(region, gpc).await;
            assert_eq!(segments, ["urban"], "{region} {gpc} on {}", shop.system);
            assert_eq!(traits, ["city", "place"], "{region} {gpc}");
        }
        assert_eq!(shop.shown("US", false).await.0, all);
    })
    .await;
}
