//! All jobs that are held, and the rules about them. Pure: no thread, no clock, no model.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::Answer;
use super::{
    Priority, Status,
    job::{Failure, Item, Job, Moment, Snapshot, Submission, Text},
    metrics::JobMetrics,
    totals::{Figures, Totals},
    turns::Turns,
};
use crate::config::JobsConfig;

/// Why a job is not taken. Another try may succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As many jobs of its priority wait as may wait.
    #[error("{limit} jobs of {priority} priority are waiting already")]
    QueueFull {
        /// The priority.
        priority: Priority,
        /// The bound that was reached.
        limit: usize,
    },
    /// As many jobs are unfinished as may be.
    #[error("{limit} jobs are unfinished already")]
    TooManyJobs {
        /// The bound that was reached.
        limit: usize,
    },
    /// The texts of the unfinished jobs leave no room for these.
    #[error("unfinished jobs hold nearly all of the {limit} bytes that jobs may hold")]
    OutOfMemory {
        /// The bound in bytes.
        limit: usize,
    },
}

impl Refusal {
    /// Every [`Self::reason`].
    pub(super) const REASONS: [&str; 3] = ["queue_full", "too_many_jobs", "out_of_memory"];

    /// A name for series.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::QueueFull { .. } => "queue_full",
            Self::TooManyJobs { .. } => "too_many_jobs",
            Self::OutOfMemory { .. } => "out_of_memory",
        }
    }
}

/// Why there is nothing to do for a job's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// No such job is held, or not any more.
    Unknown,
    /// The job is not in a state for that.
    Is(Status),
}

/// Which text of which job something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    job: Uuid,
    index: usize,
    characters: usize,
}

/// A text to run.
#[derive(Debug)]
pub struct Assignment {
    /// To be given back with the outcome.
    pub ticket: Ticket,
    /// The text.
    pub text: Text,
    /// When its outcome is of no use any more.
    pub deadline: Instant,
}

/// The jobs. Every method first ends the jobs whose time is up and forgets those that were kept
/// long enough, so that what a caller sees does not depend on how often [`Store::advance`] is called.
#[derive(Debug)]
pub struct Store {
    config: JobsConfig,
    metrics: JobMetrics,
    jobs: HashMap<Uuid, Job>,
    /// By priority, jobs with texts that were not handed out yet, in the order in which they came.
    lanes: [VecDeque<Uuid>; 3],
    /// By priority, jobs of which no text was handed out yet.
    queued: [usize; 3],
    turns: Turns,
    /// Of the jobs that have not ended.
    deadlines: BTreeSet<(Instant, Uuid)>,
    /// Jobs that have ended, in that order.
    ended: VecDeque<Uuid>,
    unfinished_bytes: usize,
    ended_bytes: usize,
    totals: Totals,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(config: JobsConfig, metrics: JobMetrics) -> Self {
        Self {
            config,
            metrics,
            jobs: HashMap::new(),
            lanes: Default::default(),
            queued: [0; 3],
            turns: Turns::default(),
            deadlines: BTreeSet::new(),
            ended: VecDeque::new(),
            unfinished_bytes: 0,
            ended_bytes: 0,
            totals: Totals::default(),
        }
    }

    /// Takes a job, unless a bound is reached. Results of ended jobs make room for it, oldest first.
    pub fn submit(&mut self, submission: Submission, now: Moment) -> Result<Snapshot, Refusal> {
        self.advance(now);
        let job = Job::new(submission, now);
        if let Err(refusal) = self.check_bounds(&job) {
            self.metrics.refuse(&refusal);
            return Err(refusal);
        }
        while self.held_bytes() + job.bytes() > self.config.max_bytes && self.forget_oldest() {}
        let (id, lane) = (Uuid::new_v4(), job.priority as usize);
        self.metrics.submit(job.priority);
        for _ in 0..job.failed {
            self.metrics.count_text(false);
        }
        self.totals.take();
        self.unfinished_bytes += job.bytes();
        self.deadlines.insert((job.deadline(), id));
        self.lanes[lane].push_back(id);
        self.queued[lane] += 1;
        let snapshot = self.snapshot(id, &job, now);
        self.jobs.insert(id, job);
        self.show();
        Ok(snapshot)
    }

    fn check_bounds(&self, job: &Job) -> Result<(), Refusal> {
        let priority = job.priority;
        let limit = priority.limit(&self.config.queue_limits);
        if self.queued[priority as usize] >= limit {
            return Err(Refusal::QueueFull { priority, limit });
        }
        let limit = self.config.max_jobs;
        if self.deadlines.len() >= limit {
            return Err(Refusal::TooManyJobs { limit });
        }
        let limit = self.config.max_bytes;
        if self.unfinished_bytes + job.bytes() > limit {
            return Err(Refusal::OutOfMemory { limit });
        }
        Ok(())
    }

    /// The state of a job.
    pub fn status(&mut self, id: Uuid, now: Moment) -> Option<Snapshot> {
        self.advance(now);
        self.jobs.get(&id).map(|job| self.snapshot(id, job, now))
    }

    fn snapshot(&self, id: Uuid, job: &Job, now: Moment) -> Snapshot {
        Snapshot {
            id,
            status: job.status,
            priority: job.priority,
            total: job.total,
            processed: job.processed,
            failed: job.failed,
            created_at: job.created.unix,
            started_at: job.started.map(|moment| moment.unix),
            completed_at: job.ended.map(|moment| moment.unix),
            estimated_completion_seconds: self.estimate(id, job, now),
            error: job.error.clone(),
        }
    }

    /// Whole seconds until the job will have been completed: by the rate so far, with all that goes
    /// before it, and at most until it expires.
    fn estimate(&self, id: Uuid, job: &Job, now: Moment) -> u64 {
        if job.status.is_final() {
            return 0;
        }
        let left = job.deadline().saturating_duration_since(now.instant).as_secs_f64();
        let seconds = self.totals.rate(now).map_or(left, |rate| {
            let lane = job.priority as usize;
            let more_urgent = self.lanes[..lane].iter().flatten();
            let earlier = self.lanes[lane].iter().take_while(|other| **other != id);
            let before = more_urgent.chain(earlier).filter_map(|id| self.jobs.get(id)).map(Job::remaining);
            let texts = u32::try_from(before.sum::<usize>() + job.remaining()).unwrap_or(u32::MAX);
            f64::from(texts) / rate
        });
        Duration::try_from_secs_f64(seconds.min(left).ceil()).unwrap_or_default().as_secs()
    }

    /// Everything that came out of a job that was run to its end.
    pub fn results(&mut self, id: Uuid, now: Moment) -> Result<Arc<[Item]>, Unavailable> {
        self.advance(now);
        let job = self.jobs.get(&id).ok_or(Unavailable::Unknown)?;
        job.items.clone().ok_or(Unavailable::Is(job.status))
    }

    /// Takes a job back that has not ended.
    pub fn cancel(&mut self, id: Uuid, now: Moment) -> Result<(), Unavailable> {
        self.advance(now);
        let job = self.jobs.get(&id).ok_or(Unavailable::Unknown)?;
        if job.status.is_final() {
            return Err(Unavailable::Is(job.status));
        }
        self.end(id, Status::Cancelled, Some("cancelled by its caller".into()), now);
        Ok(())
    }

    /// The next text to run. The job it is from counts as started.
    pub fn next_text(&mut self, now: Moment) -> Option<Assignment> {
        self.advance(now);
        // Jobs that can't have a turn are few: each has texts in flight, and those are few.
        let candidates = self.lanes.each_ref().map(|lane| {
            let has_turn = |id: &&Uuid| self.jobs.get(id).is_some_and(Job::has_turn);
            lane.iter().find(has_turn).copied()
        });
        let priority = self.turns.next(candidates.map(|candidate| candidate.is_some()))?;
        let lane = priority as usize;
        let id = candidates[lane]?;
        let job = self.jobs.get_mut(&id)?;
        let (index, text) = job.take_text()?;
        let ticket = Ticket { job: id, index, characters: text.characters };
        let deadline = job.deadline();
        if job.texts.left() == 0 {
            self.lanes[lane].retain(|other| *other != id);
        }
        if job.status == Status::Pending {
            job.status = Status::Processing;
            job.started = Some(now);
            self.queued[lane] -= 1;
            self.totals.start(now);
            self.show();
        }
        Some(Assignment { ticket, text, deadline })
    }

    /// Keeps what came out for a text. That of a job that has ended meanwhile is of no use.
    pub fn record(&mut self, ticket: Ticket, outcome: Result<Answer, Failure>, now: Moment) {
        self.advance(now);
        let Some(job) = self.jobs.get_mut(&ticket.job).filter(|job| !job.status.is_final()) else {
            return;
        };
        self.metrics.count_text(outcome.is_ok());
        self.totals.count_text();
        self.unfinished_bytes -= job.bytes();
        job.record(ticket.index, ticket.characters, outcome);
        self.unfinished_bytes += job.bytes();
        if job.remaining() == 0 {
            let (status, error) = job.verdict();
            self.end(ticket.job, status, error, now);
        }
    }

    /// Jobs that wait for their first text to be run, in the order of [`Priority::ALL`].
    pub fn queued(&mut self, now: Moment) -> [usize; 3] {
        self.advance(now);
        self.queued
    }

    /// Figures over all jobs since the start.
    pub fn figures(&mut self, now: Moment) -> Figures {
        self.advance(now);
        self.totals.figures(self.deadlines.len(), self.queued.iter().sum(), now)
    }

    /// Ends the jobs whose time is up and forgets those that were kept long enough.
    pub fn advance(&mut self, now: Moment) {
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline <= now.instant
        {
            let error = self.jobs.get(&id).map(|job| {
                let Job { timeout, processed, total, .. } = job;
                format!("{} seconds were up when {processed} of {total} texts were done", timeout.as_secs()).into()
            });
            self.end(id, Status::Expired, error, now);
        }
        let keep = self.config.time_to_live;
        let is_over = |job: &Job| job.ended.is_some_and(|ended| now.instant >= ended.instant + keep);
        while self.ended.front().and_then(|id| self.jobs.get(id)).is_some_and(is_over) {
            self.forget_oldest();
        }
    }

    fn end(&mut self, id: Uuid, status: Status, error: Option<Arc<str>>, now: Moment) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let lane = job.priority as usize;
        self.deadlines.remove(&(job.deadline(), id));
        self.lanes[lane].retain(|other| *other != id);
        if job.status == Status::Pending {
            self.queued[lane] -= 1;
        }
        self.unfinished_bytes -= job.bytes();
        job.end(status, error, now);
        self.ended_bytes += job.bytes();
        self.totals.end(job, now);
        let took = now.instant.saturating_duration_since(job.created.instant);
        self.metrics.end(job.priority, status, took.as_secs_f64());
        self.ended.push_back(id);
        while self.ended.len() > self.config.kept_jobs {
            self.forget_oldest();
        }
        self.show();
    }

    /// Forgets the job that ended first; false when there is none.
    fn forget_oldest(&mut self) -> bool {
        let Some(job) = self.ended.pop_front().and_then(|id| self.jobs.remove(&id)) else {
            return false;
        };
        self.ended_bytes -= job.bytes();
        self.show();
        true
    }

    /// Memory that is counted for all jobs, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.unfinished_bytes + self.ended_bytes
    }

    /// Brings the gauges up to date.
    fn show(&self) {
        for priority in Priority::ALL {
            self.metrics.set_queued(priority, self.queued[priority as usize]);
        }
        self.metrics.set_held(self.totals.processing(), self.held_bytes());
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
