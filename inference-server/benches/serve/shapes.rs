//! What batches without padding are worth to models of other shapes: the queue's own choice of batches, over both graphs.

use std::{env, path::Path, time::Duration};

use engine::Layout;
use inference_server::{
    config::{Config, Environment},
    cpus,
};
use model::Model;

use crate::{
    limit::{AsExported, with_in_hand},
    report::ratio,
    texts,
};

/// How often the two graphs are measured in turn.
const ROUNDS: usize = 3;

/// Texts to choose batches from.
const IN_HAND: usize = 32;

/// Prints the row of a shape.
pub fn measure(shape: &str, model: &Path, row: Duration) {
    let exported = AsExported::of(model);
    let [padded, unpadded] = [exported.path(), model].map(config);
    for (config, layout) in [(&padded, Layout::Padded), (&unpadded, Layout::Varlen)] {
        let found = Model::load(&config.model).unwrap().classifier().profile().layout;
        assert_eq!(found, layout, "{shape}");
    }
    let sentences = texts::sentences(2000);
    let rate = |config: &Config| with_in_hand(config, cpus::usable(), &sentences, IN_HAND, row);
    let rounds: Vec<[f64; 2]> = (0..ROUNDS)
        .map(|round| {
            // Neither is always the one behind the other.
            if round % 2 == 0 {
                let padded = rate(&padded);
                [padded, rate(&unpadded)]
            } else {
                let unpadded = rate(&unpadded);
                [rate(&padded), unpadded]
            }
        })
        .collect();
    let mean = |which: usize| rounds.iter().map(|rates| rates[which]).sum::<f64>() / ROUNDS as f64;
    let gained: Vec<f64> = rounds.iter().map(|[padded, unpadded]| unpadded / padded).collect();
    println!(
        "{shape:<11} {:>7.1} texts/s padded, {:>7.1} without padding: {} times as many",
        mean(0),
        mean(1),
        ratio(&gained)
    );
}

fn config(model: &Path) -> Config {
    let settings: Environment =
        env::vars().chain([("MLOPS_ONNX_MODEL_PATH".to_owned(), model.display().to_string())]).collect();
    Config::read(&settings).unwrap()
}
