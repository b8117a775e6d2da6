//! Which label the latest predictions had, so that feedback on one can be told from praise.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use uuid::Uuid;

/// Predictions that are remembered: about 400 kB in all, and feedback mostly comes soon.
const REMEMBERED: usize = 10_000;

/// The latest predictions by their id.
#[derive(Debug, Default)]
pub struct RecentPredictions {
    /// Oldest first. Feedback is rare, so it searches; predictions are many, and only add.
    predictions: Mutex<VecDeque<(Uuid, Arc<str>)>>,
}

impl RecentPredictions {
    /// Makes an id for a prediction and remembers its label.
    pub fn issue(&self, label: &Arc<str>) -> Uuid {
        let id = Uuid::new_v4();
        let mut predictions = self.predictions.lock().unwrap_or_else(PoisonError::into_inner);
        if predictions.len() == REMEMBERED {
            predictions.pop_front();
        }
        predictions.push_back((id, Arc::clone(label)));
        id
    }

    /// The label of a prediction that is remembered.
    #[must_use]
    pub fn label(&self, id: Uuid) -> Option<Arc<str>> {
        let predictions = self.predictions.lock().unwrap_or_else(PoisonError::into_inner);
        let found = predictions.iter().rev().find(|(known, _)| *known == id);
        found.map(|(_, label)| Arc::clone(label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_the_memory_is_bounded() {
        let recent = RecentPredictions::default();
        let labels: [Arc<str>; 2] = ["NEGATIVE".into(), "POSITIVE".into()];
        let ids: Vec<Uuid> = (0..=REMEMBERED).map(|number| recent.issue(&labels[number % 2])).collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 4));
        assert_eq!(recent.label(ids[0]), None);
        assert_eq!(recent.label(ids[1]).as_deref(), Some("POSITIVE"));
        assert_eq!(recent.label(ids[REMEMBERED]).as_deref(), Some("NEGATIVE"));
        assert_eq!(recent.label(Uuid::new_v4()), None);
        assert_eq!(recent.predictions.lock().unwrap().len(), REMEMBERED);
    }
}
