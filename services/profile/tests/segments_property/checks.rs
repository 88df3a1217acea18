//! Holds what a service shows of everybody to what comes of looking from scratch, and
//! what it holds to what was told.

use std::collections::BTreeMap;

use attune_api::{
    profile::v1::{
        Basis, EstimateSegmentRequest, EventOrder, ListEventsRequest, Profile, Snapshot,
    },
    r#type::v1::subject::Id,
};
use attune_testkit::{PATIENCE, wait_until};
use proptest::prelude::*;
use prost::Message as _;
use tonic::Status;

use crate::{
    model::{Derived, Facts, SEGMENTS, shown, value},
    played::Played,
    steps::Op,
    support::Running,
};

/// Everybody's, by profile.
type All = BTreeMap<String, Derived>;

pub async fn holds(played: &mut Played, ops: &[Op]) -> Result<(), TestCaseError> {
    for op in ops {
        played.play(op).await;
    }
    let (told, listed) = (played.ledger.ids(), played.listed().await);
    prop_assert_eq!(&listed, &told, "events are lost, or there too long");
    let judged = judged(played).await?;
    let in_segments = in_segments(&judged);
    prop_assert_eq!(played.members("").await, in_segments.clone());
    for (id, expression) in SEGMENTS {
        let size = played.estimate(&expression.replace('~', "")).await.unwrap();
        prop_assert_eq!(size, in_segments[id].len() as i64, "of {}", id);
    }
    served(played).await;

    played.restart_all().await;
    prop_assert_eq!(kept(played, "").await, judged.clone(), "after a restart");
    served(played).await;

    played.declare("_again").await;
    prop_assert_eq!(kept(played, "_again").await, judged);
    prop_assert_eq!(played.members("_again").await, in_segments);
    Ok(())
}

/// What comes of looking at everybody from scratch, which is what is kept.
async fn judged(played: &Played) -> Result<All, TestCaseError> {
    let mut all = All::new();
    for profile in &played.people().await {
        let facts = played.facts(profile).await;
        let judged = facts.derived();
        prop_assert_eq!(&shown(profile, ""), &judged, "of {:#?}", facts);
        all.insert(profile.profile_id.clone(), judged);
    }
    Ok(all)
}

/// What everybody's profile says, of one set.
async fn kept(played: &Played, end: &str) -> All {
    let people = played.people().await;
    let kept = people.iter().map(|p| (p.profile_id.clone(), shown(p, end)));
    kept.collect()
}

/// Who is in each segment.
fn in_segments(all: &All) -> BTreeMap<&'static str, Vec<String>> {
    let mut members: BTreeMap<_, Vec<String>> = SEGMENTS.map(|(id, _)| (id, Vec::new())).into();
    for (id, (_, segments)) in all {
        for segment in segments {
            members.entry(segment).or_default().push(id.clone());
        }
    }
    members
}

/// What decisions get from memory follows, on every replica, and holds nothing that may
/// not be used.
async fn served(played: &Played) {
    for profile in &played.people().await {
        let facts = played.facts(profile).await;
        for shop in &played.shops {
            wait_until("the snapshot is as the profile", PATIENCE, async || {
                is_served(shop, profile, &facts).await
            })
            .await;
        }
    }
}

async fn is_served(shop: &Running, profile: &Profile, facts: &Facts) -> bool {
    let id = Id::ProfileId(profile.profile_id.clone());
    let answer = shop.raw_snapshot(id).await.unwrap();
    let snapshot = Snapshot::decode(answer.snapshot).unwrap();
    if !facts.agreed("personalization") {
        let nothing = snapshot.traits.is_none() && snapshot.recent_events.is_empty();
        return answer.basis == Basis::ContextOnly as i32 && nothing;
    }
    let times = snapshot.recent_events.iter().map(|event| event.time_ms);
    answer.basis == Basis::Full as i32
        && answer.segments == profile.segments
        && times.eq(facts.newest_first().take(3))
}

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
