//! The repository's own tasks: `cargo xtask --help`.

mod postgres;
mod shell;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// A private PostgreSQL under target/postgres, for tests and benchmarks
    #[command(subcommand)]
    Postgres(Postgres),
}

#[derive(Subcommand)]
enum Postgres {
    /// Start it, if it does not run, and print its address
    Start,
    /// Stop it; the data stays
    Stop,
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Postgres(Postgres::Start) => postgres::start().map(drop),
        Task::Postgres(Postgres::Stop) => postgres::stop(),
    }
}
