//! Segments and computed traits follow what data may be used for: where a purpose is
//! declared otherwise, or a trait for another purpose, everybody is judged anew who is
//! judged by it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use attune_api::profile::v1::{
    CreatePurposeRequest, CreateTraitRequest, DeletePurposeRequest, LegalBasis, Purpose, Regime,
    Trait, TraitType, UpdatePurposeRequest, UpdateTraitRequest,
    schema_service_client::SchemaServiceClient,
};
use prost_types::FieldMask;
use serde_json::json;
use support::*;

impl Running {
    /// Of everybody who decides nothing, in every region.
    async fn regime(&self, purpose_id: &str, regime: Regime) {
        let request = self.request(UpdatePurposeRequest {
            purpose: Some(Purpose {
                purpose_id: purpose_id.into(),
                regimes: [(String::new(), regime.into())].into(),
                ..Purpose::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["regimes".into()],
            }),
            allow_missing: false,
        });
        self.privacy.clone().update_purpose(request).await.unwrap();
    }

    async fn use_trait(&self, id: &str, purpose: &str, sensitive: bool) {
        let request = self.request(UpdateTraitRequest {
            r#trait: Some(Trait {
                trait_id: id.into(),
                r#type: TraitType::TraitText.into(),
                purpose: purpose.into(),
                sensitive,
                ..Trait::default()
            }),
            update_mask: Some(FieldMask {
                paths: ["type", "purpose", "sensitive"].map(str::to_owned).into(),
            }),
            allow_missing: true,
        });
        let mut client = SchemaServiceClient::new(self.channel.clone());
        client.update_trait(request).await.unwrap();
    }
}

#[tokio::test]
async fn a_purpose_that_is_declared_otherwise_moves_everybody() {
    on_both("terms_purpose", async |shop| {
        shop.declare("pro", r#"profile.plan == "pro""#).await;
        shop.declare("mail", r#"consent("marketing_email")"#).await;
        shop.declare("both", r#""pro" in segments && "mail" in segments"#)
            .await;
        shop.declare("seen", r#"events("view").exists()"#).await;
        let ann = identify("m1", &["u:ann"], 0, json!({"plan": "pro"}));
        let ann = shop.one(ann).await;
        let bob = shop.one(view("m2", &["u:bob"], 0, "tent")).await;
        shop.consent(&bob, "marketing_email", false).await;
        assert_eq!(shop.segments_of(&ann).await, ["pro"], "{}", shop.system);
        shop.regime("marketing_email", Regime::OptOut).await;
        shop.until_segments(&ann, &["both", "mail", "pro"]).await;
        assert_eq!(shop.segments_of(&bob).await, ["seen"], "said no");
        shop.regime("personalization", Regime::OptIn).await;
        shop.until_segments(&ann, &["mail"]).await;
        shop.regime("personalization", Regime::OptOut).await;
        shop.until_segments(&ann, &["both", "mail", "pro"]).await;
        assert_eq!(shop.members("both").await, [ann]);
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_purpose_of_its_own_decides_about_its_traits_only() {
    on_both("terms_own", async |shop| {
        let ads = Purpose {
            legal_basis: LegalBasis::LegitimateInterest.into(),
            ..Purpose::default()
        };
        let request = shop.request(CreatePurposeRequest {
            purpose_id: "ads".into(),
            purpose: Some(ads),
        });
        shop.privacy.clone().create_purpose(request).await.unwrap();
        shop.use_trait("plan", "ads", false).await;
        shop.use_trait("size", "", false).await;
        shop.compute("label", r#"profile.plan == "pro" ? "P" : "-""#)
            .await;
        shop.declare("pro", r#"profile.label == "P""#).await;
        shop.declare("large", r#"profile.size == "xl""#).await;
        shop.declare("asked", r#"consent("ads")"#).await;
        let traits = json!({"plan": "pro", "size": "xl"});
        let ann = shop.one(identify("m1", &["u:ann"], 0, traits)).await;
        let all = ["asked", "large", "pro"];
        assert_eq!(shop.segments_of(&ann).await, all, "{}", shop.system);
        shop.regime("ads", Regime::OptIn).await;
        shop.until_segments(&ann, &["large"]).await;
        assert_eq!(shop.trait_of(&ann, "label").await, json!("-"));
        shop.regime("ads", Regime::OptOut).await;
        shop.until_segments(&ann, &all).await;
        let request = shop.request(DeletePurposeRequest {
            purpose_id: "ads".into(),
            etag: String::new(),
        });
        shop.privacy.clone().delete_purpose(request).await.unwrap();
        shop.until_segments(&ann, &["large"]).await;
        shop.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_trait_for_another_purpose_moves_who_is_judged_by_it() {
    on_both("terms_trait", async |shop| {
        shop.declare("pro", r#"profile.plan == "pro""#).await;
        let ann = identify("m1", &["u:ann"], 0, json!({"plan": "pro"}));
        let ann = shop.one(ann).await;
        assert_eq!(shop.segments_of(&ann).await, ["pro"], "{}", shop.system);
        // Declared where it was not, and sensitive: nobody has agreed to that.
        let request = shop.request(CreateTraitRequest {
            trait_id: "plan".into(),
            r#trait: Some(Trait {
                r#type: TraitType::TraitText.into(),
                sensitive: true,
                ..Trait::default()
            }),
        });
        let mut client = SchemaServiceClient::new(shop.channel.clone());
        client.create_trait(request).await.unwrap();
        shop.until_segments(&ann, &[]).await;
        shop.use_trait("plan", "", false).await;
        shop.until_segments(&ann, &["pro"]).await;
        shop.use_trait("plan", "marketing_email", false).await;
        shop.until_segments(&ann, &[]).await;
        shop.consent(&ann, "marketing_email", true).await;
        assert_eq!(shop.segments_of(&ann).await, ["pro"]);
        shop.stop().await;
    })
    .await;
}
