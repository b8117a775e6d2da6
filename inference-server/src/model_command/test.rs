//! Answers to a few texts.

use std::{io::Write, time::Instant};

use super::CommandError;
use model::{Model, NO_VERDICT};

/// What is asked where nobody says.
const TEXTS: [&str; 4] = [
    "I love this product, it works exactly as promised.",
    "It broke after a week and nobody answers my calls.",
    "The parcel arrived on Tuesday.",
    "Not bad at all, but I expected more for the price.",
];

/// Scores that are shown of each text.
const MOST_SCORES: usize = 3;

/// Writes a line for each text: its best labels with their scores, and the time that it took by itself.
pub(super) fn test(model: &Model, texts: &[String], out: &mut impl Write) -> Result<(), CommandError> {
    let mut classifier = model.classifier();
    let own = TEXTS.map(str::to_owned);
    for text in if texts.is_empty() { &own[..] } else { texts } {
        let wrong = |problem: String| CommandError::Text { text: text.clone(), problem };
        let start = Instant::now();
        let outputs = model.outputs(&mut *classifier, &text.as_str().into()).map_err(wrong)?;
        let took = start.elapsed();
        let ranked = model.head.ranked(&outputs, MOST_SCORES).ok_or_else(|| wrong(NO_VERDICT.to_owned()))?;
        let scores = ranked.iter().map(|verdict| format!("{} {:.4}", verdict.label, verdict.score));
        let scores = scores.collect::<Vec<_>>().join(", ");
        writeln!(out, "{scores}  ({:.1} ms)  {text}", took.as_secs_f64() * 1000.0)?;
    }
    Ok(())
}
