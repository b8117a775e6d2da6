//! `sentiment-server`: see `--help`.

use std::process::ExitCode;

use inference_server::{cli::Arguments, serve};

fn main() -> ExitCode {
    serve::run(Arguments::from_command_line())
}
