//! `attune import`: files of items, profiles, events and members of lists, sent through the public API.
//! Reads ahead while batches are on their way, and settles them in the order of the
//! file: what the state says is done is done. Bounded memory, whatever the file's size.

mod batches;
mod build;
mod mapping;
mod rejects;
mod row;
mod send;
mod state;
mod template;
mod value;

mod reader;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use batches::{Batch, Batches};
use build::Builder;
use mapping::{Mapping, What};
use reader::{Format, Progress};
use rejects::Rejects;
use send::Gateway;
use state::{Counts, State, StateFile};

use crate::settings::CLIENT_KEY_VARIABLE;

/// Send a file of items, profiles, events or members of a list.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// What the rows are.
    #[arg(value_enum)]
    pub what: What,
    /// CSV or NDJSON, plain or with gzip, or Parquet.
    pub file: PathBuf,
    /// A TOML file that says what the columns are, or the name of one that comes along.
    #[arg(long, value_name = "FILE|NAME")]
    pub mapping: String,
    /// The format, where the file's name does not tell.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The gateway.
    #[arg(long, default_value = "http://127.0.0.1:7700", value_name = "URL")]
    pub endpoint: String,
    /// An API key; items need one of scope admin.
    #[arg(long, env = CLIENT_KEY_VARIABLE, default_value = "", hide_env_values = true)]
    pub key: String,
    /// Where rejected rows go; beside the input if not given.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Where progress is kept; beside the input if not given.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Rows in one call.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub batch_size: u16,
    /// Calls on their way at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,
    /// Exit with 1 if a row was rejected.
    #[arg(long)]
    pub fail_on_reject: bool,
}

const STATE_INTERVAL: Duration = Duration::from_millis(500);

/// How an import went.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub counts: Counts,
    /// Rows that an interrupted import had dealt with before.
    pub resumed_rows: u64,
    pub elapsed: Duration,
    pub rejects: PathBuf,
}

/// Runs an import to its end and prints what became of it. False if rows were rejected
/// and that was asked to be a failure.
pub async fn run(args: ImportArgs) -> anyhow::Result<bool> {
    let summary = import(&args).await?;
    print_summary(&summary);
    Ok(!args.fail_on_reject || summary.counts.rejected == 0)
}

async fn import(args: &ImportArgs) -> anyhow::Result<Summary> {
    let text = mapping::text_of(&args.mapping)?;
    let mapping = Mapping::parse(&text, args.what)?;
    let format = match args.format {
        Some(format) => format,
        None => reader::format_of(&args.file)?,
    };
    let (file, hashed) = (args.file.clone(), text.clone());
    let fingerprint =
        tokio::task::spawn_blocking(move || state::fingerprint(&file, &hashed)).await??;
    let state_file = StateFile::of(&args.file, args.state.clone());
    let state = state_file.load(&fingerprint);
    let gateway = Gateway::new(&args.endpoint, &args.key)?;
    if let Some(item_type) = &mapping.item_type {
        gateway.declare(item_type).await?;
    }
    let progress = Progress::default();
    let rows = reader::open(
        &args.file,
        format,
        &mapping.columns,
        mapping.delimiter,
        &progress,
    )?;
    // Who comes to a list and who leaves it depends on which row is the later.
    let concurrency = match args.what {
        What::Members => 1,
        What::Items | What::Profiles | What::Events => usize::from(args.concurrency),
    };
    let batches = Batches {
        builder: Builder::new(mapping, &fingerprint),
        rows,
        done_rows: state.rows,
        size: usize::from(args.batch_size),
    };
    let bytes = std::fs::metadata(&args.file)?.len();
    let rejects = args.rejects.clone().unwrap_or_else(|| {
        let mut name = args.file.as_os_str().to_owned();
        name.push(".rejects.csv");
        name.into()
    });
    let settling = Settling {
        resumed_rows: state.rows,
        rejects: Rejects::new(rejects, state.rows > 0),
        state,
        state_file,
        saved: Instant::now(),
        state_is_kept: true,
        began: Instant::now(),
        bar: bar(bytes),
        progress,
    };
    settle(batches, gateway, concurrency, settling).await
}

/// What an import has come to, in the order of the file.
struct Settling {
    state: State,
    state_file: StateFile,
    state_is_kept: bool,
    saved: Instant,
    rejects: Rejects,
    resumed_rows: u64,
    began: Instant,
    bar: ProgressBar,
    progress: Progress,
}

async fn settle(
    batches: Batches,
    gateway: Gateway,
    concurrency: usize,
    mut settling: Settling,
) -> anyhow::Result<Summary> {
    let (to, from) = mpsc::channel(concurrency);
    let reading = tokio::task::spawn_blocking(move || batches.run(&to));
    let mut settled = ReceiverStream::new(from)
        .map(|batch| {
            let gateway = gateway.clone();
            async move {
                let mut batch: Batch = batch?;
                let outcome = gateway.send(std::mem::take(&mut batch.send)).await?;
                batch.counts.add(outcome.counts);
                batch.rejects.extend(outcome.rejects);
                anyhow::Ok(batch)
            }
        })
        .buffered(concurrency);
    let result = loop {
        match settled.next().await {
            None => break Ok(()),
            Some(Ok(batch)) => settling.settle(batch)?,
            Some(Err(error)) => break Err(error),
        }
    };
    drop(settled);
    reading.await?;
    match result {
        Ok(()) => Ok(settling.finish()),
        Err(error) => {
            settling.save();
            settling.bar.abandon();
            let rows = settling.state.rows;
            Err(error).context(format!(
                "stopped after {rows} rows; the same command goes on from there"
            ))
        }
    }
}

impl Settling {
    fn settle(&mut self, mut batch: Batch) -> anyhow::Result<()> {
        batch.rejects.sort_by_key(|reject| reject.line);
        self.rejects.write(&batch.rejects)?;
        self.state.rows += batch.rows;
        self.state.counts.add(batch.counts);
        // At once after rejects, lest a resumed import writes them again.
        if self.saved.elapsed() >= STATE_INTERVAL || !batch.rejects.is_empty() {
            self.save();
            self.saved = Instant::now();
        }
        let rows = self.state.rows - self.resumed_rows;
        let rate = rows as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        self.bar.set_position(self.progress.bytes());
        let rejected = self.state.counts.rejected;
        self.bar
            .set_message(format!("{rows} rows, {rate:.0}/s, {rejected} rejected"));
        Ok(())
    }

    /// An import that cannot keep its state still imports.
    fn save(&mut self) {
        if !self.state_is_kept {
            return;
        }
        if let Err(error) = self.state_file.save(&self.state) {
            self.state_is_kept = false;
            let path = self.state_file.path().display();
            self.bar.suspend(|| {
                eprintln!("attune: {path} cannot be written ({error}); an interrupted import will begin anew; see --state");
            });
        }
    }

    fn finish(self) -> Summary {
        self.bar.finish_and_clear();
        self.state_file.remove();
        Summary {
            counts: self.state.counts,
            resumed_rows: self.resumed_rows,
            elapsed: self.began.elapsed(),
            rejects: self.rejects.path().to_owned(),
        }
    }
}

fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn print_summary(summary: &Summary) {
    let counts = &summary.counts;
    let seconds = summary.elapsed.as_secs_f64();
    let sent = counts.rows() - summary.resumed_rows.min(counts.rows());
    println!("rows       {}", counts.rows());
    println!("accepted   {}", counts.accepted);
    println!("unchanged  {}", counts.unchanged);
    println!("repeated   {}", counts.repeated);
    println!("skipped    {}", counts.skipped);
    println!("rejected   {}", counts.rejected);
    println!("seconds    {seconds:.2}");
    println!("rows/s     {:.0}", sent as f64 / seconds.max(0.001));
    if counts.rejected > 0 {
        println!("The rejected rows are in {}", summary.rejects.display());
    }
}
