use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use super::*;

/// One token a character.
struct Letters;

impl Tokenize for Letters {
    fn tokenize(&self, input: &Input<'_>) -> Result<Encoding, TokenizeError> {
        match &*input.text {
            "untokenizable" => Err("no".to_owned().into()),
            "panic in the tokenizer" => panic!("on purpose"),
            text => Ok(encoding(text)),
        }
    }

    fn most_tokens(&self) -> usize {
        512
    }
}

/// In windows of so many tokens.
const WINDOW: usize = 64;

fn encoding(text: &str) -> Encoding {
    let ids: Vec<u32> = text.chars().map(u32::from).collect();
    let windows = ids.chunks(WINDOW).map(|ids| Tokens { ids: ids.to_vec(), type_ids: None }).collect();
    Encoding { windows, truncated: false }
}

/// Answers the code of each text's first character; waits for a permit before each run.
struct Scripted {
    permits: Arc<Mutex<mpsc::Receiver<()>>>,
    runs: Arc<AtomicUsize>,
    /// How often memory was given back.
    returns: Arc<AtomicUsize>,
}

impl Classify for Scripted {
    fn profile(&self) -> Profile {
        let cost = Cost { run: Duration::from_millis(1), token: Duration::from_micros(100) };
        Profile { layout: Layout::Padded, is_quantized: false, most_texts: None, fixed_tokens: None, cost }
    }

    fn return_memory(&mut self) {
        self.returns.fetch_add(1, Ordering::SeqCst);
    }

    fn classify(&mut self, batch: &[&Tokens]) -> Result<Vec<Vec<f32>>, String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let permit = self.permits.lock().unwrap().recv_timeout(Duration::from_secs(10));
        permit.map_err(|_| "no permit".to_owned())?;
        // One text is enough to spoil the run.
        let first = |text: &&Tokens| char::from_u32(text.ids[0]).unwrap();
        assert!(batch.iter().map(first).all(|first| first != '!'), "on purpose");
        if batch.iter().map(first).any(|first| first == '?') {
            return Err("broken".to_owned());
        }
        Ok(batch.iter().map(|text| vec![to_f32(text.ids[0])]).collect())
    }
}

fn to_f32(code: u32) -> f32 {
    f32::from(u16::try_from(code).unwrap())
}

struct Bench {
    engine: Arc<Engine>,
    permits: mpsc::Sender<()>,
    runs: Arc<AtomicUsize>,
    returns: Arc<AtomicUsize>,
    series: Arc<Series>,
}

fn start(capacity: usize) -> Bench {
    let (permits, receiver) = mpsc::channel();
    let (runs, returns) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let series = Arc::new(Series::new());
    let permits_of_runs = Arc::new(Mutex::new(receiver));
    let classifier = || -> Box<dyn Classify> {
        let permits = Arc::clone(&permits_of_runs);
        Box::new(Scripted { permits, runs: Arc::clone(&runs), returns: Arc::clone(&returns) })
    };
    let config = EngineConfig {
        threads: None,
        max_batch_tokens: 512,
        max_batch_size: 32,
        queue_capacity: capacity,
        max_queue_wait: Duration::from_secs(2),
    };
    let tokenizer = Arc::new(Letters) as Arc<dyn Tokenize>;
    let engine = Engine::start(&config, 1, &tokenizer, classifier, Arc::clone(&series)).unwrap();
    Bench { engine: Arc::new(engine), permits, runs, returns, series }
}

impl Bench {
    fn submit(&self, text: &str, within: Duration) -> tokio::task::JoinHandle<Result<Outcome, EngineError>> {
        let (engine, text) = (Arc::clone(&self.engine), text.to_owned());
        tokio::spawn(async move { engine.classify(text.into(), Instant::now() + within).await })
    }

    async fn until(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if reached(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} was not reached in 5 s");
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    fn waiting(&self) -> i64 {
        self.series.queue_depth.get()
    }
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn each_text_gets_its_own_answer_and_waiting_texts_share_a_run() {
    let bench = start(100);
    let first = bench.submit("a", LONG);
    bench.until("a run", |bench| bench.runs() == 1).await;
    let others: Vec<_> = ('b'..='i').map(|letter| bench.submit(&letter.to_string(), LONG)).collect();
    bench.until("eight waiting", |bench| bench.waiting() == 8).await;
    // The last text may still be with the tokenizer.
    tokio::time::sleep(Duration::from_millis(50)).await;
    (0..2).for_each(|_| bench.permits.send(()).unwrap());
    assert_eq!(first.await.unwrap().unwrap().logits, [to_f32(97)]);
    for (code, answer) in (98..).zip(others) {
        assert_eq!(answer.await.unwrap().unwrap().logits, [to_f32(code)]);
    }
    assert_eq!(bench.runs(), 2);
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let bench = start(2);
    let running = bench.submit("a", LONG);
    bench.until("a run", |bench| bench.runs() == 1).await;
    let queued = [bench.submit("b", LONG), bench.submit("c", LONG)];
    bench.until("two waiting", |bench| bench.waiting() == 2).await;
    let Err(EngineError::Full(refusal)) = bench.submit("d", LONG).await.unwrap() else { panic!("it was taken") };
    assert_eq!(refusal.cause, Full::Places { capacity: 2 });
    assert!(!refusal.drained_in.is_zero());
    (0..4).for_each(|_| bench.permits.send(()).unwrap());
    running.await.unwrap().unwrap();
    for answer in queued {
        answer.await.unwrap().unwrap();
    }
    bench.submit("e", LONG).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_expired_text_and_one_whose_client_has_gone_never_reach_the_model() {
    let bench = start(10);
    let running = bench.submit("a", LONG);
    bench.until("a run", |bench| bench.runs() == 1).await;
    let expired = bench.submit("b", Duration::from_millis(20));
    let gone = bench.submit("c", LONG);
    let gone_in_time = bench.submit("d", Duration::from_millis(20));
    bench.until("three waiting", |bench| bench.waiting() == 3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    gone.abort();
    // As a handler does whose time is up.
    gone_in_time.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    (0..5).for_each(|_| bench.permits.send(()).unwrap());
    running.await.unwrap().unwrap();
    assert_eq!(expired.await.unwrap(), Err(EngineError::Expired));
    bench.until("an empty queue", |bench| bench.waiting() == 0).await;
    assert_eq!(bench.runs(), 1);
    let text = bench.series.render();
    assert!(text.contains("sentiment_rejected_total{reason=\"expired\"} 2"), "{text}");
    assert!(text.contains("sentiment_rejected_total{reason=\"abandoned\"} 1"), "{text}");
}

#[tokio::test]
async fn a_failed_run_and_a_panic_cost_their_texts_only() {
    let bench = start(10);
    (0..5).for_each(|_| bench.permits.send(()).unwrap());
    assert_eq!(bench.submit("?", LONG).await.unwrap(), Err(EngineError::Model("broken".to_owned())));
    assert!(matches!(bench.submit("!", LONG).await.unwrap(), Err(EngineError::Model(_))));
    assert!(matches!(bench.submit("untokenizable", LONG).await.unwrap(), Err(EngineError::Tokenizer(_))));
    assert!(matches!(bench.submit("panic in the tokenizer", LONG).await.unwrap(), Err(EngineError::Tokenizer(_))));
    assert_eq!(bench.submit("fine", LONG).await.unwrap().unwrap().logits, [to_f32(102)]);
    bench.until("an empty queue", |bench| bench.waiting() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_engine_finishes_what_is_queued() {
    let bench = start(10);
    (0..10).for_each(|_| bench.permits.send(()).unwrap());
    let answers: Vec<_> = (0..5).map(|_| bench.submit("text", LONG)).collect();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let engine = Arc::into_inner(bench.engine).unwrap();
    tokio::task::spawn_blocking(move || drop(engine)).await.unwrap();
}

#[tokio::test]
async fn memory_is_kept_between_runs_and_given_back_in_a_lull() {
    let bench = start(10);
    for text in ["a", "b"] {
        bench.permits.send(()).unwrap();
        bench.submit(text, LONG).await.unwrap().unwrap();
    }
    assert_eq!((bench.runs(), bench.returns.load(Ordering::SeqCst)), (2, 0));
    bench.until("memory given back", |bench| bench.returns.load(Ordering::SeqCst) == 1).await;
    // Once.
    tokio::time::sleep(worker::LULL + Duration::from_millis(200)).await;
    assert_eq!((bench.runs(), bench.returns.load(Ordering::SeqCst)), (2, 1));
    assert!(bench.series.render().contains("sentiment_inference_duration_seconds_count 2\n"));
}

#[tokio::test]
async fn a_text_that_spoils_a_run_fails_alone_and_is_not_run_again() {
    let bench = start(100);
    let first = bench.submit("a", LONG);
    bench.until("a run", |bench| bench.runs() == 1).await;
    let texts = ["b", "c", "?", "d", "e", "!", "f", "g"];
    let answers = texts.map(|text| bench.submit(text, LONG));
    bench.until("eight waiting", |bench| bench.waiting() == 8).await;
    // The last text may still be with the tokenizer.
    tokio::time::sleep(Duration::from_millis(50)).await;
    (0..40).for_each(|_| bench.permits.send(()).unwrap());
    first.await.unwrap().unwrap();
    for (text, answer) in texts.into_iter().zip(answers) {
        match (text, answer.await.unwrap()) {
            ("?", answer) => assert_eq!(answer, Err(EngineError::Model("broken".to_owned()))),
            ("!", answer) => assert!(matches!(answer, Err(EngineError::Model(_)))),
            (_, answer) => assert_eq!(answer.unwrap().logits, [to_f32(u32::from(text.as_bytes()[0]))], "{text}"),
        }
    }
    // One of all, and then halves: no more than twice the culprits times the halvings, and the first text's.
    let runs = bench.runs();
    assert!(runs <= 2 + 2 * 2 * 3, "{runs} runs");
    assert_eq!(bench.submit("?", LONG).await.unwrap(), Err(EngineError::Model("broken".to_owned())));
    assert_eq!(bench.runs(), runs);
    assert_eq!(bench.submit("h", LONG).await.unwrap().unwrap().logits, [to_f32(104)]);
}

#[tokio::test]
async fn a_text_in_windows_has_one_answer() {
    let bench = start(100);
    (0..10).for_each(|_| bench.permits.send(()).unwrap());
    let text = ["b".repeat(WINDOW), "d".repeat(WINDOW), "f".repeat(WINDOW / 2)].concat();
    let outcome = bench.submit(&text, LONG).await.unwrap().unwrap();
    assert_eq!(outcome.timeline.tokens, 5 * WINDOW / 2);
    assert_eq!(outcome.logits, [(2.0 * to_f32(98) + 2.0 * to_f32(100) + to_f32(102)) / 5.0]);
    let spoiled = ["b".repeat(WINDOW), "?".repeat(3)].concat();
    assert!(matches!(bench.submit(&spoiled, LONG).await.unwrap(), Err(EngineError::Model(_))));
    bench.until("an empty queue", |bench| bench.waiting() == 0).await;
}

#[tokio::test]
async fn a_text_that_waits_for_a_place_in_vain_is_counted() {
    let bench = start(1);
    let running = bench.submit("a", LONG);
    bench.until("a run", |bench| bench.runs() == 1).await;
    let queued = bench.submit("b", LONG);
    bench.until("one waiting", |bench| bench.waiting() == 1).await;
    for within in [Duration::ZERO, LONG] {
        let text = bench.engine.classify_patiently("c".to_owned().into(), Instant::now() + within);
        tokio::time::timeout(Duration::from_millis(20), text).await.unwrap_err();
    }
    let text = bench.series.render();
    assert!(text.contains("sentiment_rejected_total{reason=\"expired\"} 1"), "{text}");
    assert!(text.contains("sentiment_rejected_total{reason=\"abandoned\"} 1"), "{text}");
    (0..2).for_each(|_| bench.permits.send(()).unwrap());
    running.await.unwrap().unwrap();
    queued.await.unwrap().unwrap();
}
