//! What a model is.

use std::io::Write;

use engine::Layout;
use serde::Serialize;

use super::{CommandError, Format};
use model::{Model, ModelError};

/// Labels that are named on a person's line.
const MOST_LABELS: usize = 12;

#[derive(Serialize)]
struct Inspected<'a> {
    family: Option<&'a str>,
    file: String,
    tokenizer: String,
    inputs: &'a [String],
    output: &'a str,
    problem: &'static str,
    activation: &'static str,
    labels: Vec<&'a str>,
    precision: Option<&'static str>,
    max_tokens: usize,
    unpadded_batches: bool,
    texts_at_once: Option<usize>,
    bytes: u64,
    digest: String,
}

/// Writes it.
pub(super) fn inspect(model: Model, format: Format, out: &mut impl Write) -> Result<(), CommandError> {
    let profile = model.classifier().profile();
    let Model { directory, file, provenance, max_tokens, head, description, .. } = model;
    let digest = provenance.identify().map_err(ModelError::from)?.model;
    let relative = |path: &std::path::Path| path.strip_prefix(&directory).unwrap_or(path).display().to_string();
    let inspected = Inspected {
        family: description.family.as_deref(),
        file: relative(&file),
        tokenizer: relative(&description.tokenizer),
        inputs: &description.inputs,
        output: &description.output,
        problem: head.problem().as_str(),
        activation: head.activation().as_str(),
        labels: head.names().collect(),
        precision: description.precision,
        max_tokens,
        unpadded_batches: profile.layout == Layout::Varlen,
        texts_at_once: profile.most_texts,
        bytes: description.bytes,
        digest: digest.to_string(),
    };
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&inspected).unwrap_or_default())?,
        Format::Text => text(&inspected, out)?,
    }
    Ok(())
}

fn text(found: &Inspected<'_>, out: &mut impl Write) -> std::io::Result<()> {
    let batches = match (found.unpadded_batches, found.texts_at_once) {
        (true, _) => "without padding".to_owned(),
        (false, Some(1)) => "one text each".to_owned(),
        (false, Some(most)) => format!("of {most} texts"),
        (false, None) => "padded; prepare-model makes a graph for batches without padding".to_owned(),
    };
    let more = found.labels.len().saturating_sub(MOST_LABELS);
    let shown = &found.labels[..found.labels.len() - more];
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    for (name, value) in [
        ("family", found.family.unwrap_or("unknown").to_owned()),
        ("file", found.file.clone()),
        ("tokenizer", found.tokenizer.clone()),
        ("inputs", found.inputs.join(", ")),
        ("output", found.output.to_owned()),
        ("problem", format!("{}, by {}", found.problem, found.activation)),
        ("labels", format!("{} ({}{more})", found.labels.len(), shown.join(", "))),
        ("precision", found.precision.unwrap_or("unknown").to_owned()),
        ("max tokens", found.max_tokens.to_string()),
        ("batches", batches),
        ("size", megabytes(found.bytes)),
        ("digest", found.digest.clone()),
    ] {
        writeln!(out, "{name:<11} {value}")?;
    }
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    // In tenths, so that no number loses digits.
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}
