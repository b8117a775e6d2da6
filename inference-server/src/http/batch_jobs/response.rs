//! What callers get, field by field as version 1 documented it.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::Page;
use crate::{
    http::{info::BACKEND_NAME, predict_batch::ERROR, texts::milliseconds},
    jobs::{Figures, Item, Priority, Snapshot, Status},
};

/// A job that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchJob {
    job_id: Uuid,
    status: Status,
    total_texts: usize,
    /// By the rate so far, and at most until the job expires; 0 at its end.
    estimated_completion_seconds: u64,
    /// In seconds since 1970.
    created_at: f64,
    priority: Priority,
    #[schema(minimum = 0, maximum = 100)]
    progress_percentage: f64,
}

impl From<Snapshot> for BatchJob {
    fn from(job: Snapshot) -> Self {
        Self {
            job_id: job.id,
            status: job.status,
            total_texts: job.total,
            estimated_completion_seconds: job.estimated_completion_seconds,
            created_at: job.created_at,
            priority: job.priority,
            progress_percentage: percentage(job.processed, job.total),
        }
    }
}

/// How far a job is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchJobStatus {
    job_id: Uuid,
    status: Status,
    total_texts: usize,
    /// Those that failed included.
    processed_texts: usize,
    failed_texts: usize,
    #[schema(minimum = 0, maximum = 100)]
    progress_percentage: f64,
    /// In seconds since 1970.
    created_at: f64,
    started_at: Option<f64>,
    completed_at: Option<f64>,
    /// By the rate so far, and at most until the job expires; 0 at its end.
    estimated_completion_seconds: u64,
    priority: Priority,
    /// Why the job has failed, expired or been cancelled.
    #[schema(value_type = Option<String>)]
    error: Option<Arc<str>>,
}

impl From<Snapshot> for BatchJobStatus {
    fn from(job: Snapshot) -> Self {
        Self {
            job_id: job.id,
            status: job.status,
            total_texts: job.total,
            processed_texts: job.processed,
            failed_texts: job.failed,
            progress_percentage: percentage(job.processed, job.total),
            created_at: job.created_at,
            started_at: job.started_at,
            completed_at: job.completed_at,
            estimated_completion_seconds: job.estimated_completion_seconds,
            priority: job.priority,
            error: job.error,
        }
    }
}

/// A page of what came out of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchResults {
    job_id: Uuid,
    results: Vec<BatchResult>,
    total_results: usize,
    page: usize,
    page_size: usize,
    has_more: bool,
    summary: BatchSummary,
}

/// What came out for one text: the fields of a prediction, and a sentence when there is none.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchResult {
    /// `ERROR` when there is no answer.
    #[schema(value_type = String, example = "POSITIVE")]
    label: Arc<str>,
    prediction_id: Uuid,
    /// Softmax probability of the label; 0 when there is no answer.
    #[schema(minimum = 0, maximum = 1, example = 0.96)]
    score: f32,
    inference_time_ms: f64,
    #[schema(value_type = String)]
    model_name: Arc<str>,
    /// In characters, without white space around the text.
    text_length: usize,
    backend: &'static str,
    /// Whether the model has read only the start of the text, as much as it reads at once.
    truncated: bool,
    cached: bool,
    /// Always null.
    #[schema(value_type = Option<Object>)]
    features: Option<()>,
    /// Why there is no answer.
    #[schema(value_type = String)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Arc<str>>,
    /// That of a request for this text alone; only where there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^E[0-9]{4}$")]
    error_code: Option<&'static str>,
    /// The text's place in the job, from 0; only where there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    index: Option<usize>,
}

/// Figures over the whole job, whichever page it is on.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchSummary {
    total_texts: usize,
    successful_predictions: usize,
    failed_predictions: usize,
    /// From 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    success_rate: f64,
}

impl BatchResults {
    pub(super) fn of(id: Uuid, items: &[Item], page: Page, model_name: &str) -> Self {
        let total = items.len();
        let start = (page.number - 1).saturating_mul(page.size).min(total);
        let end = start.saturating_add(page.size).min(total);
        let (model_name, failed_label): (Arc<str>, Arc<str>) = (model_name.into(), ERROR.into());
        let results = items.iter().enumerate().take(end).skip(start);
        let results = results.map(|(index, item)| BatchResult::of(index, item, &model_name, &failed_label));
        let successful = items.iter().filter(|item| item.outcome.is_ok()).count();
        Self {
            job_id: id,
            results: results.collect(),
            total_results: total,
            page: page.number,
            page_size: page.size,
            has_more: end < total,
            summary: BatchSummary {
                total_texts: total,
                successful_predictions: successful,
                failed_predictions: total - successful,
                success_rate: percentage(successful, total) / 100.0,
            },
        }
    }
}

impl BatchResult {
    fn of(index: usize, item: &Item, model_name: &Arc<str>, failed_label: &Arc<str>) -> Self {
        let (answer, failure) = (item.outcome.as_ref().ok(), item.outcome.as_ref().err());
        Self {
            label: answer.map_or(failed_label, |answer| &answer.verdict.label).clone(),
            prediction_id: item.prediction_id,
            score: answer.map_or(0.0, |answer| answer.verdict.score),
            inference_time_ms: answer.map_or(0.0, |answer| milliseconds(answer.inference)),
            model_name: Arc::clone(model_name),
            text_length: item.characters,
            backend: BACKEND_NAME,
            truncated: answer.is_some_and(|answer| answer.truncated),
            cached: answer.is_some_and(|answer| answer.cached),
            features: None,
            error: failure.map(|failure| Arc::clone(&failure.sentence)),
            error_code: failure.map(|failure| failure.code),
            index: failure.map(|_| index),
        }
    }
}

/// A job that was taken back.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Cancelled {
    message: String,
    job_id: Uuid,
    status: Status,
}

impl Cancelled {
    pub(super) fn of(id: Uuid) -> Self {
        Self { message: format!("Batch job {id} cancelled successfully"), job_id: id, status: Status::Cancelled }
    }
}

/// Figures over all jobs since the start.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct BatchFigures {
    total_jobs: u64,
    active_jobs: usize,
    completed_jobs: u64,
    /// Expired ones included.
    failed_jobs: u64,
    average_processing_time_seconds: f64,
    /// Texts a second while any job was being run.
    average_throughput_tps: f64,
    /// Jobs of which no text was run yet.
    queue_size: usize,
    /// Texts of a completed job.
    average_batch_size: f64,
    /// Completed jobs among those that ended, in percent.
    #[schema(minimum = 0, maximum = 100)]
    processing_efficiency: f64,
}

impl From<Figures> for BatchFigures {
    fn from(figures: Figures) -> Self {
        Self {
            total_jobs: figures.total_jobs,
            active_jobs: figures.active_jobs,
            completed_jobs: figures.completed_jobs,
            failed_jobs: figures.failed_jobs,
            average_processing_time_seconds: figures.average_processing_time_seconds,
            average_throughput_tps: figures.average_throughput_tps,
            queue_size: figures.queue_size,
            average_batch_size: figures.average_batch_size,
            processing_efficiency: figures.processing_efficiency,
        }
    }
}

/// How many jobs wait.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct QueueStatus {
    queues: Queues,
    timestamp: f64,
    /// `active`, or `draining` when no job is taken any more.
    #[schema(example = "active")]
    service_status: &'static str,
}

/// Jobs of which no text was run yet.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Queues {
    high_priority: usize,
    medium_priority: usize,
    low_priority: usize,
    total: usize,
}

impl QueueStatus {
    /// `queued` is in the order of [`Priority::ALL`].
    pub(super) fn of(queued: [usize; 3], draining: bool, timestamp: f64) -> Self {
        let [high_priority, medium_priority, low_priority] = queued;
        let total = queued.iter().sum();
        Self {
            queues: Queues { high_priority, medium_priority, low_priority, total },
            timestamp,
            service_status: if draining { "draining" } else { "active" },
        }
    }
}

/// From 0 to 100. The total is that of a job, which has at least one text.
fn percentage(part: usize, total: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    100.0 * number(part) / number(total.max(1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::jobs::{Answer, Failure};
    use model::Verdict;

    fn items(count: usize) -> Vec<Item> {
        let verdict = Verdict { label: "POSITIVE".into(), score: 0.75 };
        let answer =
            Answer { id: Uuid::nil(), verdict, truncated: true, inference: Duration::from_micros(1500), cached: true };
        let outcome =
            |number| if number % 4 == 3 { Err(Failure::new("E1004", "it failed")) } else { Ok(answer.clone()) };
        let item = |number| Item { prediction_id: Uuid::new_v4(), characters: number, outcome: outcome(number) };
        (0..count).map(item).collect()
    }

    #[test]
    fn pages_partition_the_results() {
        let items = items(10);
        let page = |number, size| BatchResults::of(Uuid::nil(), &items, Page { number, size }, "default");
        let sizes = [1, 2, 3].map(|number| (page(number, 4).results.len(), page(number, 4).has_more));
        assert_eq!(sizes, [(4, true), (4, true), (2, false)]);
        assert_eq!(page(3, 4).results[0].text_length, 8);
        assert_eq!((page(2, 5).results.len(), page(2, 5).has_more), (5, false));
        assert_eq!((page(usize::MAX, 1000).results.len(), page(usize::MAX, 1000).has_more), (0, false));
        let summary = page(3, 4).summary;
        assert_eq!((summary.total_texts, summary.successful_predictions, summary.failed_predictions), (10, 8, 2));
        assert!((summary.success_rate - 0.8).abs() < 1e-9);
    }

    #[test]
    fn a_text_without_an_answer_has_label_error_and_score_0() {
        let page = BatchResults::of(Uuid::nil(), &items(4), Page { number: 1, size: 10 }, "default");
        let good = serde_json::to_value(&page.results[0]).unwrap();
        assert_eq!((&good["label"], &good["score"], &good["cached"]), (&"POSITIVE".into(), &0.75.into(), &true.into()));
        assert_eq!((&good["inference_time_ms"], &good["truncated"]), (&1.5.into(), &true.into()));
        assert!(["error", "error_code", "index"].iter().all(|key| good.get(key).is_none()), "{good}");
        let failed = serde_json::to_value(&page.results[3]).unwrap();
        assert_eq!((&failed["label"], &failed["score"]), (&"ERROR".into(), &0.0.into()));
        assert_eq!((&failed["error"], &failed["text_length"]), (&"it failed".into(), &3.into()));
        assert_eq!((&failed["error_code"], &failed["index"]), (&"E1004".into(), &3.into()));
    }
}
