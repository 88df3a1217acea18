//! The rule engine: matching beside a hand-written floor and four other engines, reading
//! while it is written to, and deciding with a thousand rules. One run, one table; every
//! engine gets the same rules and people, and has to find the same before it is timed.

mod decide;
mod goals;
mod matching;
mod peers;
mod reading;
mod table;
#[path = "../../../../shared/expr/benches/workload/mod.rs"]
mod workload;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;

use crate::report::Report;
use matching::Holding;
use peers::Peers;
use table::Row;

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Directory with the complete-journey files, instead of generated data.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Seconds per figure.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The largest number of rules.
    #[arg(long, default_value_t = 1_000_000)]
    rules_max: usize,
    /// Where `cargo xtask bench rules` has put the other engines; left out without it.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Leave out what needs a shop.
    #[arg(long)]
    no_decide: bool,
    /// Write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The series with a share of the rules holding.
const SIZES: [usize; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
/// The series with the same number of rules holding.
const SIZES_AT_FIFTY: [usize; 3] = [10_000, 100_000, 1_000_000];
const READ_SIZES: [usize; 2] = [10_000, 100_000];

pub async fn run(options: Options) -> Result<()> {
    let time = Duration::from_secs_f64(options.seconds);
    let peers = options.peers.as_deref().map(Peers::new);
    let up_to = |sizes: &[usize]| -> Vec<usize> {
        let fits = |size: &usize| *size <= options.rules_max;
        sizes.iter().copied().filter(fits).collect()
    };
    // Far more of a computation than a server: it may have the thread.
    let (share, fifty, reads) = tokio::task::block_in_place(|| {
        let share = matching::series(Holding::Share, &up_to(&SIZES), time, peers.as_ref())?;
        let fifty = matching::series(Holding::Fifty, &up_to(&SIZES_AT_FIFTY), time, None)?;
        let reads = reading::measure(&up_to(&READ_SIZES), time)?;
        anyhow::Ok((share, fifty, reads))
    })?;
    let decided = match options.no_decide {
        true => None,
        false => Some(decide::measure(options.data.as_deref(), time).await?),
    };

    table::matching("About 0.5 % of the rules hold", &share);
    table::matching("About 50 rules hold, however many there are", &fifty);
    table::reading(&reads);
    decided.iter().for_each(table::deciding);
    goals::tell(&share, &fifty, &reads, decided.as_ref());
    report(&share, &fifty, &reads, decided.as_ref()).publish(options.json.as_deref())
}

fn report(
    share: &[Row],
    fifty: &[Row],
    reads: &[reading::Reading],
    decided: Option<&decide::Deciding>,
) -> Report {
    let mut report = Report::default();
    for row in share {
        let name = format!("match_us_{}", row.rules);
        report.add_against(name, "µs", row.index_us, row.floor_us);
        for (peer, us) in &row.peers {
            let name = format!("{peer}_us_{}", row.rules);
            report.add_against(name, "µs", *us, row.index_us);
        }
    }
    if let Some((first, more)) = fifty.split_first() {
        for row in more {
            let name = format!("match_us_{}_at_50", row.rules);
            report.add_against(name, "µs", row.index_us, first.index_us);
        }
    }
    for read in reads {
        let (quiet, busy) = (read.quiet, read.updated);
        for (name, busy, quiet) in [
            ("p50", busy.p50_us, quiet.p50_us),
            ("p99", busy.p99_us, quiet.p99_us),
        ] {
            let name = format!("read_{name}_us_{}_updated", read.rules);
            report.add_against(name, "µs", busy, quiet);
        }
    }
    if let Some(decided) = decided {
        report.add("decide_p50_us", "µs", decided.p50_us);
        report.add("decide_p99_us", "µs", decided.p99_us);
        report.add("decide_per_s_per_core", "decisions/s", decided.per_second);
    }
    report
}
