//! `test`: a few texts, whether their labels are right, and how long answers take.

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use serde_json::json;

use super::{KeyFlags, Target, millis, percentile, predict::label};
use crate::{
    cli::Outcome,
    cluster::Cluster,
    error::Error,
    output::{self, BAD, Format, GOOD, JsonFormat, Table, styled},
};

/// Texts whose labels are beyond doubt, for the default model.
const TEXTS: [(&str, &str); 6] = [
    ("I love this product", "POSITIVE"),
    ("Terrible support, I want my money back", "NEGATIVE"),
    ("The battery lasts all day and the screen is gorgeous", "POSITIVE"),
    ("It broke after a week and nobody answers my mails", "NEGATIVE"),
    ("Fast delivery, friendly people, will buy again", "POSITIVE"),
    ("A complete waste of time", "NEGATIVE"),
];
/// More is a job for batches.
const MOST: usize = 10_000;

/// Sends texts to a service one after the other, and tells how many labels are right and how long answers take
///
/// A file has TEXT, or TEXT<TAB>LABEL, a line. Without one, six English sentences are sent, whose labels are those of the
/// default model. Exit code 1: fewer labels are right than --min-accuracy asks for, or a text has no answer.
#[derive(Debug, clap::Args)]
pub struct Trial {
    /// Name of the service
    name: String,
    /// File with texts; - is the standard input
    file: Option<PathBuf>,
    /// The least share of labels that has to be right, from 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    min_accuracy: Option<f64>,
    /// Form of the result
    #[arg(short, long, value_enum)]
    output: Option<JsonFormat>,
    #[command(flatten)]
    key: KeyFlags,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "it has to be a number from 0 to 1, such as 0.9".to_owned())
}

/// A text, and the label that it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) label: Option<String>,
}

/// What became of a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Tried {
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip)]
    pub(super) took: Duration,
}

/// What became of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) texts: usize,
    pub(super) failed: usize,
    pub(super) labelled: usize,
    pub(super) right: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accuracy: Option<f64>,
    pub(super) median_ms: f64,
    pub(super) p99_ms: f64,
}

/// The lines of a file that aren't empty.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let lines = text.lines().map(|line| line.trim_end_matches('\r')).filter(|line| !line.trim().is_empty());
    let read = |line: &str| match line.rsplit_once('\t') {
        Some((text, label)) if !label.trim().is_empty() => {
            Line { text: text.to_owned(), label: Some(label.trim().to_owned()) }
        }
        Some((text, _)) => Line { text: text.to_owned(), label: None },
        None => Line { text: line.to_owned(), label: None },
    };
    lines.map(read).collect()
}

fn read(file: &Path) -> Result<Vec<Line>, Error> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    let found = lines(&text.map_err(Error::file(file))?);
    match found.len() {
        0 => Err(Error::Usage(format!("{} holds no text: write TEXT<TAB>LABEL a line", file.display()))),
        1..=MOST => Ok(found),
        count => Err(Error::Usage(format!("{} holds {count} texts: give at most {MOST}", file.display()))),
    }
}

/// Counts. `is_ours`: the labels are those of the default model, and say nothing about a model that has none of them.
pub(super) fn summary(tried: &[Tried], is_ours: bool) -> Summary {
    let answered = |one: &&Tried| one.error.is_none();
    let right = |one: &Tried| match (&one.label, &one.expected) {
        (Some(label), Some(expected)) => label.eq_ignore_ascii_case(expected),
        _ => false,
    };
    let knows = |one: &Tried| {
        one.label.as_deref().is_some_and(|label| TEXTS.iter().any(|(_, known)| label.eq_ignore_ascii_case(known)))
    };
    let counts = !is_ours || tried.iter().any(knows);
    let labelled = tried.iter().filter(|one| counts && one.expected.is_some()).count();
    let right = tried.iter().filter(|one| counts && right(one)).count();
    let mut times: Vec<Duration> = tried.iter().filter(answered).map(|one| one.took).collect();
    times.sort_unstable();
    let of = |share| percentile(&times, share).as_secs_f64() * 1000.0;
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let accuracy = (labelled > 0).then(|| right as f64 / labelled as f64);
    let failed = tried.len() - times.len();
    Summary { texts: tried.len(), failed, labelled, right, accuracy, median_ms: of(0.5), p99_ms: of(0.99) }
}

/// Runs the command.
pub async fn run(command: Trial, cluster: &Cluster) -> Result<Outcome, Error> {
    let Trial { name, file, min_accuracy, output, key } = command;
    let lines = match &file {
        Some(file) => read(file)?,
        None => TEXTS.map(|(text, label)| Line { text: text.to_owned(), label: Some(label.to_owned()) }).into(),
    };
    let target = Target::new(cluster, &name, &key).await?;
    let mut tried: Vec<Tried> = Vec::with_capacity(lines.len());
    for Line { text, label: expected } in lines {
        let is_first = tried.is_empty();
        let asked = target.post("/predict", &json!({"text": text})).await;
        tried.push(match asked {
            Ok(answer) => {
                let label = Some(label(&answer.body).to_owned());
                Tried { text, expected, label, error: None, took: answer.took }
            }
            // Nobody answers at all, or not to us.
            Err(refusal) if matches!(refusal.status, 401 | 403 | 404) => return Err(target.explained(refusal).await),
            Err(refusal) if is_first && !(400..500).contains(&refusal.status) => {
                return Err(target.explained(refusal).await);
            }
            Err(refusal) => Tried { text, expected, label: None, error: Some(refusal.sentence), took: Duration::ZERO },
        });
    }
    let summary = summary(&tried, file.is_none());
    output::write(&match output {
        Some(JsonFormat::Json) => output::serialized(Format::Json, &json!({"summary": summary, "texts": tried}))?,
        None => shown(&tried, &summary),
    })?;
    let too_few = summary.accuracy.zip(min_accuracy).is_some_and(|(accuracy, least)| accuracy < least);
    if min_accuracy.is_some() && summary.accuracy.is_none() {
        return Err(Error::Usage(
            "--min-accuracy needs labels: write TEXT<TAB>LABEL a line, in labels of the model".to_owned(),
        ));
    }
    Ok(if summary.failed > 0 || too_few { Outcome::Found } else { Outcome::Fine })
}

/// The texts, if there are few, and the wrong ones of many; then the counts.
pub(super) fn shown(tried: &[Tried], summary: &Summary) -> String {
    let is_right = |one: &Tried| match (&one.label, &one.expected) {
        (Some(label), Some(expected)) if summary.labelled > 0 => label.eq_ignore_ascii_case(expected),
        (label, _) => label.is_some(),
    };
    let mut table = Table::new(["LABEL", "EXPECTED", "LATENCY", "TEXT"]);
    for one in tried.iter().filter(|one| tried.len() <= 20 || !is_right(one)) {
        table.row();
        table.add_styled(
            one.label.as_deref().or(one.error.as_deref()).unwrap_or_default(),
            if is_right(one) { GOOD } else { BAD },
        );
        table.add(one.expected.as_deref().filter(|_| summary.labelled > 0).unwrap_or_default());
        table.add(if one.error.is_some() { String::new() } else { millis(one.took) });
        table.add(&*one.text);
    }
    let mut text = if table.is_empty() { String::new() } else { table.render("") + "\n" };
    if let Some(accuracy) = summary.accuracy {
        let style = if summary.right == summary.labelled { GOOD } else { BAD };
        let words = format!("{} of {} labels are right ({:.1} %)", summary.right, summary.labelled, accuracy * 100.0);
        text.push_str(&format!("{}\n", styled(style, &words)));
    } else {
        text.push_str("Whether the labels are right isn't known: the texts have none, or those of another model.\n");
    }
    if summary.failed > 0 {
        text.push_str(&format!("{} of {} texts have no answer\n", summary.failed, summary.texts));
    }
    text.push_str(&format!(
        "latency: median {:.1} ms, p99 {:.1} ms, the way through the API server included\n",
        summary.median_ms, summary.p99_ms
    ));
    text
}
