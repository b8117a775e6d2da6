//! Any bytes as a YAML file of settings: known settings, or one sentence.

#![no_main]

use inference_server::config::{Config, Environment, parse_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse_file(text) {
        Ok(settings) => {
            let environment: Environment =
                settings.into_iter().map(|(variable, value)| (variable.name.to_owned(), value)).collect();
            // Good or bad, but never a panic.
            let _ = Config::read(&environment);
        }
        Err(problem) => assert!(!problem.is_empty()),
    }
});
