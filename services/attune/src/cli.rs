//! The command line: what can be asked for, and what the process exits with. 0 is done,
//! 1 is failed, 2 is asked for wrongly. Does none of the work itself.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{demo, import, keys, serve, settings};

/// Personalization for every channel: profiles, catalog, rules, messages.
#[derive(Debug, Parser)]
#[command(name = "attune", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all services in this process, or some of them.
    Serve(SettingsArgs),
    /// Send a file of items, profiles, events or members of a list to a running gateway.
    Import(import::ImportArgs),
    /// Show what it does: a small shop in a scratch directory, and its front page for
    /// three people.
    Demo(demo::DemoArgs),
    /// The master keys, under which the keys of people are kept.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Print a configuration file with every key, explained, at its default.
    Config,
}

/// What `serve` takes. Flags win over the environment, which wins over the file.
#[derive(Debug, Clone, Default, Args)]
pub struct SettingsArgs {
    /// The services to run here: profile, catalog, rule-engine, messaging, gateway.
    #[arg(long, value_name = "A,B")]
    pub services: Option<String>,
    /// The address to serve on; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// The directory of the embedded databases.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE", env = settings::FILE_VARIABLE)]
    pub config: Option<PathBuf>,
    /// Any other setting, as in `--set telemetry.log_format=json`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Serve(args) => match settings::load(&args) {
            Ok(settings) => run_async(serve::until_signalled(settings)),
            Err(faults) => {
                eprintln!("{faults}");
                ExitCode::from(2)
            }
        },
        Command::Import(args) => run_async_for(import::run(args)),
        Command::Demo(args) => run_async(demo::run(args)),
        Command::Keys(keys::KeysCommand::Generate) => {
            println!("{}", attune_vault::Masters::generate());
            ExitCode::SUCCESS
        }
        Command::Keys(keys::KeysCommand::Rotate(args)) => match settings::load(&args) {
            Ok(settings) => run_async(keys::rotate(settings)),
            Err(faults) => {
                eprintln!("{faults}");
                ExitCode::from(2)
            }
        },
        Command::Config => {
            print!("{}", settings::reference());
            ExitCode::SUCCESS
        }
    }
}

fn run_async(command: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    run_async_for(async { command.await.map(|()| true) })
}

/// Runs one command on a runtime of its own and tells why it failed; false is a failure
/// that the command has told itself.
fn run_async_for(command: impl Future<Output = anyhow::Result<bool>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(command))
    {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("attune: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_setting_needs_a_key_and_a_value() {
        assert!(key_and_value("a.b=c=d").is_ok_and(|(k, v)| k == "a.b" && v == "c=d"));
        for broken in ["", "a", "=b"] {
            assert!(key_and_value(broken).is_err(), "{broken}");
        }
    }
}
