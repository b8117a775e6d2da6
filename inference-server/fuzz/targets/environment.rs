//! Any values in the environment: settings that can be used, or one sentence that names the variable.
//! Each line of the input is a variable, by its number, and a value.

#![no_main]

use std::sync::LazyLock;

use inference_server::config::{Config, Environment, Reader, Settings, Variable, variables};
use libfuzzer_sys::fuzz_target;

const KEY: &str = "MLOPS_API_KEY";
const SECRET: &str = "fuzz-hunter2";

static KNOWN: LazyLock<Vec<&Variable>> = LazyLock::new(|| variables().collect());

fuzz_target!(|data: &[u8]| {
    let mut environment: Environment = [(KEY.to_owned(), SECRET.to_owned())].into();
    for line in data.split(|byte| *byte == b'\n') {
        let Some((number, value)) = line.split_first() else { continue };
        let variable = KNOWN[usize::from(*number) % KNOWN.len()];
        let name = variable.also.filter(|_| *number >= 128).unwrap_or(variable.name);
        if name != KEY {
            environment.insert(name.to_owned(), String::from_utf8_lossy(value).into_owned());
        }
    }
    let shown = match Config::read(&environment) {
        Ok(config) => {
            assert!(config.max_text_length >= 1 && config.engine.queue_capacity >= 1 && config.connections.most >= 1);
            format!("{config:?}")
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(sentence.contains("_") && !sentence.contains('\n'), "not one sentence: {sentence}");
            assert!(
                environment.keys().any(|name| sentence.contains(name.as_str())),
                "{sentence} names none of {environment:?}"
            );
            sentence
        }
    };
    assert!(!shown.contains(SECRET), "the secret is shown");
    let settings = Settings::from(environment);
    assert!(!Reader::new(&settings).print().contains(SECRET), "the secret is printed");
});
