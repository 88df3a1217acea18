//! The life of a process: bind, open, join, serve; then drain, stop, flush, close. The
//! order of each is the promise that what was acknowledged is kept.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use attune_gateway::Gateway;
use attune_rpc::{Health, Internal, Peers, ServeOptions, Tasks, internal_router, serve};
use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    ServiceName,
    open::{Backends, Databases, data_dir},
    terms,
};
use crate::settings::Settings;

/// What background tasks may take to write down what they hold in memory.
const TASKS_STOP_MAX: Duration = Duration::from_secs(20);

/// How long being ready waits for the other services' logs. A service in another process
/// may be down for longer, and answering from what is known is better than not at all.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

/// Services that are being served.
pub struct Running {
    /// Where: the public door, or without one the services' own.
    pub address: SocketAddr,
    life: JoinHandle<()>,
}

impl Running {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Until it was told to stop and has.
    pub async fn finished(self) {
        if self.life.await.is_err() {
            tracing::error!("the services did not end in order");
        }
    }
}

/// Opens and serves the services of `settings` until `stop` is cancelled. Returns as
/// soon as they are ready.
pub async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<Running> {
    // First, so that a port that is taken is told before anything is touched.
    let listeners = Listeners::bind(&settings).await?;
    let address = listeners.public.local_addr()?;
    data_dir(&settings.data_dir)?;
    let health = Health::new();
    let internal = terms::internal(&settings, &health)?;
    let databases = Databases::default();
    let backends = Backends::open(&settings, &databases).await?;
    let peers = backends.peers(&settings, &internal)?;
    let gateway = gateway(&settings, &databases, &peers).await?;

    let tasks = Tasks::new();
    backends.start(&tasks, &peers);
    if let Some(gateway) = &gateway {
        gateway.start(&tasks);
    }
    let routers = Routers::new(&settings, &backends, gateway.as_ref(), &internal, &health)?;
    let life = Life {
        listeners,
        routers,
        options: ServeOptions {
            health: health.clone(),
            draining: settings.draining.clone(),
            tls: internal.tls.clone().filter(|_| gateway.is_none()),
        },
        internal,
        tasks,
        databases,
    };
    let life = tokio::spawn(life.live(stop.clone()));
    tokio::select! {
        () = stop.cancelled() => {}
        () = catch_up(&backends) => announce(&settings, &health).await,
    }
    Ok(Running { address, life })
}

async fn catch_up(backends: &Backends) {
    if timeout(CATCH_UP_MAX, backends.caught_up()).await.is_err() {
        tracing::warn!("ready without having seen all that other services published");
    }
}

/// Says SERVING under every name that can be asked for.
async fn announce(settings: &Settings, health: &Health) {
    let own = settings.services.iter().flat_map(|s| s.grpc_names());
    let mut names: Vec<_> = own.map(|name| (*name).to_owned()).collect();
    if settings.has(ServiceName::Gateway) {
        names.extend(Gateway::services());
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    health.ready(&names).await;
}

async fn gateway(
    settings: &Settings,
    databases: &Databases,
    peers: &Peers,
) -> anyhow::Result<Option<Gateway>> {
    if !settings.has(ServiceName::Gateway) {
        return Ok(None);
    }
    let migrations = &attune_gateway::MIGRATIONS;
    let database = databases
        .open(settings, ServiceName::Gateway, migrations)
        .await?;
    let opened = Gateway::open(settings.gateway.clone(), database, peers.clone()).await;
    opened.map(Some).context("gateway cannot be opened")
}

struct Listeners {
    public: TcpListener,
    /// For the services beside a gateway, where other processes need them.
    internal: Option<TcpListener>,
}

impl Listeners {
    async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let own = settings.peers.listen.as_str();
        let internal = match own {
            "" => None,
            own => Some(bind("peers.listen", own).await?),
        };
        Ok(Self {
            public: bind("listen", &settings.listen).await?,
            internal,
        })
    }
}

async fn bind(key: &str, address: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("{key}: cannot listen on {address}"))
}

struct Routers {
    public: Router,
    internal: Router,
}

impl Routers {
    fn new(
        settings: &Settings,
        backends: &Backends,
        gateway: Option<&Gateway>,
        internal: &Internal,
        health: &Health,
    ) -> anyhow::Result<Self> {
        let routes = backends.routes(&settings.services);
        let internal = internal_router(routes, internal, health);
        Ok(Self {
            public: match gateway {
                Some(gateway) => gateway.router(health).context("the door cannot be made")?,
                None => internal.clone(),
            },
            internal,
        })
    }
}

struct Life {
    listeners: Listeners,
    routers: Routers,
    options: ServeOptions,
    internal: Internal,
    tasks: Tasks,
    databases: Databases,
}

impl Life {
    async fn live(self, stop: CancellationToken) {
        let public = serve(
            self.listeners.public,
            self.routers.public,
            self.options.clone(),
            stop.clone().cancelled_owned(),
        );
        match self.listeners.internal {
            None => warn_of(public.await),
            Some(listener) => {
                let options = ServeOptions {
                    tls: self.internal.tls.clone(),
                    ..self.options
                };
                let stopped = stop.cancelled_owned();
                let own = serve(listener, self.routers.internal, options, stopped);
                let (public, own) = tokio::join!(public, own);
                warn_of(public);
                warn_of(own);
            }
        }
        // Nobody asks for anything any more: write down what is still in memory, and
        // only then close what it is written to.
        if let Err(unfinished) = self.tasks.shutdown(TASKS_STOP_MAX).await {
            tracing::error!(%unfinished, "background tasks were cut off");
        }
        self.databases.close().await;
        tracing::info!("left in order");
    }
}

fn warn_of(served: std::io::Result<()>) {
    if let Err(error) = served {
        tracing::error!(%error, "serving ended early");
    }
}
