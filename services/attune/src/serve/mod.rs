//! Runs services: opens them, joins them by channels, serves them, and ends them in
//! order so that nothing acknowledged is lost. Knows every service; none of their work.

mod open;
mod run;
mod service_name;
mod signals;
mod terms;

pub use open::{Databases, masters};
pub use run::{Running, run};
pub use service_name::ServiceName;
pub use signals::cancel_on_signal;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// Serves until SIGTERM or SIGINT, with telemetry around everything.
pub async fn until_signalled(settings: Settings) -> anyhow::Result<()> {
    let telemetry = attune_telemetry::init(&settings.telemetry, &name_of(&settings))
        .context("telemetry cannot start")?;
    let stop = CancellationToken::new();
    signals::cancel_on_signal(stop.clone()).context("signals cannot be caught")?;
    let served = serve(settings, stop).await;
    telemetry.shutdown().await;
    served
}

async fn serve(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let names: Vec<_> = settings.services.iter().map(ServiceName::as_str).collect();
    let running = run(settings, stop).await?;
    println!(
        "attune is ready on {} ({})",
        running.url(),
        names.join(", ")
    );
    running.finished().await;
    Ok(())
}

/// The `service.name` of what is exported.
fn name_of(settings: &Settings) -> String {
    match settings.services.as_slice() {
        [only] => format!("attune-{}", only.as_str()),
        _ => "attune".to_owned(),
    }
}
