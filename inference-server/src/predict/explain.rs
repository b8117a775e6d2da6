//! How much each word of a text speaks for a label, by occlusion: the text is run once as it is and once without each word,
//! and what the label's probability loses is that word's share.

use std::{ops::Range, sync::Arc, time::Instant};

use engine::TokenizeError;
use model::{Head, LongTexts, Verdict};

use super::{PredictError, Predictor, ServedModel, occlusion};

/// Runs of the model beside the one of the whole text. A text of more words is explained by groups.
const MOST_RUNS: usize = 64;

/// What each word of a text does to a label's probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// What is answered of the text, or of the part that is explained where the text is read in windows.
    pub verdict: Verdict,
    /// The label that is explained, by its class.
    pub class: usize,
    /// Its probability.
    pub probability: f32,
    /// The words or groups of words in the order of the text, in bytes, each with what the probability loses without it;
    /// negative for one that speaks against the label.
    pub shares: Vec<(Range<usize>, f32)>,
    /// Words of each group; more than 1 of a text that has more than 64.
    pub words_of_each: usize,
    /// Whether only the start of the text is explained, as the model reads no more at once.
    pub truncated: bool,
}

impl Predictor {
    /// Explains a label of a text, by its class, or else the most probable one. Takes as many runs as a batch.
    pub async fn explain(
        &self,
        model: &ServedModel,
        text: &Arc<str>,
        class: Option<usize>,
        long_texts: LongTexts,
        deadline: Instant,
    ) -> Result<Explained, PredictError> {
        let (groups, words_of_each, truncated) = groups(model, text).await?;
        let read_to = groups.last().map_or(text.len(), |group| group.end);
        let occluded = groups.iter().map(|group| occlusion::without(&text[..read_to], group));
        let whole = match long_texts {
            LongTexts::Windows => &text[..read_to],
            LongTexts::Cut | LongTexts::Refuse => text,
        };
        let variants = std::iter::once(whole.to_owned()).chain(occluded).collect();
        let mut outcomes = self.run_all(model, variants, deadline).await?.into_iter();

        let head = &model.head;
        let logits = outcomes.next().ok_or_else(PredictError::broken_output)??;
        let verdict = head.judge(&logits).ok_or_else(PredictError::broken_output)?;
        let whole = head.scores(&logits).ok_or_else(PredictError::broken_output)?;
        let class = class.unwrap_or_else(|| most_probable(&whole));
        let losses = outcomes.map(|logits| Ok(whole[class] - probability(head, class, logits.ok())?));
        let losses = losses.collect::<Result<Vec<_>, PredictError>>()?;
        let shares = groups.into_iter().zip(losses).collect();
        Ok(Explained { verdict, class, probability: whole[class], shares, words_of_each, truncated })
    }
}

/// The words or groups of words that the model reads, how many words a group has, and whether there
/// are more behind them.
async fn groups(model: &ServedModel, text: &Arc<str>) -> Result<(Vec<Range<usize>>, usize, bool), PredictError> {
    let (text, tokenizer) = (Arc::clone(text), Arc::clone(&model.tokenizer));
    // A long text is tokenized several times, which is too long for a thread that serves requests.
    let found = tokio::task::spawn_blocking(move || {
        let mut words = occlusion::words(&text);
        let (read, truncated) = occlusion::words_read(tokenizer.as_ref(), &text, &words)?;
        words.truncate(read);
        let size = words.len().div_ceil(MOST_RUNS).max(1);
        Ok((occlusion::group(&words, size), size, truncated))
    });
    let found: Result<_, TokenizeError> =
        found.await.unwrap_or_else(|_| Err("the tokenizer panicked".to_owned().into()));
    found.map_err(|error| PredictError::unreadable(&error))
}

/// A class's probability. Where a text without a word has nothing left that the model could see, there
/// are no logits, and no class is more probable than another.
fn probability(head: &Head, class: usize, logits: Option<Vec<f32>>) -> Result<f32, PredictError> {
    match logits {
        Some(logits) => head.scores(&logits).map(|all| all[class]).ok_or_else(PredictError::broken_output),
        None => Ok(1.0 / f32::from(u16::try_from(head.names().len().max(2)).unwrap_or(u16::MAX))),
    }
}

fn most_probable(probabilities: &[f32]) -> usize {
    let highest = probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    highest.map_or(0, |(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nothing_every_label_is_as_probable() {
        let labels = |count: usize| Head::single_label(&vec!["a"; count]);
        for (count, expected) in [(1, 0.5), (2, 0.5), (4, 0.25)] {
            assert_eq!(probability(&labels(count), 0, None), Ok(expected));
        }
        let even = probability(&labels(2), 1, Some(vec![3.0, 3.0]));
        assert_eq!(even, Ok(0.5));
        assert!(probability(&labels(2), 1, Some(vec![f32::NAN, 0.0])).is_err());
    }

    #[test]
    fn the_most_probable_is_the_highest() {
        assert_eq!(most_probable(&[0.1, 0.7, 0.2]), 1);
        assert_eq!(most_probable(&[]), 0);
    }
}
