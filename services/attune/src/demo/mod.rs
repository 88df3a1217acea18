//! `attune demo`: a small outdoor shop on embedded storage, loaded through the public
//! door, and what two of its customers and a stranger would see on its front page. Ends
//! without a trace: everything it makes is in a scratch directory.

mod api;
mod load;
mod page;
mod shop;
mod table;

use std::{
    io::{ErrorKind, IsTerminal, Write},
    time::Instant,
};

use anyhow::Context;
use attune_settings::Secret;
use attune_telemetry::TelemetryConfig;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    serve::{self, Running},
    settings::Settings,
};
use api::Api;
use shop::Shop;

/// What `demo` takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DemoArgs {
    /// End after printing, instead of serving on.
    #[arg(long)]
    pub once: bool,
    /// The address to serve on; port 0 takes a free one. [default: 127.0.0.1:7700, or any free port with --once]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
}

/// Runs the demo until it is interrupted, or to its end with `--once`.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let scratch = tempfile::Builder::new()
        .prefix("attune-demo-")
        .tempdir()
        .context("no scratch directory can be made")?;
    let key = format!("demo-{}", Uuid::new_v4().simple());
    let settings = settings(&args, scratch.path().join("data"), &key);
    let telemetry = attune_telemetry::init(&settings.telemetry, "attune-demo")
        .context("telemetry cannot start")?;
    let stop = CancellationToken::new();
    serve::cancel_on_signal(stop.clone()).context("signals cannot be caught")?;

    let running = serve::run(settings, stop.clone()).await?;
    let shown = tokio::select! {
        shown = show(&running, &key, started) => shown,
        () = stop.cancelled() => Ok(()),
    };
    let shown = match shown {
        Ok(()) if !args.once => say("\nServing until you press Ctrl-C.\n"),
        shown => shown,
    };
    if args.once || shown.is_err() {
        stop.cancel();
    }
    running.finished().await;
    telemetry.shutdown().await;
    // Told apart from a drop, which would hide a directory that stays.
    scratch
        .close()
        .context("the scratch directory cannot be removed")?;
    shown
}

fn settings(args: &DemoArgs, data_dir: std::path::PathBuf, key: &str) -> Settings {
    let defaults = Settings::default();
    // A test or a second demo must not wait for the usual port.
    let listen_default = if args.once {
        "127.0.0.1:0".to_owned()
    } else {
        defaults.listen.clone()
    };
    Settings {
        listen: args.listen.clone().unwrap_or(listen_default),
        data_dir,
        gateway: attune_gateway::Config {
            bootstrap_admin_key: Secret::new(key.to_owned()),
            ..defaults.gateway
        },
        telemetry: TelemetryConfig {
            log_filter: "warn".to_owned(),
            ..defaults.telemetry
        },
        ..defaults
    }
}

async fn show(running: &Running, key: &str, started: Instant) -> anyhow::Result<()> {
    let url = running.url();
    let api = Api::connect(&url, key).await?;
    let shop = Shop::read()?;
    let counts = load::load(&api, &shop).await?;
    let visitors = page::visit(&api, &shop).await?;
    let style = if std::io::stdout().is_terminal() {
        table::Style::Colored
    } else {
        table::Style::Plain
    };
    let page = table::render(&page::columns(&visitors), style);
    let took = format!(
        "{} items, {} customers and {} events, loaded and shown in {:.1} s.",
        counts.items,
        counts.customers,
        counts.events,
        started.elapsed().as_secs_f64()
    );
    let try_it = how_to_try(&url, key);
    say(&format!("{}\n\n{took}\n{try_it}\n", page.trim_end()))
}

/// Prints. A reader that has seen enough and closed its end is no failure.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn how_to_try(url: &str, key: &str) -> String {
    format!(
        "\nAsk for yourself, with the reasons in numbers:\n\n  \
         curl -s {url}/v1/personalize -H 'authorization: Bearer {key}' \\\n    \
         -H 'content-type: application/json' \\\n    \
         -d '{{\"subject\":{{\"userId\":\"mira\"}},\"channel\":\"web\",\"explain\":true,\
         \"placements\":[{{\"placement\":\"home\",\"count\":6}}]}}'\n\n\
         Let somebody look at something, and ask again for them:\n\n  \
         curl -s {url}/v1/track -u {key}: -H 'content-type: application/json' \\\n    \
         -d '{{\"userId\":\"ann\",\"event\":\"Product Viewed\",\
         \"properties\":{{\"product_id\":\"velund-barrow-1\"}}}}'\n\n\
         Everything else that can be asked: {url}/openapi.json"
    )
}
