//! Figures over all jobs since the start, and the rate at which texts are run.

use std::time::{Duration, Instant};

use super::{
    Status,
    job::{Job, Moment},
};

/// What `GET /batch/metrics` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Jobs that were taken.
    pub total_jobs: u64,
    /// Jobs that have not ended.
    pub active_jobs: usize,
    /// Jobs that were run to their end with at least one answer.
    pub completed_jobs: u64,
    /// Jobs that failed or expired.
    pub failed_jobs: u64,
    /// Mean time from a completed job's first text to its end.
    pub average_processing_time_seconds: f64,
    /// Texts run per second while any job was being processed.
    pub average_throughput_tps: f64,
    /// Jobs that wait for their first text to be run.
    pub queue_size: usize,
    /// Mean number of texts of a completed job.
    pub average_batch_size: f64,
    /// Completed jobs among those that ended, in percent.
    pub processing_efficiency: f64,
}

#[derive(Debug, Default)]
pub(super) struct Totals {
    taken: u64,
    ended: u64,
    completed: u64,
    failed: u64,
    completed_texts: u64,
    completed_seconds: f64,
    texts: u64,
    processing: usize,
    busy: Duration,
    busy_since: Option<Instant>,
}

impl Totals {
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    /// A job's first text is run.
    pub(super) fn start(&mut self, now: Moment) {
        self.processing += 1;
        self.busy_since.get_or_insert(now.instant);
    }

    pub(super) fn count_text(&mut self) {
        self.texts += 1;
    }

    pub(super) fn end(&mut self, job: &Job, now: Moment) {
        self.ended += 1;
        match job.status {
            Status::Completed => {
                self.completed += 1;
                self.completed_texts += job.total as u64;
                let took = job.started.map(|start| now.instant.saturating_duration_since(start.instant));
                self.completed_seconds += took.unwrap_or_default().as_secs_f64();
            }
            Status::Failed | Status::Expired => self.failed += 1,
            _ => {}
        }
        if job.started.is_some() {
            self.processing -= 1;
            if self.processing == 0
                && let Some(since) = self.busy_since.take()
            {
                self.busy += now.instant.saturating_duration_since(since);
            }
        }
    }

    /// Jobs whose first text was run and that have not ended.
    pub(super) fn processing(&self) -> usize {
        self.processing
    }

    /// Texts a second; `None` until that is known.
    pub(super) fn rate(&self, now: Moment) -> Option<f64> {
        let running = self.busy_since.map(|since| now.instant.saturating_duration_since(since));
        let busy = (self.busy + running.unwrap_or_default()).as_secs_f64();
        let texts = count(self.texts);
        (texts > 0.0 && busy > 0.0).then(|| texts / busy)
    }

    pub(super) fn figures(&self, active: usize, queued: usize, now: Moment) -> Figures {
        Figures {
            total_jobs: self.taken,
            active_jobs: active,
            completed_jobs: self.completed,
            failed_jobs: self.failed,
            average_processing_time_seconds: mean(self.completed_seconds, self.completed),
            average_throughput_tps: self.rate(now).unwrap_or_default(),
            queue_size: queued,
            average_batch_size: mean(count(self.completed_texts), self.completed),
            processing_efficiency: 100.0 * mean(count(self.completed), self.ended),
        }
    }
}

fn mean(sum: f64, number: u64) -> f64 {
    if number == 0 { 0.0 } else { sum / count(number) }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 9e15, which takes millennia")]
fn count(number: u64) -> f64 {
    number as f64
}
