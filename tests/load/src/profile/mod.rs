//! The profile service: taking events in beside the raw database, and what people cost
//! to keep and to read. One run, one table; the service is opened in this process behind
//! the client that its peers use.

mod held;
mod ingest;
mod opened;
mod people;
mod raw;
mod segments;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;

use crate::report::Report;

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// People whose memory and disk are measured.
    #[arg(long, default_value_t = 1_000_000)]
    profiles: usize,
    /// Events in a round of taking in.
    #[arg(long, default_value_t = 40_000)]
    events: usize,
    /// The largest number of segments; 0 leaves them out.
    #[arg(long, default_value_t = 10_000)]
    segments_max: usize,
    /// Events in a round among segments.
    #[arg(long, default_value_t = 10_000)]
    segment_events: usize,
    /// Rounds of each kind; medians are reported.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of reading.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// `postgres://…`; `cargo xtask bench profile` gives its own. Without it, SQLite alone.
    #[arg(long)]
    postgres: Option<String>,
    /// Where the databases are made; a folder of the system's for temporary files
    /// otherwise.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What the service is meant to reach.
const INGEST_SHARE_MIN: f64 = 0.5;
const HOT_BYTES_MAX: f64 = 2_048.0;
const SEGMENTS_TIMES_MAX: f64 = 1.5;

const SEGMENTS: [usize; 4] = [10, 100, 1_000, 10_000];

pub async fn run(options: Options) -> Result<()> {
    let scratch = match &options.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let time = Duration::from_secs_f64(options.seconds);
    let mut report = Report::default();
    let mut goals = Vec::new();

    // First, while the process holds nothing else.
    if options.profiles > 0 {
        let held = held::measure(scratch.path(), options.profiles, time).await?;
        println!(
            "{} profiles of 20 traits and {} events, taken in in {:.0} s",
            held.people,
            people::EVENTS_EACH,
            held.fill.as_secs_f64()
        );
        report.add("snapshot_reads_per_s", "reads/s", held.snapshots_per_second);
        report.add("snapshot_bytes", "B", held.snapshot_bytes);
        report.add_against("hot_bytes_per_profile", "B", held.hot_bytes, HOT_BYTES_MAX);
        report.add("disk_bytes_per_profile", "B", held.disk_bytes);
        report.add("log_bytes_per_profile", "B", held.log_bytes);
        let is_met = held.hot_bytes <= HOT_BYTES_MAX;
        goals.push((
            is_met,
            format!(
                "bytes per hot profile: {:.0}, at most {HOT_BYTES_MAX}",
                held.hot_bytes
            ),
        ));
    }

    let rates = ingest::on_sqlite(scratch.path(), options.events, options.rounds).await?;
    report.add_against("ingest_sqlite_eps", "events/s", rates.service, rates.raw);
    goals.push(at_least(
        "events on SQLite ÷ raw",
        rates.service / rates.raw,
    ));
    if let Some(url) = &options.postgres {
        let rates = ingest::on_postgres(url, options.events, options.rounds).await?;
        report.add_against("ingest_postgres_eps", "events/s", rates.service, rates.raw);
        goals.push(at_least(
            "events on PostgreSQL ÷ raw",
            rates.service / rates.raw,
        ));
    }

    let sizes: Vec<_> = SEGMENTS
        .into_iter()
        .filter(|size| *size <= options.segments_max)
        .collect();
    let (events, rounds) = (options.segment_events, options.rounds);
    let costs = segments::measure(scratch.path(), &sizes, events, rounds).await?;
    if let Some((few, more)) = costs.split_first() {
        for cost in more {
            let name = format!("event_us_{}_segments", cost.segments);
            report.add_against(name, "µs", cost.event_us, few.event_us);
            let times = cost.event_us / few.event_us;
            let said = format!(
                "an event among {} segments ÷ among {}: {times:.2}, at most {SEGMENTS_TIMES_MAX}",
                cost.segments, few.segments
            );
            goals.push((times <= SEGMENTS_TIMES_MAX, said));
        }
    }

    println!("\nGoals");
    for (is_met, what) in goals {
        println!("{:>7}  {what}", if is_met { "met" } else { "MISSED" });
    }
    report.publish(options.json.as_deref())
}

fn at_least(what: &str, share: f64) -> (bool, String) {
    let said = format!("{what}: {share:.2}, at least {INGEST_SHARE_MIN}");
    (share >= INGEST_SHARE_MIN, said)
}
