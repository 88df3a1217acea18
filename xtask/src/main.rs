//! The repository's own tasks: `cargo xtask --help`.

mod bench;
mod postgres;
mod proto;
mod shell;
mod test;
mod tools;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Everything that must hold: lints, unit, contract and end-to-end tests
    Test,
    /// Format, protos and clippy alone
    Lint,
    /// The protos' lint rules and their compatibility with the baseline
    #[command(subcommand)]
    Proto(Proto),
    /// Build in release and run a benchmark, e.g. `bench gateway --json out.json`
    Bench {
        /// gateway, profile or rules; `rules --no-peers` does not build the engines it compares with
        name: String,
        /// Passed on; `--help` shows what the benchmark takes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// A private PostgreSQL under target/postgres, for tests and benchmarks
    #[command(subcommand)]
    Postgres(Postgres),
    /// Install the clients and servers of other languages that tests use
    Foreign,
}

#[derive(Subcommand)]
enum Proto {
    /// Lint, format, breaking changes
    Check,
    /// Make today's protos the baseline; for a release
    Accept,
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
        Task::Test => test::test(),
        Task::Lint => test::lint(),
        Task::Proto(Proto::Check) => proto::check(),
        Task::Proto(Proto::Accept) => proto::accept(),
        Task::Bench { name, arguments } => bench::bench(&name, &arguments),
        Task::Postgres(Postgres::Start) => postgres::start().map(drop),
        Task::Postgres(Postgres::Stop) => postgres::stop(),
        Task::Foreign => tools::foreign(),
    }
}
