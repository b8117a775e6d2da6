//! A model beside another, each in a server of its own.

use std::{path::Path, time::Duration};

use crate::{
    load,
    pair::{ROUNDS, loaded, pair},
    server::Server,
    texts,
};

const CONNECTIONS: usize = 32;

/// Prints texts a second and memory of `model` by those of `reference`; both are folders.
pub fn measure(model: &str, reference: &str, row: Duration) {
    if !Path::new(reference).join("config.json").is_file() {
        println!("\nmodels: not measured: BENCH_REFERENCE={reference} is no folder of a model");
        return;
    }
    let requests = load::requests(&texts::sentences(2000));
    let start = |folder| {
        let settings = [("MLOPS_ONNX_MODEL_PATH", folder), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")];
        Server::start(&settings, &requests[0])
    };
    let [reference, model] = [start(reference), start(model)];
    let memory = |when: &str| {
        let [reference, model] = [&reference, &model].map(|server| server.memory("VmRSS"));
        println!(
            "    memory {when}: reference {reference:.1} MiB resident, model {model:.1}, {:.2} of it",
            model / reference
        );
    };
    println!("\nTwo models, sentences, {CONNECTIONS} connections, {ROUNDS} rounds in turn");
    memory("after the first answer");
    pair(
        ["reference", "model"],
        || loaded(&reference, &requests, CONNECTIONS, row),
        || loaded(&model, &requests, CONNECTIONS, row),
    );
    memory("after the loads");
}
