//! The profile service in this process, on a database of its own, behind the client
//! that its peers use; and how messages are kept coming.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use attune_api::profile::v1::{
    IngestMessage, IngestRequest, IngestStatus, profile_service_client::ProfileServiceClient,
};
use attune_profile::{Config, MIGRATIONS, Profile};
use attune_rpc::{Caller, Channel, Internal, PeerToken, Peers, Tasks, Workspace};
use attune_storage::Database;
use attune_vault::Masters;
use tokio::sync::{Mutex, mpsc};
use tonic::service::RoutesBuilder;

/// Messages in one request and requests in flight: what a busy gateway sends.
pub const REQUEST_MESSAGES: usize = 500;
const IN_FLIGHT: usize = 8;
const LEAVE_WITHIN: Duration = Duration::from_secs(60);

pub struct Opened {
    pub client: ProfileServiceClient<Channel>,
    pub channel: Channel,
    pub caller: Caller,
    pub database: Database,
    tasks: Tasks,
}

impl Opened {
    pub async fn at(url: &str, config: Config) -> Result<Self> {
        let database = Database::open(url, &MIGRATIONS).await?;
        let profile = {
            let masters = Masters::parse(&Masters::generate())?;
            Profile::open(config, database.clone(), masters).await?
        };
        let mut routes = RoutesBuilder::default();
        profile.register(&mut routes);
        let internal = Internal::new(PeerToken::random());
        let channel = Channel::in_process("profile", routes.routes(), &internal);
        let tasks = Tasks::new();
        // It calls none of them in what is measured.
        let peers = Peers {
            profile: channel.clone(),
            catalog: channel.clone(),
            rule_engine: channel.clone(),
            messaging: channel.clone(),
        };
        profile.start(&tasks, &peers);
        Ok(Self {
            client: ProfileServiceClient::new(channel.clone()),
            channel,
            caller: Caller::new(Workspace::default()),
            database,
            tasks,
        })
    }

    /// Sends requests, several at a time, until there are no more. All of their messages
    /// are new and have to be taken.
    pub async fn send_all(&self, requests: impl Iterator<Item = Vec<IngestMessage>>) -> Result<()> {
        let (to, from) = mpsc::channel::<Vec<IngestMessage>>(IN_FLIGHT);
        let from = Arc::new(Mutex::new(from));
        let senders: Vec<_> = (0..IN_FLIGHT)
            .map(|_| tokio::spawn(send(self.client.clone(), self.caller.clone(), from.clone())))
            .collect();
        drop(from);
        for messages in requests {
            if to.send(messages).await.is_err() {
                break; // All senders failed; one of them says why.
            }
        }
        drop(to);
        for sender in senders {
            sender.await??;
        }
        Ok(())
    }

    pub async fn close(self) -> Result<()> {
        self.tasks.shutdown(LEAVE_WITHIN).await?;
        self.database.close().await;
        Ok(())
    }
}

async fn send(
    mut client: ProfileServiceClient<Channel>,
    caller: Caller,
    from: Arc<Mutex<mpsc::Receiver<Vec<IngestMessage>>>>,
) -> Result<()> {
    loop {
        let next = from.lock().await.recv().await;
        let Some(messages) = next else {
            return Ok(());
        };
        let request = caller.request(IngestRequest { messages });
        let answer = client.ingest(request).await?.into_inner();
        let new = answer
            .results
            .iter()
            .all(|r| r.status() == IngestStatus::Accepted);
        ensure!(new, "a message was taken for a duplicate");
    }
}
