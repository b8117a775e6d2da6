use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinHandle};

use super::*;
use crate::{
    config::{Config, Environment},
    jobs::{Priority, Status, Submission},
    metrics::Metrics,
};
use model::Verdict;
use uuid::Uuid;

/// A runner whose texts wait for a permit each.
struct Fixture {
    jobs: Arc<Jobs>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
    runner: JoinHandle<()>,
}

impl Fixture {
    fn start(most: usize) -> Self {
        let config = Config::read(&Environment::new()).unwrap().jobs.unwrap();
        let jobs = Arc::new(Jobs::new(config, Metrics::new().jobs));
        let running = Arc::new(AtomicUsize::new(0));
        let permits = Arc::new(Semaphore::new(0));
        let most = Arc::new(AtomicUsize::new(most));
        let runner = {
            let (jobs, running) = (Arc::clone(&jobs), Arc::clone(&running));
            let (permits, most) = (Arc::clone(&permits), Arc::clone(&most));
            tokio::spawn(async move {
                let classify = |_, _| async {
                    running.fetch_add(1, Ordering::SeqCst);
                    permits.acquire().await.unwrap().forget();
                    running.fetch_sub(1, Ordering::SeqCst);
                    let verdict = Verdict { label: "POSITIVE".into(), score: 0.9 };
                    Ok(Answer {
                        id: Uuid::new_v4(),
                        verdict,
                        truncated: false,
                        inference: Duration::ZERO,
                        cached: false,
                    })
                };
                jobs.run(classify, |_| most.load(Ordering::SeqCst)).await;
            })
        };
        Self { jobs, running, most, permits, runner }
    }

    fn submit(&self, priority: Priority, texts: usize) -> Uuid {
        let text = Text { content: "a".to_owned(), characters: 1 };
        let timeout = Duration::from_mins(5);
        let submission = Submission { texts: vec![Ok(text); texts], priority, max_batch_size: 1000, timeout };
        self.jobs.submit(submission).unwrap().id
    }

    fn status(&self, id: Uuid) -> (Status, usize) {
        let snapshot = self.jobs.status(id).unwrap();
        (snapshot.status, snapshot.processed)
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Lets so many texts be answered, and everything happen that follows from it.
    async fn answer(&self, texts: usize) {
        self.permits.add_permits(texts);
        // One thread runs a test and its tasks; each text takes a few turns of it.
        for _ in 0..10 * (texts + 1) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_few_texts_at_a_time_and_all_in_the_end() {
    let fixture = Fixture::start(3);
    let id = fixture.submit(Priority::Medium, 10);
    fixture.answer(0).await;
    assert_eq!((fixture.running(), fixture.status(id)), (3, (Status::Processing, 0)));
    fixture.answer(4).await;
    assert_eq!((fixture.running(), fixture.status(id)), (3, (Status::Processing, 4)));
    fixture.answer(6).await;
    assert_eq!((fixture.running(), fixture.status(id)), (0, (Status::Completed, 10)));
    assert_eq!(fixture.jobs.results(id).unwrap().len(), 10);
    // It waits for the next job and doesn't end.
    let next = fixture.submit(Priority::Low, 1);
    fixture.answer(1).await;
    assert_eq!(fixture.status(next), (Status::Completed, 1));
    assert!(!fixture.runner.is_finished());
}

#[tokio::test]
async fn it_holds_back_when_told_to_but_never_stops() {
    let fixture = Fixture::start(4);
    let id = fixture.submit(Priority::Medium, 10);
    fixture.answer(0).await;
    fixture.most.store(0, Ordering::SeqCst);
    fixture.answer(3).await;
    assert_eq!(fixture.running(), 1);
    fixture.answer(1).await;
    assert_eq!((fixture.running(), fixture.status(id)), (1, (Status::Processing, 4)));
    fixture.most.store(4, Ordering::SeqCst);
    fixture.answer(1).await;
    assert_eq!(fixture.running(), 4);
}

#[tokio::test]
async fn an_urgent_job_overtakes_a_big_one_that_runs() {
    let fixture = Fixture::start(2);
    let big = fixture.submit(Priority::Low, 1000);
    fixture.answer(5).await;
    let urgent = fixture.submit(Priority::High, 3);
    // Two texts of the big job are being run; those of the urgent one are next.
    fixture.answer(5).await;
    assert_eq!(fixture.status(urgent), (Status::Completed, 3));
    assert_eq!(fixture.status(big).0, Status::Processing);
}

#[tokio::test]
async fn a_cancelled_job_gives_way_to_the_next() {
    let fixture = Fixture::start(2);
    let first = fixture.submit(Priority::Medium, 100);
    let second = fixture.submit(Priority::Medium, 2);
    fixture.answer(1).await;
    fixture.jobs.cancel(first).unwrap();
    // Two texts of it were being run, and end without effect.
    fixture.answer(4).await;
    assert_eq!(fixture.status(first), (Status::Cancelled, 1));
    assert_eq!(fixture.status(second), (Status::Completed, 2));
}

#[tokio::test]
async fn a_panic_costs_one_text_its_answer() {
    let config = Config::read(&Environment::new()).unwrap().jobs.unwrap();
    let jobs = Arc::new(Jobs::new(config, Metrics::new().jobs));
    let texts = ["good", "bad", "good"].map(|text| Ok(Text { content: text.to_owned(), characters: 4 }));
    let timeout = Duration::from_mins(5);
    let submission = Submission { texts: texts.into(), priority: Priority::High, max_batch_size: 1, timeout };
    let id = jobs.submit(submission).unwrap().id;
    let classify = |text: Text, _| async move {
        assert_eq!(text.content, "good");
        let verdict = Verdict { label: "POSITIVE".into(), score: 0.9 };
        Ok(Answer { id: Uuid::new_v4(), verdict, truncated: false, inference: Duration::ZERO, cached: false })
    };
    let runner = jobs.run(classify, |_| 1);
    time::timeout(Duration::from_millis(200), runner).await.unwrap_err();
    let items = jobs.results(id).unwrap();
    let answered: Vec<_> = items.iter().map(|item| item.outcome.is_ok()).collect();
    assert_eq!(answered, [true, false, true]);
}
