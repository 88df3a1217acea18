//! Holds what a service shows of everybody to what comes of looking from scratch.

use std::collections::BTreeMap;

use attune_api::profile::v1::{EstimateSegmentRequest, EventOrder, ListEventsRequest, Profile};
use proptest::prelude::*;
use tonic::Status;

use crate::{
    model::{Facts, SEGMENTS, shown, value},
    played::Played,
    steps::Op,
};

impl Played {
    async fn facts(&self, profile: &Profile) -> Facts {
        let request = self.shop().request(ListEventsRequest {
            profile_id: profile.profile_id.clone(),
            page_size: 1_000,
            order: EventOrder::OldestFirst.into(),
            ..ListEventsRequest::default()
        });
        let events = self.shop().client.clone().list_events(request).await;
        let decided = profile.consents.iter();
        Facts {
            now_ms: self.now_ms(),
            events: events.unwrap().into_inner().events,
            plan: value(profile, "plan"),
            decided: decided.map(|c| (c.purpose.clone(), c.granted)).collect(),
            listed: profile.segments.iter().any(|id| id == "vip"),
        }
    }

    /// For how many an expression holds that nobody saves.
    async fn estimate(&self, expression: &str) -> Result<i64, Status> {
        let request = self.shop().request(EstimateSegmentRequest {
            expression: expression.into(),
            ..EstimateSegmentRequest::default()
        });
        let estimated = self.shop().segment_client().estimate_segment(request).await;
        Ok(estimated?.into_inner().size)
    }

    /// Those who are in each segment of a set, as the segments list them.
    async fn members(&self, end: &str) -> BTreeMap<&'static str, Vec<String>> {
        let mut members = BTreeMap::new();
        for (id, _) in SEGMENTS {
            let listed = self.shop().members(&id.replace('~', end)).await;
            members.insert(id, listed);
        }
        members
    }
}

pub async fn holds(played: &mut Played, ops: &[Op]) -> Result<(), TestCaseError> {
    for op in ops {
        played.play(op).await;
    }
    let people = played.people().await;
    let mut in_segments: BTreeMap<&str, Vec<String>> =
        SEGMENTS.map(|(id, _)| (id, Vec::new())).into();
    for profile in &people {
        let id = &profile.profile_id;
        let facts = played.facts(profile).await;
        let (kept, judged) = (shown(profile, ""), facts.derived());
        prop_assert_eq!(&kept, &judged, "{} of {:#?}", id, facts);
        for segment in kept.1 {
            in_segments.entry(segment).or_default().push(id.clone());
        }
    }
    prop_assert_eq!(played.members("").await, in_segments.clone());
    for (id, expression) in SEGMENTS {
        let size = played.estimate(&expression.replace('~', "")).await.unwrap();
        prop_assert_eq!(size, in_segments[id].len() as i64, "of {}", id);
    }
    played.declare("_again").await;
    for profile in &played.people().await {
        let (kept, again) = (shown(profile, ""), shown(profile, "_again"));
        prop_assert_eq!(kept, again, "{}", profile.profile_id);
    }
    prop_assert_eq!(played.members("_again").await, in_segments);
    Ok(())
}
