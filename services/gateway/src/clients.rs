//! Typed ways to the other services. A call over any of them has a deadline, because
//! its request is made by the caller that it is for.

use attune_api::{
    messaging::v1::messaging_service_client::MessagingServiceClient,
    profile::v1::profile_service_client::ProfileServiceClient,
    rules::v1::{
        decision_service_client::DecisionServiceClient, rule_service_client::RuleServiceClient,
    },
};
use attune_rpc::{Channel, MESSAGE_BYTES_MAX, Peers};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::{Request, Status, client::Grpc};
use tonic_prost::ProstCodec;

#[derive(Clone)]
pub struct Clients {
    pub profile: ProfileServiceClient<Channel>,
    pub decisions: DecisionServiceClient<Channel>,
    pub rules: RuleServiceClient<Channel>,
    pub messaging: MessagingServiceClient<Channel>,
    pub decide: View,
    pub batch_get: View,
}

impl Clients {
    pub fn new(peers: &Peers) -> Self {
        Self {
            profile: ProfileServiceClient::new(peers.profile.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            decisions: DecisionServiceClient::new(peers.rule_engine.clone()),
            rules: RuleServiceClient::new(peers.rule_engine.clone()),
            messaging: MessagingServiceClient::new(peers.messaging.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            decide: View::new(
                &peers.rule_engine,
                "/attune.rules.v1.DecisionService/Decide",
            ),
            batch_get: View::new(
                &peers.catalog,
                "/attune.catalog.v1.CatalogService/BatchGetItems",
            ),
        }
    }
}

/// One method, called with messages that agree with its own on the wire but leave
/// parts as bytes; see `personalization::wire`.
#[derive(Clone)]
pub struct View {
    grpc: Grpc<Channel>,
    path: PathAndQuery,
}

impl View {
    fn new(channel: &Channel, path: &'static str) -> Self {
        let grpc = Grpc::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Self {
            grpc,
            path: PathAndQuery::from_static(path),
        }
    }

    pub async fn call<Q, A>(&self, request: Request<Q>) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc.clone();
        let Ok(()) = grpc.ready().await;
        let codec = ProstCodec::<Q, A>::default();
        let answer = grpc.unary(request, self.path.clone(), codec).await?;
        Ok(answer.into_inner())
    }
}
