use super::{super::Refused, *};
use crate::{
    config::{Config, Environment},
    metrics::Metrics,
};
use model::Verdict;

/// A store whose clock the test turns.
struct Fixture {
    store: Store,
    now: Moment,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut JobsConfig)) -> Self {
        let mut config = Config::read(&Environment::new()).unwrap().jobs.unwrap();
        change(&mut config);
        let store = Store::new(config, Metrics::new().jobs);
        Self { store, now: Moment { instant: Instant::now(), unix: 1000.0 } }
    }

    fn wait(&mut self, seconds: f64) {
        self.now.instant += Duration::from_secs_f64(seconds);
        self.now.unix += seconds;
    }

    fn try_submit(&mut self, priority: Priority, texts: usize) -> Result<Uuid, Refusal> {
        self.submit_with(submission(priority, texts))
    }

    fn submit_with(&mut self, submission: Submission) -> Result<Uuid, Refusal> {
        self.store.submit(submission, self.now).map(|snapshot| snapshot.id)
    }

    fn submit(&mut self, priority: Priority, texts: usize) -> Uuid {
        self.try_submit(priority, texts).unwrap()
    }

    fn status(&mut self, id: Uuid) -> Option<Status> {
        self.snapshot(id).map(|snapshot| snapshot.status)
    }

    fn snapshot(&mut self, id: Uuid) -> Option<Snapshot> {
        self.store.status(id, self.now)
    }

    fn next(&mut self) -> Option<Assignment> {
        self.store.next_text(self.now)
    }

    fn record(&mut self, ticket: Ticket, outcome: Result<Answer, Failure>) {
        self.store.record(ticket, outcome, self.now);
    }

    /// Runs every text that may be run, one after the other.
    fn run_all(&mut self) {
        while let Some(assignment) = self.next() {
            self.record(assignment.ticket, Ok(answer()));
        }
    }
}

fn submission(priority: Priority, texts: usize) -> Submission {
    let text = |number: usize| Text { content: format!("{number:04}"), characters: 4 };
    let timeout = Duration::from_mins(5);
    Submission { texts: (0..texts).map(text).map(Ok).collect(), priority, max_batch_size: 1000, timeout }
}

fn failure(sentence: &str) -> Failure {
    Failure::new("E2002", sentence)
}

fn answer() -> Answer {
    let verdict = Verdict { label: "POSITIVE".into(), score: 0.9 };
    Answer { id: Uuid::new_v4(), verdict, truncated: false, inference: Duration::from_millis(5), cached: false }
}

#[test]
fn a_job_from_its_submission_to_its_results() {
    let mut fixture = Fixture::new(|_| ());
    let id = fixture.submit(Priority::Medium, 3);
    let pending = fixture.snapshot(id).unwrap();
    assert_eq!((pending.status, pending.started_at, pending.completed_at), (Status::Pending, None, None));
    assert_eq!(fixture.store.results(id, fixture.now), Err(Unavailable::Is(Status::Pending)));

    fixture.wait(1.0);
    let (first, second) = (fixture.next().unwrap(), fixture.next().unwrap());
    assert_eq!((first.text.content.as_str(), second.text.content.as_str()), ("0000", "0001"));
    // Out of order, as it happens when texts of other lengths run first.
    fixture.record(second.ticket, Err(failure("it failed")));
    let processing = fixture.snapshot(id).unwrap();
    assert_eq!((processing.status, processing.started_at), (Status::Processing, Some(1001.0)));
    assert_eq!((processing.processed, processing.failed), (1, 1));
    assert_eq!(fixture.store.results(id, fixture.now), Err(Unavailable::Is(Status::Processing)));

    fixture.record(first.ticket, Ok(answer()));
    fixture.wait(1.0);
    fixture.run_all();
    let completed = fixture.snapshot(id).unwrap();
    assert_eq!((completed.status, completed.completed_at), (Status::Completed, Some(1002.0)));
    assert_eq!((completed.processed, completed.failed, completed.error), (3, 1, None));
    let items = fixture.store.results(id, fixture.now).unwrap();
    let outcomes: Vec<_> = items.iter().map(|item| item.outcome.is_ok()).collect();
    assert_eq!(outcomes, [true, false, true]);
    assert_eq!(items[1].outcome, Err(failure("it failed")));
}

#[test]
fn texts_that_cannot_be_run_have_failed_from_the_start_and_keep_their_places() {
    let mut fixture = Fixture::new(|_| {});
    let refused = |sentence| Err(Refused { characters: 7, failure: failure(sentence) });
    let text = |content: &str| Ok(Text { content: content.to_owned(), characters: 3 });
    let texts = vec![refused("too long"), text("one"), refused("no text"), text("two")];
    let id = fixture.submit_with(Submission { texts, ..submission(Priority::High, 0) }).unwrap();
    let pending = fixture.snapshot(id).unwrap();
    assert_eq!((pending.status, pending.total, pending.processed, pending.failed), (Status::Pending, 4, 2, 2));
    let run: Vec<_> = std::iter::from_fn(|| {
        let Assignment { ticket, text, .. } = fixture.next()?;
        fixture.record(ticket, Ok(answer()));
        Some(text.content)
    })
    .collect();
    assert_eq!(run, ["one", "two"]);
    let done = fixture.snapshot(id).unwrap();
    assert_eq!((done.status, done.processed, done.failed), (Status::Completed, 4, 2));
    let items = fixture.store.results(id, fixture.now).unwrap();
    let found: Vec<_> = items.iter().map(|item| (item.characters, item.outcome.is_ok())).collect();
    assert_eq!(found, [(7, false), (3, true), (7, false), (3, true)]);
    assert_eq!(items[2].outcome, Err(failure("no text")));
}

#[test]
fn a_job_without_any_answer_has_failed_and_says_why() {
    let mut fixture = Fixture::new(|_| ());
    let id = fixture.submit(Priority::Medium, 2);
    for _ in 0..2 {
        let ticket = fixture.next().unwrap().ticket;
        fixture.record(ticket, Err(failure("the model failed")));
    }
    let failed = fixture.snapshot(id).unwrap();
    assert_eq!(failed.status, Status::Failed);
    assert!(failed.error.unwrap().ends_with("the model failed"));
    let items = fixture.store.results(id, fixture.now).unwrap();
    assert!(items.iter().all(|item| item.outcome.is_err()));
}

#[test]
fn more_urgent_jobs_overtake_and_equal_ones_queue_up() {
    let mut fixture = Fixture::new(|_| ());
    let (low, high) = (fixture.submit(Priority::Low, 3), fixture.submit(Priority::High, 2));
    let later = fixture.submit(Priority::High, 1);
    let order: Vec<_> = std::iter::from_fn(|| fixture.next()).map(|next| next.ticket.job).collect();
    assert_eq!(order, [high, high, later, low, low, low]);
}

#[test]
fn a_low_job_gets_on_while_high_ones_never_end() {
    let mut fixture = Fixture::new(|_| ());
    let low = fixture.submit(Priority::Low, 3);
    for _ in 0..60 {
        fixture.submit(Priority::High, 1);
        let ticket = fixture.next().unwrap().ticket;
        fixture.record(ticket, Ok(answer()));
    }
    assert_eq!(fixture.status(low), Some(Status::Completed));
}

#[test]
fn no_more_texts_of_a_job_at_once_than_it_asks_for() {
    let mut fixture = Fixture::new(|_| ());
    let narrow = Submission { max_batch_size: 2, ..submission(Priority::High, 5) };
    let narrow = fixture.submit_with(narrow).unwrap();
    let other = fixture.submit(Priority::High, 5);
    let order: Vec<_> = (0..4).map(|_| fixture.next().unwrap().ticket).collect();
    assert_eq!(order.iter().map(|ticket| ticket.job).collect::<Vec<_>>(), [narrow, narrow, other, other]);
    fixture.record(order[0], Ok(answer()));
    assert_eq!(fixture.next().unwrap().ticket.job, narrow);
}

#[test]
fn each_queue_has_its_own_limit_and_a_started_job_leaves_it() {
    let mut fixture = Fixture::new(|config| config.queue_limits.high = 2);
    fixture.submit(Priority::High, 1);
    fixture.submit(Priority::High, 1);
    let full = Refusal::QueueFull { priority: Priority::High, limit: 2 };
    assert_eq!(fixture.try_submit(Priority::High, 1), Err(full));
    fixture.submit(Priority::Low, 1);
    assert_eq!(fixture.store.queued(fixture.now), [2, 0, 1]);
    let running = fixture.next().unwrap();
    assert_eq!(fixture.store.queued(fixture.now), [1, 0, 1]);
    fixture.submit(Priority::High, 1);
    fixture.record(running.ticket, Ok(answer()));
    assert_eq!(fixture.store.queued(fixture.now), [2, 0, 1]);
}

#[test]
fn unfinished_jobs_are_bounded_whatever_has_finished() {
    let mut fixture = Fixture::new(|config| config.max_jobs = 2);
    let first = fixture.submit(Priority::High, 1);
    fixture.submit(Priority::Low, 1);
    let running = fixture.next().unwrap();
    assert_eq!(fixture.try_submit(Priority::Medium, 1), Err(Refusal::TooManyJobs { limit: 2 }));
    fixture.record(running.ticket, Ok(answer()));
    assert_eq!(fixture.status(first), Some(Status::Completed));
    fixture.submit(Priority::Medium, 1);
}

#[test]
fn cancelling_frees_the_queue_the_memory_and_the_turn() {
    let mut fixture = Fixture::new(|config| config.queue_limits.medium = 1);
    let waiting = fixture.submit(Priority::Medium, 100);
    let held = fixture.store.held_bytes();
    fixture.store.cancel(waiting, fixture.now).unwrap();
    assert_eq!(fixture.status(waiting), Some(Status::Cancelled));
    assert!(fixture.store.held_bytes() < held / 10, "{held} before, {} after", fixture.store.held_bytes());
    assert_eq!(fixture.store.queued(fixture.now), [0; 3]);

    let running = fixture.submit(Priority::Medium, 2);
    let assignment = fixture.next().unwrap();
    fixture.wait(1.0);
    fixture.store.cancel(running, fixture.now).unwrap();
    assert!(fixture.next().is_none());
    // The text that was being run is of no use any more.
    fixture.record(assignment.ticket, Ok(answer()));
    let cancelled = fixture.snapshot(running).unwrap();
    assert_eq!((cancelled.status, cancelled.processed), (Status::Cancelled, 0));
    assert_eq!(cancelled.completed_at, Some(1001.0));
    assert_eq!(fixture.store.results(running, fixture.now), Err(Unavailable::Is(Status::Cancelled)));
    assert_eq!(fixture.store.cancel(running, fixture.now), Err(Unavailable::Is(Status::Cancelled)));
    assert_eq!(fixture.store.cancel(Uuid::nil(), fixture.now), Err(Unavailable::Unknown));
}

#[test]
fn time_that_is_up_expires_a_job_whether_it_waits_or_runs() {
    let mut fixture = Fixture::new(|_| ());
    let short = Submission { timeout: Duration::from_secs(10), ..submission(Priority::High, 3) };
    let running = fixture.submit_with(short).unwrap();
    let assignment = fixture.next().unwrap();
    assert_eq!(assignment.deadline, fixture.now.instant + Duration::from_secs(10));
    let waiting = fixture.submit(Priority::Low, 1);
    fixture.wait(9.5);
    assert_eq!(fixture.status(running), Some(Status::Processing));
    fixture.wait(0.5);
    fixture.record(assignment.ticket, Ok(answer()));
    let expired = fixture.snapshot(running).unwrap();
    assert_eq!((expired.status, expired.completed_at), (Status::Expired, Some(1010.0)));
    assert_eq!(expired.error.as_deref(), Some("10 seconds were up when 0 of 3 texts were done"));
    assert_eq!(fixture.next().unwrap().ticket.job, waiting);
    fixture.wait(290.0);
    assert_eq!(fixture.status(waiting), Some(Status::Expired));
    assert_eq!(fixture.store.queued(fixture.now), [0; 3]);
    assert_eq!(fixture.store.figures(fixture.now).failed_jobs, 2);
}

#[test]
fn an_ended_job_is_kept_for_its_time_and_then_forgotten() {
    let mut fixture = Fixture::new(|config| config.time_to_live = Duration::from_mins(1));
    let id = fixture.submit(Priority::High, 1);
    fixture.wait(100.0);
    fixture.run_all();
    fixture.wait(59.0);
    assert!(fixture.store.results(id, fixture.now).is_ok());
    fixture.wait(1.0);
    assert_eq!(fixture.status(id), None);
    assert_eq!(fixture.store.results(id, fixture.now), Err(Unavailable::Unknown));
    assert_eq!(fixture.store.held_bytes(), 0);
}

#[test]
fn of_ended_jobs_the_last_ones_are_kept() {
    let mut fixture = Fixture::new(|config| config.kept_jobs = 2);
    let ids: Vec<_> = (0..3)
        .map(|_| {
            let id = fixture.submit(Priority::High, 1);
            fixture.run_all();
            id
        })
        .collect();
    let known: Vec<_> = ids.iter().map(|id| fixture.status(*id).is_some()).collect();
    assert_eq!(known, [false, true, true]);
}

#[test]
fn results_make_room_for_a_new_job_and_unfinished_jobs_do_not() {
    let mut fixture = Fixture::new(|_| ());
    fixture.submit(Priority::High, 100);
    let one = fixture.store.held_bytes();
    // Room for two jobs and a bit, results being smaller than jobs.
    let mut fixture = Fixture::new(|config| config.max_bytes = 2 * one + one / 10);
    let first = fixture.submit(Priority::High, 100);
    fixture.run_all();
    let second = fixture.submit(Priority::High, 100);
    assert_eq!(fixture.status(first), Some(Status::Completed), "there was room for both");
    fixture.submit(Priority::High, 100);
    assert_eq!(fixture.status(first), None);
    assert_eq!(fixture.status(second), Some(Status::Pending));
    let before = fixture.store.held_bytes();
    assert!(matches!(fixture.try_submit(Priority::High, 100), Err(Refusal::OutOfMemory { .. })));
    assert_eq!(fixture.store.held_bytes(), before);
    assert!(before <= 2 * one + one / 10);
    fixture.store.cancel(second, fixture.now).unwrap();
    fixture.submit(Priority::High, 100);
}

#[test]
fn a_refused_job_costs_nobody_their_results() {
    let mut fixture = Fixture::new(|_| ());
    fixture.submit(Priority::High, 100);
    let one = fixture.store.held_bytes();
    let mut fixture = Fixture::new(|config| config.max_bytes = 2 * one + one / 10);
    let first = fixture.submit(Priority::High, 10);
    fixture.run_all();
    fixture.submit(Priority::High, 190);
    assert!(fixture.try_submit(Priority::High, 100).is_err());
    assert!(fixture.store.results(first, fixture.now).is_ok());
}

#[test]
fn memory_is_counted_to_the_byte_over_many_jobs() {
    let mut fixture = Fixture::new(|config| config.time_to_live = Duration::from_secs(30));
    for round in 0..200_usize {
        let priority = Priority::ALL[round % 3];
        let id = fixture.submit(priority, 1 + round % 7);
        let assignment = fixture.next().unwrap();
        match round % 4 {
            0 => fixture.record(assignment.ticket, Err(failure(&format!("failure {round}")))),
            1 => fixture.record(assignment.ticket, Ok(answer())),
            2 => drop(fixture.store.cancel(id, fixture.now)),
            _ => {}
        }
        fixture.wait(1.0);
        let counted: usize = fixture.store.jobs.values().map(Job::bytes).sum();
        assert_eq!(fixture.store.held_bytes(), counted);
    }
    fixture.wait(400.0);
    fixture.store.advance(fixture.now);
    fixture.wait(30.0);
    fixture.store.advance(fixture.now);
    assert_eq!(fixture.store.held_bytes(), 0);
    assert!(fixture.store.jobs.is_empty() && fixture.store.lanes.iter().all(VecDeque::is_empty));
}

#[test]
fn the_time_a_job_will_take_is_told_from_the_rate_and_what_goes_before_it() {
    let mut fixture = Fixture::new(|_| ());
    let first = fixture.submit(Priority::Medium, 10);
    // Nothing is known yet but that it will have ended by then.
    assert_eq!(fixture.snapshot(first).unwrap().estimated_completion_seconds, 300);
    for _ in 0..5 {
        let ticket = fixture.next().unwrap().ticket;
        fixture.wait(0.5);
        fixture.record(ticket, Ok(answer()));
    }
    // Two texts a second: five are left of this one.
    assert_eq!(fixture.snapshot(first).unwrap().estimated_completion_seconds, 3);
    let behind = fixture.submit(Priority::Medium, 4);
    assert_eq!(fixture.snapshot(behind).unwrap().estimated_completion_seconds, 5);
    let ahead = fixture.submit(Priority::High, 4);
    assert_eq!(fixture.snapshot(ahead).unwrap().estimated_completion_seconds, 2);
    assert_eq!(fixture.snapshot(behind).unwrap().estimated_completion_seconds, 7);
    fixture.run_all();
    assert_eq!(fixture.snapshot(first).unwrap().estimated_completion_seconds, 0);
}

#[test]
fn figures_over_all_jobs() {
    let mut fixture = Fixture::new(|_| ());
    assert_eq!(fixture.store.figures(fixture.now), Figures::default());
    let run = |fixture: &mut Fixture, texts| {
        fixture.submit(Priority::Medium, texts);
        for _ in 0..texts {
            let ticket = fixture.next().unwrap().ticket;
            fixture.wait(0.25);
            fixture.record(ticket, Ok(answer()));
        }
    };
    run(&mut fixture, 4);
    fixture.wait(1000.0);
    run(&mut fixture, 12);
    let cancelled = fixture.submit(Priority::Medium, 1);
    fixture.store.cancel(cancelled, fixture.now).unwrap();
    fixture.submit(Priority::Medium, 1);
    let figures = fixture.store.figures(fixture.now);
    assert_eq!((figures.total_jobs, figures.active_jobs, figures.queue_size), (4, 1, 1));
    assert_eq!((figures.completed_jobs, figures.failed_jobs), (2, 0));
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
    close(figures.average_processing_time_seconds, 2.0);
    // Time in which there was nothing to do doesn't count.
    close(figures.average_throughput_tps, 4.0);
    close(figures.average_batch_size, 8.0);
    close(figures.processing_efficiency, 200.0 / 3.0);
}

#[test]
fn each_reason_of_a_refusal_has_its_series_before_the_first_one() {
    let limit = 1;
    let priority = Priority::Low;
    let text = Metrics::new().render().unwrap();
    for refusal in
        [Refusal::QueueFull { priority, limit }, Refusal::TooManyJobs { limit }, Refusal::OutOfMemory { limit }]
    {
        let line = format!(r#"sentiment_batch_jobs_refused_total{{reason="{}"}} 0"#, refusal.reason());
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn series_follow_the_jobs() {
    let metrics = Metrics::new();
    let mut config = Config::read(&Environment::new()).unwrap().jobs.unwrap();
    config.queue_limits.low = 1;
    let store = Store::new(config, metrics.jobs.clone());
    let mut fixture = Fixture { store, now: Moment::now() };
    fixture.submit(Priority::High, 2);
    fixture.run_all();
    fixture.submit(Priority::High, 2);
    let ticket = fixture.next().unwrap().ticket;
    fixture.record(ticket, Err(failure("it failed")));
    fixture.submit(Priority::Low, 1);
    fixture.try_submit(Priority::Low, 1).unwrap_err();
    let text = metrics.render().unwrap();
    let held = format!("sentiment_batch_jobs_held_bytes {}", fixture.store.held_bytes());
    for line in [
        r#"sentiment_batch_jobs_submitted_total{priority="high"} 2"#,
        r#"sentiment_batch_jobs_ended_total{priority="high",status="completed"} 1"#,
        r#"sentiment_batch_jobs_refused_total{reason="queue_full"} 1"#,
        r#"sentiment_batch_jobs_queued{priority="high"} 0"#,
        r#"sentiment_batch_jobs_queued{priority="low"} 1"#,
        "sentiment_batch_jobs_processing 1",
        r#"sentiment_batch_jobs_texts_total{outcome="answered"} 2"#,
        r#"sentiment_batch_jobs_texts_total{outcome="failed"} 1"#,
        r#"sentiment_batch_jobs_duration_seconds_count{priority="high"} 1"#,
        held.as_str(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
