//! The command line.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    ask::{self, Bench, Explain, Predict, Trial},
    cluster::{Cluster, Flags},
    convert::{self, Convert},
    diff::{self, Diff},
    error::Error,
    lint::{self, Lint},
    output,
    render::{self, Render},
    report::{self, Report},
    status::{self, Status},
};

/// Exit code where something was found that the command looks for: findings, differences, too many mistakes.
const FOUND: u8 = 1;
/// Exit code of a command that couldn't do its work, as of a wrong command line.
const FAILED: u8 = 2;

/// What a person asks of SentimentServices
///
/// Exit code 0: done, 1: found what the command looks for (findings, differences), 2: couldn't.
#[derive(Debug, Parser)]
#[command(name = "kubectl-sentiment", bin_name = "kubectl sentiment", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    cluster: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    Status(Status),
    Render(Render),
    Lint(Lint),
    Convert(Convert),
    Diff(Diff),
    Predict(Predict),
    Explain(Explain),
    Test(Trial),
    Bench(Bench),
    Report(Report),
    /// Prints a completion script
    ///
    /// kubectl asks a program kubectl_complete-sentiment on the PATH for the completion of `kubectl sentiment`; this script
    /// completes `kubectl-sentiment` itself.
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Prints the version of the plugin and of the resource that it knows
    Version,
}

/// How a command ended that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is nothing to tell by the exit code.
    Fine,
    /// What was looked for is there.
    Found,
}

/// Does what the command line says, and tells why it couldn't.
pub async fn run(cli: Cli) -> ExitCode {
    match Box::pin(command(cli)).await {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(FOUND),
        Err(error) => {
            output::note(&format!("{} {error}", output::styled(output::BAD, "error:")));
            ExitCode::from(FAILED)
        }
    }
}

async fn command(Cli { command, cluster }: Cli) -> Result<Outcome, Error> {
    let connect = || Cluster::connect(&cluster);
    match command {
        Command::Status(command) => status::run(command, &connect().await?).await?,
        Command::Render(command) => render::run(command, cluster.namespace.as_deref())?,
        Command::Lint(command) => return lint::run(command),
        Command::Convert(command) => return convert::run(command),
        Command::Diff(command) => return Box::pin(diff::run(command, &connect().await?)).await,
        Command::Predict(command) => ask::predict(command, &connect().await?).await?,
        Command::Explain(command) => ask::explain(command, &connect().await?).await?,
        Command::Test(command) => return ask::trial(command, &connect().await?).await,
        Command::Bench(command) => ask::bench(command, &connect().await?).await?,
        Command::Report(command) => report::run(command, &connect().await?).await?,
        Command::Completion { shell } => completion(shell)?,
        Command::Version => output::write(&version())?,
    }
    Ok(Outcome::Fine)
}

fn completion(shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    // The name that shells know: that of the file.
    let mut command = Cli::command().bin_name("kubectl-sentiment");
    clap_complete::generate(shell, &mut command, "kubectl-sentiment", &mut script);
    output::write(&String::from_utf8_lossy(&script))
}

fn version() -> String {
    format!("kubectl-sentiment {}, for {}\n", env!("CARGO_PKG_VERSION"), crate::input::API_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_help() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
