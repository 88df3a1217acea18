//! The messages of the hot path as the gateway needs them: what it only passes on
//! (items, reasons, tokens, context) stays the bytes that arrived, which protobuf allows
//! because a nested message and a bytes field look alike on the wire. A test holds every
//! tag against the contract.

use attune_api::{
    gateway::v1::{Degradation, ExperimentVariant, PersonalizedProfile, TrackRequest},
    messaging::v1::Content,
    rules::v1::PlacementRequest,
    r#type::v1::Subject,
};
use bytes::Bytes;

/// `attune.gateway.v1.PersonalizeRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct PersonalizeRequest {
    #[prost(message, optional, tag = "1")]
    pub subject: Option<Subject>,
    #[prost(string, tag = "2")]
    pub channel: String,
    #[prost(message, repeated, tag = "3")]
    pub placements: Vec<PlacementRequest>,
    /// The parts of one `Context`: strung together, they are it.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub context: Vec<Bytes>,
    #[prost(message, repeated, tag = "5")]
    pub events: Vec<TrackRequest>,
    #[prost(bool, tag = "6")]
    pub explain: bool,
    #[prost(bool, tag = "7")]
    pub preview: bool,
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub exclude_item_ids: Vec<Bytes>,
}

/// `attune.gateway.v1.BatchPersonalizeRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchPersonalizeRequest {
    #[prost(message, repeated, tag = "1")]
    pub subjects: Vec<Subject>,
    #[prost(string, tag = "2")]
    pub channel: String,
    #[prost(message, repeated, tag = "3")]
    pub placements: Vec<PlacementRequest>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub context: Vec<Bytes>,
    #[prost(bool, tag = "5")]
    pub explain: bool,
    #[prost(bool, tag = "6")]
    pub preview: bool,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub exclude_item_ids: Vec<Bytes>,
}

/// `attune.gateway.v1.PersonalizeResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub struct PersonalizeResponse {
    #[prost(string, tag = "1")]
    pub response_id: String,
    #[prost(message, optional, tag = "2")]
    pub profile: Option<PersonalizedProfile>,
    #[prost(enumeration = "attune_api::profile::v1::Basis", tag = "3")]
    pub basis: i32,
    #[prost(message, repeated, tag = "4")]
    pub placements: Vec<PersonalizedPlacement>,
    #[prost(message, repeated, tag = "5")]
    pub degradations: Vec<Degradation>,
}

/// `attune.gateway.v1.BatchPersonalizeResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchPersonalizeResponse {
    #[prost(int32, tag = "1")]
    pub index: i32,
    #[prost(message, optional, tag = "2")]
    pub response: Option<PersonalizeResponse>,
}

/// `attune.gateway.v1.PersonalizedPlacement`
#[derive(Clone, PartialEq, prost::Message)]
pub struct PersonalizedPlacement {
    #[prost(bytes = "bytes", tag = "1")]
    pub placement: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub decision_id: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub strategy: Bytes,
    #[prost(message, repeated, tag = "4")]
    pub variants: Vec<ExperimentVariant>,
    #[prost(message, repeated, tag = "5")]
    pub slots: Vec<PersonalizedSlot>,
    #[prost(message, optional, tag = "6")]
    pub content: Option<Content>,
    #[prost(bool, tag = "7")]
    pub degraded: bool,
    /// An `Explanation`.
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub explanation: Option<Bytes>,
}

/// `attune.gateway.v1.PersonalizedSlot`
#[derive(Clone, PartialEq, prost::Message)]
pub struct PersonalizedSlot {
    /// An `Item`.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub item: Option<Bytes>,
    #[prost(double, tag = "2")]
    pub score: f64,
    /// Each a `Reason`.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub reasons: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "4")]
    pub token: Bytes,
}

/// `attune.rules.v1.DecideRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct DecideRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub snapshot: Bytes,
    #[prost(string, tag = "2")]
    pub channel: String,
    #[prost(message, repeated, tag = "3")]
    pub placements: Vec<PlacementRequest>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub context: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub exclude_item_ids: Vec<Bytes>,
    #[prost(bool, tag = "6")]
    pub explain: bool,
    #[prost(bool, tag = "7")]
    pub preview: bool,
}

/// `attune.rules.v1.DecideResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub struct DecideResponse {
    #[prost(message, repeated, tag = "1")]
    pub placements: Vec<PlacementDecision>,
}

/// `attune.rules.v1.PlacementDecision`
#[derive(Clone, PartialEq, prost::Message)]
pub struct PlacementDecision {
    #[prost(bytes = "bytes", tag = "1")]
    pub placement: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub decision_id: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub strategy: Bytes,
    #[prost(message, repeated, tag = "4")]
    pub slots: Vec<Slot>,
    #[prost(string, tag = "5")]
    pub template: String,
    #[prost(bool, tag = "6")]
    pub fallback: bool,
    /// An `Explanation`.
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub explanation: Option<Bytes>,
}

/// `attune.rules.v1.Slot`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Slot {
    #[prost(bytes = "bytes", tag = "1")]
    pub item_id: Bytes,
    #[prost(double, tag = "2")]
    pub score: f64,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub reasons: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "4")]
    pub token: Bytes,
}

/// `attune.catalog.v1.BatchGetItemsRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchGetItemsRequest {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub item_ids: Vec<Bytes>,
}

/// `attune.catalog.v1.BatchGetItemsResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchGetItemsResponse {
    /// Each an `Item`, in the order of the request without those that are missing.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub items: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub missing_item_ids: Vec<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use attune_api::{catalog, gateway, rules};
    use prost::Message;

    /// What the contract's type writes, ours reads and writes back unchanged.
    fn agree<Contract: Message, Ours: Message + Default>(message: &Contract) {
        let bytes = message.encode_to_vec();
        let ours = Ours::decode(bytes.as_slice()).unwrap();
        assert_eq!(ours.encode_to_vec(), bytes);
    }

    fn reason() -> rules::v1::Reason {
        rules::v1::Reason {
            text: "because".into(),
            weight: 0.5,
            ..Default::default()
        }
    }

    fn placement() -> PlacementRequest {
        PlacementRequest {
            placement: "home".into(),
            count: 3,
            ..Default::default()
        }
    }

    fn context() -> attune_api::r#type::v1::Context {
        attune_api::r#type::v1::Context {
            locale: "de-AT".into(),
            ..Default::default()
        }
    }

    #[test]
    fn requests_agree_with_the_contract() {
        agree::<_, PersonalizeRequest>(&gateway::v1::PersonalizeRequest {
            subject: Some(Subject::default()),
            channel: "web".into(),
            placements: vec![placement()],
            context: Some(context()),
            events: vec![TrackRequest::default()],
            explain: true,
            preview: true,
            exclude_item_ids: vec!["a".into(), "b".into()],
        });
        agree::<_, BatchPersonalizeRequest>(&gateway::v1::BatchPersonalizeRequest {
            subjects: vec![Subject::default()],
            channel: "web".into(),
            placements: vec![placement()],
            context: Some(context()),
            explain: true,
            preview: true,
            exclude_item_ids: vec!["a".into()],
        });
        agree::<_, DecideRequest>(&rules::v1::DecideRequest {
            snapshot: "snapshot".into(),
            channel: "web".into(),
            placements: vec![placement()],
            context: Some(context()),
            exclude_item_ids: vec!["a".into()],
            explain: true,
            preview: true,
        });
        agree::<_, BatchGetItemsRequest>(&catalog::v1::BatchGetItemsRequest {
            item_ids: vec!["a".into(), "b".into()],
        });
    }

    fn explanation() -> rules::v1::Explanation {
        rules::v1::Explanation {
            candidate_count: 3,
            ..Default::default()
        }
    }

    #[test]
    fn answers_agree_with_the_contract() {
        let item = catalog::v1::Item {
            item_id: "a".into(),
            ..Default::default()
        };
        agree::<_, BatchGetItemsResponse>(&catalog::v1::BatchGetItemsResponse {
            items: vec![item.clone()],
            missing_item_ids: vec!["b".into()],
        });
        agree::<_, DecideResponse>(&rules::v1::DecideResponse {
            placements: vec![rules::v1::PlacementDecision {
                placement: "home".into(),
                decision_id: "d".into(),
                strategy: "s".into(),
                slots: vec![rules::v1::Slot {
                    item_id: "a".into(),
                    score: 0.5,
                    reasons: vec![reason()],
                    token: "t".into(),
                }],
                template: "t".into(),
                fallback: true,
                explanation: Some(explanation()),
            }],
        });
        let response = gateway::v1::PersonalizeResponse {
            response_id: "r".into(),
            profile: Some(PersonalizedProfile {
                id: "p".into(),
                segments: vec!["s".into()],
            }),
            basis: 2,
            placements: vec![gateway::v1::PersonalizedPlacement {
                placement: "home".into(),
                decision_id: "d".into(),
                strategy: "s".into(),
                variants: vec![ExperimentVariant::default()],
                slots: vec![gateway::v1::PersonalizedSlot {
                    item: Some(item),
                    score: 0.5,
                    reasons: vec![reason()],
                    token: "t".into(),
                }],
                content: Some(Content::default()),
                degraded: true,
                explanation: Some(explanation()),
            }],
            degradations: vec![Degradation::default()],
        };
        agree::<_, BatchPersonalizeResponse>(&gateway::v1::BatchPersonalizeResponse {
            index: 1,
            response: Some(response),
        });
    }
}
