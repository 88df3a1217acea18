//! What tests ask of segments, in short.

use std::time::Duration;

use attune_api::{
    events::v1::{LogEntry, log_entry::Change},
    profile::v1::{
        ChangeSegmentMembersRequest, CreateSegmentRequest, CreateTraitRequest,
        DeleteSegmentRequest, DeleteTraitRequest, GetSegmentRequest, ListSegmentMembersRequest,
        Segment, SegmentState, SetConsentRequest, Trait, TraitType, UpdateSegmentRequest,
        schema_service_client::SchemaServiceClient, segment_service_client::SegmentServiceClient,
    },
    r#type::v1::{Subject, subject::Id},
};
use attune_profile::{Clock, Config};
use attune_rpc::Channel;
use attune_testkit::{test_database_urls, wait_until};
use prost::Message as _;
use serde_json::Value as Json;
use tonic::Status;

use super::Running;

const DEADLINE: Duration = attune_testkit::PATIENCE;

/// As `on_both`, at a time that the test sets.
pub async fn on_both_at<F>(name: &str, now_ms: i64, test: F)
where
    F: AsyncFn(Running),
{
    for database in test_database_urls(name).await {
        let clock = Clock::standing_at(now_ms);
        let (url, system) = (database.url(), database.system);
        test(Running::open_with(url, system, Config::default(), clock).await).await;
    }
}

/// The rules that a call broke.
pub fn violations(status: &Status) -> Vec<String> {
    let violations = attune_errors::violations_of(status);
    violations.into_iter().map(|(_, rule)| rule).collect()
}

impl Running {
    pub fn segment_client(&self) -> SegmentServiceClient<Channel> {
        SegmentServiceClient::new(self.channel.clone())
    }

    /// Creates a segment and waits until it is filled in.
    pub async fn declare(&self, id: &str, expression: &str) {
        let segment = Segment {
            expression: expression.into(),
            ..Segment::default()
        };
        let request = self.request(CreateSegmentRequest {
            segment_id: id.into(),
            segment: Some(segment),
        });
        self.segment_client().create_segment(request).await.unwrap();
        self.filled(id).await;
    }

    /// Declares a trait that is computed.
    pub async fn compute(&self, id: &str, expression: &str) {
        let request = self.request(CreateTraitRequest {
            trait_id: id.into(),
            r#trait: Some(Trait {
                expression: expression.into(),
                r#type: TraitType::TraitObject.into(),
                ..Trait::default()
            }),
        });
        let mut client = SchemaServiceClient::new(self.channel.clone());
        client.create_trait(request).await.unwrap();
    }

    pub async fn forget_trait(&self, id: &str) -> Result<(), Status> {
        let request = self.request(DeleteTraitRequest {
            trait_id: id.into(),
            ..DeleteTraitRequest::default()
        });
        let mut client = SchemaServiceClient::new(self.channel.clone());
        client.delete_trait(request).await.map(drop)
    }

    pub async fn trait_of(&self, profile_id: &str, id: &str) -> Json {
        let profile = self.profile(profile_id).await.unwrap();
        let traits = profile.traits.unwrap_or_default();
        traits
            .fields
            .get(id)
            .map_or(Json::Null, attune_api::json::from_value)
    }

    pub async fn until_trait(&self, profile_id: &str, id: &str, expected: Json) {
        wait_until("the person has this value", DEADLINE, async || {
            self.trait_of(profile_id, id).await == expected
        })
        .await;
    }

    pub async fn upsert(&self, id: &str, expression: &str) -> Result<Segment, Status> {
        let segment = Segment {
            segment_id: id.into(),
            expression: expression.into(),
            ..Segment::default()
        };
        let request = self.request(UpdateSegmentRequest {
            segment: Some(segment),
            allow_missing: true,
            ..UpdateSegmentRequest::default()
        });
        let answer = self.segment_client().update_segment(request).await?;
        Ok(answer.into_inner())
    }

    pub async fn delete(&self, id: &str) -> Result<(), Status> {
        let request = self.request(DeleteSegmentRequest {
            segment_id: id.into(),
            ..DeleteSegmentRequest::default()
        });
        self.segment_client()
            .delete_segment(request)
            .await
            .map(drop)
    }

    pub async fn segment(&self, id: &str) -> Result<Segment, Status> {
        let request = self.request(GetSegmentRequest {
            segment_id: id.into(),
        });
        let answer = self.segment_client().get_segment(request).await?;
        Ok(answer.into_inner())
    }

    pub async fn filled(&self, id: &str) {
        wait_until("the segment is live", DEADLINE, async || {
            self.segment(id).await.unwrap().state() == SegmentState::Live
        })
        .await;
    }

    /// As the profile says.
    pub async fn segments_of(&self, profile_id: &str) -> Vec<String> {
        self.profile(profile_id).await.unwrap().segments
    }

    pub async fn until_segments(&self, profile_id: &str, expected: &[&str]) {
        wait_until("the person is in these segments", DEADLINE, async || {
            self.segments_of(profile_id).await == expected
        })
        .await;
    }

    /// All members, by pages of two.
    pub async fn members(&self, id: &str) -> Vec<String> {
        let mut members = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = self.request(ListSegmentMembersRequest {
                segment_id: id.into(),
                page_size: 2,
                page_token,
            });
            let page = self.segment_client().list_segment_members(request).await;
            let page = page.unwrap().into_inner();
            members.extend(page.members.into_iter().map(|m| m.profile_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return members;
            }
        }
    }

    /// How many were added and removed.
    pub async fn change(&self, id: &str, add: &[Id], remove: &[Id]) -> Result<(i32, i32), Status> {
        let subjects = |ids: &[Id]| {
            let subjects = ids.iter().map(|id| Subject {
                id: Some(id.clone()),
            });
            subjects.collect()
        };
        let request = self.request(ChangeSegmentMembersRequest {
            segment_id: id.into(),
            add: subjects(add),
            remove: subjects(remove),
        });
        let answer = self
            .segment_client()
            .change_segment_members(request)
            .await?;
        let answer = answer.into_inner();
        Ok((answer.added_count, answer.removed_count))
    }

    pub async fn profile_of(&self, id: Id) -> Option<String> {
        let answer = self.raw_snapshot(id).await.unwrap();
        answer.found.then_some(answer.profile_id)
    }

    pub async fn consent(&self, profile_id: &str, purpose: &str, granted: bool) {
        let request = self.request(SetConsentRequest {
            profile_id: profile_id.into(),
            purpose: purpose.into(),
            granted,
            ..SetConsentRequest::default()
        });
        self.client.clone().set_consent(request).await.unwrap();
    }

    /// What the log tells of segments, in order: which, and whether it was entered.
    pub async fn segment_changes(&self) -> Vec<(String, bool)> {
        let log = self.database.log_read(0, 1_000).await.unwrap();
        let changes = log.entries.iter().filter_map(|entry| {
            match LogEntry::decode(entry.entry.clone()).unwrap().change? {
                Change::SegmentChanged(changed) => Some((changed.segment_id, changed.member)),
                _ => None,
            }
        });
        changes.collect()
    }
}
