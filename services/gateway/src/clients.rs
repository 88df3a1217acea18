//! Typed ways to the other services. A call over any of them has a deadline, because
//! its request is made by the caller that it is for.

use attune_api::{
    messaging::v1::messaging_service_client::MessagingServiceClient,
    profile::v1::{
        privacy_service_client::PrivacyServiceClient, profile_service_client::ProfileServiceClient,
    },
    rules::v1::{
        decision_service_client::DecisionServiceClient, rule_service_client::RuleServiceClient,
    },
};
use attune_rpc::{Channel, MESSAGE_BYTES_MAX, Peers, Unary};

#[derive(Clone)]
pub struct Clients {
    pub profile: ProfileServiceClient<Channel>,
    pub privacy: PrivacyServiceClient<Channel>,
    pub decisions: DecisionServiceClient<Channel>,
    pub rules: RuleServiceClient<Channel>,
    pub messaging: MessagingServiceClient<Channel>,
    pub get_snapshot: Unary,
    /// These two are called with messages that agree with their own on the wire but
    /// leave parts as bytes; see `personalization::wire`.
    pub decide: Unary,
    pub batch_get: Unary,
}

impl Clients {
    pub fn new(peers: &Peers) -> Self {
        Self {
            profile: ProfileServiceClient::new(peers.profile.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            privacy: PrivacyServiceClient::new(peers.profile.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            decisions: DecisionServiceClient::new(peers.rule_engine.clone()),
            rules: RuleServiceClient::new(peers.rule_engine.clone()),
            messaging: MessagingServiceClient::new(peers.messaging.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            get_snapshot: Unary::new(
                &peers.profile,
                "/attune.profile.v1.ProfileService/GetSnapshot",
            ),
            decide: Unary::new(
                &peers.rule_engine,
                "/attune.rules.v1.DecisionService/Decide",
            ),
            batch_get: Unary::new(
                &peers.catalog,
                "/attune.catalog.v1.CatalogService/BatchGetItems",
            ),
        }
    }
}
