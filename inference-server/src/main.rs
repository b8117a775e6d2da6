//! `sentiment-server`: see `--help`.

use std::process::ExitCode;

use inference_server::{cli::Arguments, serve};

fn main() -> ExitCode {
    let arguments = Arguments::from_command_line();
    serve::run(arguments.print_config)
}
