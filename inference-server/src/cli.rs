//! The command line. Settings come from files and the environment.

use std::{fmt::Write, path::PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{config, model_command::ModelCommand, version};

/// Serves a text classification model over HTTP.
#[derive(Debug, Parser)]
#[command(name = "sentiment-server", version = version())]
pub struct Arguments {
    /// Print the settings in force and where each comes from, secrets masked, and exit.
    #[arg(long)]
    pub print_config: bool,
    /// Folder whose *.yaml files hold settings, in place of `MLOPS_CONFIG_DIR`.
    #[arg(long, value_name = "FOLDER")]
    pub config_dir: Option<String>,
    /// Read texts, one a line, from a file (- for standard input), and print their drift baseline.
    #[arg(long, value_name = "FILE")]
    pub make_drift_baseline: Option<PathBuf>,
    /// What to do in place of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What is done in place of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at a model, try it, or pack it.
    #[command(subcommand)]
    Model(ModelCommand),
}

impl Arguments {
    /// Reads the command line; prints and exits for `--help`, `--version` and mistakes.
    #[must_use]
    pub fn from_command_line() -> Self {
        let matches = Self::command().after_help(variables()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The table of environment variables.
fn variables() -> String {
    let mut table = String::from("Environment variables:\n");
    for variable in config::variables() {
        let default = match variable.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        // Writing to a String can't fail.
        let _ = writeln!(table, "  {:<28} {}{default}", variable.name, variable.help);
    }
    table.push_str(
        "  ORT_DYLIB_PATH               ONNX Runtime's libonnxruntime.so [default: found by the system's loader]\n",
    );
    table
}
