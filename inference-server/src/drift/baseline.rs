//! What live predictions are compared with, and the file that it is kept in.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::statistics::Sample;
use crate::config::DriftConfig;

/// Name of the file in a model directory or in the configuration's folder.
pub const FILE_NAME: &str = "drift-baseline.json";

/// Fewest predictions of a baseline. With fewer, chance alone makes the index large.
pub const FEWEST: usize = 100;

/// Most predictions of a baseline, as many as the largest window holds.
pub const MOST: usize = 10_000;

/// The form of the file that this version reads and writes.
const VERSION: u32 = 1;

/// Why a file is no baseline; each reads as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It can't be read.
    #[error("the drift baseline {path} can't be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It says something else than it should.
    #[error("the drift baseline {path} is not usable: {problem}; make another with --make-drift-baseline")]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The predictions of a baseline. Nothing ties a score to a length or a label, and no text is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predictions {
    version: u32,
    /// Probabilities of the winning labels, 0 to 1, ascending.
    pub scores: Vec<f32>,
    /// Characters of the texts, ascending.
    pub text_lengths: Vec<u16>,
    /// How often each label won.
    pub labels: BTreeMap<String, usize>,
}

impl Predictions {
    /// Collects predictions, each its score, characters and label.
    pub fn collect<'a>(predictions: impl IntoIterator<Item = (f32, u16, &'a str)>) -> Self {
        let mut all = Self { version: VERSION, scores: vec![], text_lengths: vec![], labels: BTreeMap::new() };
        for (score, characters, label) in predictions {
            all.scores.push(score);
            all.text_lengths.push(characters);
            *all.labels.entry(label.to_owned()).or_default() += 1;
        }
        all.scores.sort_unstable_by(f32::total_cmp);
        all.text_lengths.sort_unstable();
        all
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, BaselineError> {
        let text =
            fs::read_to_string(path).map_err(|source| BaselineError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|problem| BaselineError::Bad { path: path.to_owned(), problem })
    }

    /// Reads a file's content. The error is a sentence.
    fn parse(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if read.version != VERSION {
            return Err(format!("it is of version {}, and this server reads version {VERSION}", read.version));
        }
        read.check()?;
        Ok(read)
    }

    /// Whether these can be compared with. The error is a sentence.
    pub fn check(&self) -> Result<(), String> {
        let count = self.scores.len();
        if !(FEWEST..=MOST).contains(&count) {
            return Err(format!("it has {count} predictions, but must have {FEWEST} to {MOST}"));
        }
        let labelled = self.labels.values().try_fold(0_usize, |sum, count| sum.checked_add(*count));
        if self.text_lengths.len() != count || labelled != Some(count) {
            return Err(format!("it has {count} scores, and not as many text lengths and labels"));
        }
        if self.scores.iter().any(|score| !(0.0..=1.0).contains(score)) {
            return Err("a score is not within 0 and 1".to_owned());
        }
        Ok(())
    }

    /// The first of these labels that won in it.
    pub fn won_by<'a>(&self, mut labels: impl Iterator<Item = &'a Arc<str>>) -> Option<&'a Arc<str>> {
        labels.find(|label| self.labels.get(&***label).is_some_and(|count| *count > 0))
    }

    /// The content of a file, one field a line.
    pub fn to_text(&self) -> serde_json::Result<String> {
        Ok(format!(
            "{{\n\"version\": {},\n\"scores\": {},\n\"text_lengths\": {},\n\"labels\": {}\n}}\n",
            self.version,
            serde_json::to_string(&self.scores)?,
            serde_json::to_string(&self.text_lengths)?,
            serde_json::to_string(&self.labels)?,
        ))
    }
}

/// Where a baseline came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// The first full window of this process.
    FirstWindow,
}

/// The file that is in force: the one that the settings name, else the first one that is there of the
/// folder of settings and the model's directory.
#[must_use]
pub fn find(config: &DriftConfig, model_directory: &Path) -> Option<PathBuf> {
    let folders = [&config.config_dir, model_directory];
    let there = || folders.iter().map(|folder| folder.join(FILE_NAME)).find(|file| file.is_file());
    config.baseline.clone().or_else(there)
}

/// A baseline, ready to be compared with.
#[derive(Debug)]
pub struct Baseline {
    /// Where it came from.
    pub origin: Origin,
    /// Probabilities of the winning labels.
    pub scores: Sample,
    /// Characters of the texts.
    pub text_lengths: Sample,
    /// How often each label won, in the order of `names`.
    pub labels: Vec<usize>,
    /// The model's labels in their order, then those that only the baseline has.
    pub names: Vec<String>,
}

impl Baseline {
    /// Makes predictions comparable with those of a model that has these labels.
    #[must_use]
    pub fn new(origin: Origin, predictions: Predictions, model_labels: &[Arc<str>]) -> Self {
        let Predictions { scores, text_lengths, labels, .. } = predictions;
        let foreign = labels.keys().filter(|label| !model_labels.iter().any(|own| **own == ***label));
        let own = model_labels.iter().map(ToString::to_string);
        let names: Vec<String> = own.chain(foreign.cloned()).collect();
        Self {
            origin,
            scores: Sample::new(scores.into_iter().map(f64::from).collect()),
            text_lengths: Sample::new(text_lengths.into_iter().map(f64::from).collect()),
            labels: names.iter().map(|name| labels.get(name).copied().unwrap_or(0)).collect(),
            names,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(count: usize) -> Predictions {
        Predictions::collect((0..count).map(|_| (0.75, 12, "POSITIVE")))
    }

    fn problem(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut value = serde_json::from_str(&predictions(FEWEST).to_text().unwrap()).unwrap();
        change(&mut value);
        Predictions::parse(&value.to_string()).unwrap_err()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let all = (1..=150_u16).rev().map(|number| {
            let label = if number % 3 == 0 { "POSITIVE" } else { "NEGATIVE" };
            (f32::from(number) / 150.0, number, label)
        });
        let written = Predictions::collect(all);
        assert!(written.scores.is_sorted() && written.text_lengths.is_sorted());
        assert_eq!(written.labels["NEGATIVE"], 100);
        assert_eq!(Predictions::parse(&written.to_text().unwrap()), Ok(written));
    }

    #[test]
    fn what_can_not_be_compared_with_is_refused_in_a_sentence() {
        assert!(Predictions::parse("{}").unwrap_err().contains("missing field `version`"));
        assert_eq!(
            Predictions::parse(&predictions(99).to_text().unwrap()).unwrap_err(),
            "it has 99 predictions, but must have 100 to 10000"
        );
        assert!(predictions(MOST).check().is_ok() && predictions(MOST + 1).check().is_err());
        assert_eq!(problem(|file| file["version"] = 2.into()), "it is of version 2, and this server reads version 1");
        let count = "it has 100 scores, and not as many text lengths and labels";
        assert_eq!(problem(|file| file["labels"]["POSITIVE"] = 99.into()), count);
        assert_eq!(problem(|file| drop(file["text_lengths"].as_array_mut().unwrap().pop())), count);
        assert_eq!(problem(|file| file["scores"][7] = 1.5.into()), "a score is not within 0 and 1");
        assert!(problem(|file| file["text"] = "secret".into()).contains("unknown field `text`"));
    }

    #[test]
    fn labels_that_won_are_known() {
        let labels: [Arc<str>; 2] = ["NEUTRAL".into(), "POSITIVE".into()];
        assert_eq!(predictions(FEWEST).won_by(labels.iter()), Some(&labels[1]));
        assert_eq!(predictions(FEWEST).won_by(labels[..1].iter()), None);
    }

    #[test]
    fn labels_are_in_the_models_order_and_foreign_ones_behind() {
        let predictions = Predictions::collect([(0.5, 1, "good"), (0.5, 1, "odd"), (0.5, 1, "good")]);
        let baseline = Baseline::new(Origin::FirstWindow, predictions, &["bad".into(), "good".into()]);
        assert_eq!((baseline.names, baseline.labels), (vec!["bad".into(), "good".into(), "odd".into()], vec![0, 2, 1]));
    }

    #[test]
    fn the_file_asked_for_comes_first_then_the_folders_in_order() {
        let folder = std::env::temp_dir().join(format!("kubesentiment-baseline-{}", std::process::id()));
        let (settings, model) = (folder.join("config"), folder.join("model"));
        fs::create_dir_all(&settings).unwrap();
        fs::create_dir_all(&model).unwrap();
        let mut config = DriftConfig { config_dir: settings.clone(), ..crate::drift::tests::config() };
        assert_eq!(find(&config, &model), None);
        fs::write(model.join(FILE_NAME), "").unwrap();
        assert_eq!(find(&config, &model), Some(model.join(FILE_NAME)));
        fs::write(settings.join(FILE_NAME), "").unwrap();
        assert_eq!(find(&config, &model), Some(settings.join(FILE_NAME)));
        config.baseline = Some("/none".into());
        assert_eq!(find(&config, &model), Some("/none".into()));
        fs::remove_dir_all(folder).unwrap();
    }
}
