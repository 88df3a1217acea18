//! Benchmarks that drive the product from outside, each side by side with its
//! yardstick in one run. `cargo xtask bench NAME` builds and calls this.

mod drive;
mod echo;
mod gateway;
mod home;
mod profile;
mod report;
mod rules;
mod server;
mod shop;
mod wire;

use clap::Parser;

/// As the product's binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
enum Bench {
    /// `Personalize` against a bare echo.
    Gateway(gateway::Options),
    /// Taking events in against the raw database, and what people cost to keep.
    Profile(profile::Options),
    /// Matching rules against a floor and other engines, and deciding.
    Rules(rules::Options),
    /// The yardstick's server; started by the benchmarks.
    #[command(hide = true)]
    Echo { answer_bytes: usize },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Bench::parse() {
        Bench::Gateway(options) => gateway::run(options).await,
        Bench::Profile(options) => profile::run(options).await,
        Bench::Rules(options) => rules::run(options).await,
        Bench::Echo { answer_bytes } => echo::serve(answer_bytes).await,
    }
}
