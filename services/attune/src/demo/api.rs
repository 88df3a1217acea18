//! The public door as a customer of ours uses it: generated clients with a key, over
//! a socket. Knows nothing that a stranger with the contract would not.

use anyhow::Context;
use attune_api::{
    catalog::v1::catalog_service_client::CatalogServiceClient,
    gateway::v1::{
        collection_service_client::CollectionServiceClient,
        personalization_service_client::PersonalizationServiceClient,
    },
    messaging::v1::messaging_service_client::MessagingServiceClient,
    rules::v1::rule_service_client::RuleServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// Shows the key with every call.
#[derive(Clone)]
pub struct WithKey(MetadataValue<Ascii>);

impl Interceptor for WithKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let key = self.0.clone();
        request.metadata_mut().insert("authorization", key);
        Ok(request)
    }
}

type Door = InterceptedService<Channel, WithKey>;

/// Clients of all services behind one door.
#[derive(Clone)]
pub struct Api {
    pub catalog: CatalogServiceClient<Door>,
    pub rules: RuleServiceClient<Door>,
    pub messaging: MessagingServiceClient<Door>,
    pub collection: CollectionServiceClient<Door>,
    pub personalization: PersonalizationServiceClient<Door>,
}

impl Api {
    pub async fn connect(url: &str, key: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(url.to_owned())?
            .tcp_nodelay(true)
            .connect()
            .await
            .with_context(|| format!("{url} does not answer"))?;
        let key = WithKey(format!("Bearer {key}").parse()?);
        let door = InterceptedService::new(channel, key);
        Ok(Self {
            catalog: CatalogServiceClient::new(door.clone()),
            rules: RuleServiceClient::new(door.clone()),
            messaging: MessagingServiceClient::new(door.clone()),
            collection: CollectionServiceClient::new(door.clone()),
            personalization: PersonalizationServiceClient::new(door),
        })
    }
}
