//! `Personalize` (one placement of 10 slots, 92,331 items) side by side with a bare
//! tonic echo of the same sizes: same run, same load generator, rounds in turn.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use attune_api::{
    gateway::v1::{PersonalizeRequest, PersonalizeResponse},
    rules::v1::PlacementRequest,
    r#type::v1::{Context as RequestContext, Device, Location, Page, Subject, subject},
};
use bytes::Bytes;
use prost::Message;

use crate::{
    drive::{Round, drive, median},
    echo, home,
    report::Report,
    server::{KEY, Server},
    shop,
    wire::Target,
};

const PERSONALIZE: &str = "/attune.gateway.v1.PersonalizationService/Personalize";

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Directory with the complete-journey files, instead of generated data.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Seconds per round.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Rounds of each kind; medians are reported.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections of the load generator.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub async fn run(options: Options) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let attune = Server::attune(scratch.path())?;
    let customers = shop::load(&attune, options.data.as_deref()).await?;
    home::put(&attune, &["home"], home::few_rules()).await?;
    println!(
        "attune holds the shop in {} MiB",
        attune.resident_bytes()? / (1 << 20)
    );

    let requests: Arc<Vec<Bytes>> = Arc::new(customers.iter().map(|id| request(id)).collect());
    let personalize = Target::connect(
        &attune.endpoint,
        options.connections,
        PERSONALIZE,
        Some(KEY),
    )
    .await?;
    let answer_bytes = check(&personalize, &requests).await?;
    println!(
        "request {} bytes, answer {answer_bytes} bytes",
        requests[0].len()
    );

    let yardstick = Server::echo(answer_bytes)?;
    let echo = Target::connect(&yardstick.endpoint, options.connections, echo::PATH, None).await?;
    let payload = vec![b'x'; requests[0].len()];
    let echo_requests = Arc::new(vec![Bytes::from(Bytes::from(payload).encode_to_vec())]);

    let duration = Duration::from_secs_f64(options.seconds);
    let mut report = Report::default();
    for in_flight in [1, 16, 64] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // In turn, so that a slow minute of the machine slows both. The first pair
        // warms up and is not counted.
        for round in 0..=options.rounds {
            let a = drive(&echo, Arc::clone(&echo_requests), in_flight, duration).await?;
            let b = drive(&personalize, Arc::clone(&requests), in_flight, duration).await?;
            if round > 0 {
                theirs.push(a);
                ours.push(b);
            }
        }
        add(&mut report, in_flight, median(&ours), median(&theirs));
    }
    report.add(
        "resident_mib",
        "MiB",
        attune.resident_bytes()? as f64 / f64::from(1 << 20),
    );
    report.publish(options.json.as_deref())
}

fn add(report: &mut Report, in_flight: usize, ours: Round, echo: Round) {
    let name = |figure: &str| format!("personalize_{figure}_{in_flight}");
    report.add_against(
        name("rps"),
        "requests/s",
        ours.requests_per_second,
        echo.requests_per_second,
    );
    report.add_against(name("p50_us"), "µs", ours.p50_us, echo.p50_us);
    report.add_against(name("p99_us"), "µs", ours.p99_us, echo.p99_us);
}

/// About 1 KiB, as a shop's front end would send it.
fn request(user_id: &str) -> Bytes {
    let request = PersonalizeRequest {
        subject: Some(Subject {
            id: Some(subject::Id::UserId(user_id.to_owned())),
        }),
        channel: "web".into(),
        placements: vec![PlacementRequest {
            placement: "home".into(),
            count: 10,
            ..Default::default()
        }],
        context: Some(context()),
        ..Default::default()
    };
    request.encode_to_vec().into()
}

/// A visit by phone from Berlin.
pub fn context() -> RequestContext {
    RequestContext {
        time_zone: "Europe/Berlin".into(),
        locale: "en-GB".into(),
        location: Some(Location {
            country: "DE".into(),
            city: "Berlin".into(),
            ..Default::default()
        }),
        device: Some(Device {
            r#type: "phone".into(),
            os: "android".into(),
            app_version: "2.3.0".into(),
        }),
        page: Some(Page {
            url: format!("https://shop.example/?campaign={}", "x".repeat(780)),
            r#type: "home".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Every customer gets ten slots with reasons before anything is timed. Returns the
/// median size of the answers.
async fn check(target: &Target, requests: &[Bytes]) -> Result<usize> {
    let mut sizes = Vec::with_capacity(requests.len());
    for request in requests {
        let bytes = target.call(0, request.clone()).await?;
        sizes.push(bytes.len());
        let answer = PersonalizeResponse::decode(bytes)?;
        let placement = answer.placements.first().context("no placement")?;
        ensure!(
            answer.degradations.is_empty(),
            "degraded: {:?}",
            answer.degradations
        );
        ensure!(
            placement.slots.len() == 10 && placement.slots.iter().all(|s| !s.reasons.is_empty()),
            "not ten slots with reasons: {placement:?}"
        );
    }
    sizes.sort_unstable();
    Ok(sizes[sizes.len() / 2])
}
