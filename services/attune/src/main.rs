//! The program: reads the command line and hands over. Everything it can do lives in a
//! module of its own.

mod cli;
mod demo;
mod import;
mod keys;
mod serve;
mod settings;

use std::process::ExitCode;

use clap::Parser;

/// A fifth of the CPU of a small call is allocation with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
