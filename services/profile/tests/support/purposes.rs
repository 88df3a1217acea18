//! What tests say and ask about purposes, decisions and preferences, in short.

#![allow(dead_code)] // Each test binary uses its own part of it.

use attune_api::{
    json::to_struct,
    profile::v1::{
        Basis, Consent, IngestMessage, ListConsentHistoryRequest, Preferences, Purpose, Regime,
        SetConsentRequest, Snapshot, UpdatePreferencesRequest, UpdatePurposeRequest,
    },
};
use attune_errors::{Reason, reason_of, violations_of};
use prost::Message as _;
use prost_types::FieldMask;
use serde_json::{Value as Json, json};
use tonic::Status;

use crate::support::*;

pub fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask {
        paths: paths.iter().map(ToString::to_string).collect(),
    })
}

pub fn with_context(mut message: IngestMessage, context: Json) -> IngestMessage {
    message.context = to_struct(context);
    message
}

impl Running {
    pub async fn update_purpose(
        &self,
        purpose: Purpose,
        paths: &[&str],
    ) -> Result<Purpose, Status> {
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

    pub async fn regimes(&self, purpose_id: &str, regimes: &[(&str, Regime)]) {
        let rows = regimes.iter();
        let purpose = Purpose {
            purpose_id: purpose_id.into(),
            regimes: rows.map(|(r, x)| ((*r).to_owned(), (*x).into())).collect(),
            ..Purpose::default()
        };
        self.update_purpose(purpose, &["regimes"]).await.unwrap();
    }

    pub async fn decide(&self, request: SetConsentRequest) -> Result<Consent, Status> {
        let request = self.request(request);
        Ok(self.client.clone().set_consent(request).await?.into_inner())
    }

    pub async fn grant(&self, profile_id: &str, purpose: &str, granted: bool) -> Consent {
        let request = SetConsentRequest {
            profile_id: profile_id.into(),
            purpose: purpose.into(),
            granted,
            ..SetConsentRequest::default()
        };
        self.decide(request).await.unwrap()
    }

    /// Purpose, sign and source, the newest first, by pages of two.
    pub async fn history(&self, profile_id: &str) -> Vec<String> {
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

    pub async fn prefer(&self, profile_id: &str, preferences: Preferences) -> Preferences {
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

    pub async fn basis(&self, region: &str, gpc: bool) -> Basis {
        let answer = self.snapshot_from(user("ann"), region, gpc).await.unwrap();
        let snapshot = Snapshot::decode(answer.snapshot.clone()).unwrap();
        let full = snapshot.basis() == Basis::Full;
        assert_eq!(snapshot.traits.is_some(), full);
        assert_eq!(!snapshot.recent_events.is_empty(), full);
        answer.basis()
    }

    /// Somebody with a trait and an event.
    pub async fn ann(&self) -> String {
        self.one(identify("i", &["u:ann"], 1, json!({"plan": "gold"})))
            .await;
        self.one(view("v", &["u:ann"], 2, "tent")).await
    }
}

pub fn reason(status: &Status) -> Reason {
    reason_of(status).unwrap()
}

pub fn fields(status: &Status) -> Vec<String> {
    violations_of(status)
        .into_iter()
        .map(|(field, _)| field)
        .collect()
}
