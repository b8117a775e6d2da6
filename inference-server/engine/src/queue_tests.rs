use std::time::Duration;

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Text {
    id: usize,
    tokens: usize,
    arrived: Instant,
    deadline: Instant,
    gone: bool,
}

impl Queued for Text {
    fn tokens(&self) -> usize {
        self.tokens
    }
    fn arrived(&self) -> Instant {
        self.arrived
    }
    fn deadline(&self) -> Instant {
        self.deadline
    }
    fn is_abandoned(&self) -> bool {
        self.gone
    }
}

/// Texts of these lengths, one arriving each millisecond, that expire after 10 s.
fn texts(start: Instant, lengths: &[usize]) -> Vec<Text> {
    let one = |(id, tokens): (usize, &usize)| {
        let arrived = start + Duration::from_millis(id as u64);
        Text { id, tokens: *tokens, arrived, deadline: arrived + Duration::from_secs(10), gone: false }
    };
    lengths.iter().enumerate().map(one).collect()
}

/// A run is worth 16 tokens, and a text may come 0.2 ms later for each token that it is shorter.
pub(crate) const COST: Cost = Cost { run: Duration::from_micros(1600), token: Duration::from_micros(100) };

fn limits(layout: Layout, max_tokens: usize, max_size: usize) -> Limits {
    Limits { layout, usual_tokens: max_tokens, max_tokens, max_size, workers: 1, cost: COST }
}

fn queue(texts: Vec<Text>, max_tokens: usize, max_size: usize) -> Queue<Text> {
    filled(limits(Layout::Padded, max_tokens, max_size), texts)
}

fn varlen(texts: Vec<Text>, max_tokens: usize, max_size: usize) -> Queue<Text> {
    filled(limits(Layout::Varlen, max_tokens, max_size), texts)
}

fn filled(limits: Limits, texts: Vec<Text>) -> Queue<Text> {
    let mut queue = Queue::new(limits);
    for text in texts {
        queue.push(text);
    }
    queue
}

fn ids(batch: &[Text]) -> Vec<usize> {
    let mut ids: Vec<usize> = batch.iter().map(|text| text.id).collect();
    ids.sort_unstable();
    ids
}

/// A reproducible sequence, so that a failure can be run again.
fn numbers(seed: u64) -> impl Iterator<Item = usize> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    })
}

#[test]
fn an_empty_queue_gives_an_empty_batch() {
    let taken = queue(vec![], 64, 8).take(Instant::now());
    assert!(taken.batch.is_empty() && taken.expired.is_empty() && taken.abandoned.is_empty());
}

#[test]
fn equal_lengths_fill_the_token_budget() {
    let start = Instant::now();
    let mut queue = queue(texts(start, &[10; 12]), 64, 32);
    assert_eq!(ids(&queue.take(start).batch), [0, 1, 2, 3, 4, 5]);
    assert_eq!(ids(&queue.take(start).batch), [6, 7, 8, 9, 10, 11]);
    assert!(queue.is_empty());
}

#[test]
fn runs_are_cut_where_that_costs_least() {
    let start = Instant::now();
    // 20 with 30 would pad three times 10, which is more than another run.
    let mut queue = queue(texts(start, &[20, 30, 18, 31, 20, 29]), 512, 32);
    assert_eq!(ids(&queue.take(start).batch), [0, 2, 4]);
    assert_eq!(ids(&queue.take(start).batch), [1, 3, 5]);
}

#[test]
fn the_batch_size_is_bounded() {
    let start = Instant::now();
    assert_eq!(queue(texts(start, &[2; 9]), 1024, 4).take(start).batch.len(), 4);
}

#[test]
fn a_text_longer_than_the_budget_runs_alone() {
    let start = Instant::now();
    let mut queue = queue(texts(start, &[500, 500, 500]), 64, 8);
    for id in 0..3 {
        assert_eq!(ids(&queue.take(start).batch), [id]);
    }
}

#[test]
fn a_short_text_overtakes_a_long_one_that_came_shortly_before() {
    let start = Instant::now();
    let mut queue = queue(texts(start, &[400, 8, 9, 400, 10]), 1024, 8);
    assert_eq!(ids(&queue.take(start).batch), [1, 2, 4]);
    assert_eq!(ids(&queue.take(start).batch), [0, 3]);
}

#[test]
fn a_long_text_is_overtaken_for_a_bounded_time_only() {
    let start = Instant::now();
    let mut queue = queue(texts(start, &[408]), 1024, 1);
    // 400 tokens more, so whatever comes within 80 ms goes first, and nothing that comes later.
    for (id, (after, overtakes)) in [(1, true), (40, true), (79, true), (81, false)].into_iter().enumerate() {
        let arrived = start + Duration::from_millis(after);
        let deadline = arrived + Duration::from_mins(1);
        queue.push(Text { id: id + 1, tokens: 8, arrived, deadline, gone: false });
        assert_eq!(ids(&queue.take(arrived).batch), [if overtakes { id + 1 } else { 0 }]);
    }
    assert_eq!(queue.len(), 1);
}

/// However many short texts come, and here more than can be run: a text goes at the latest when
/// those that waited before it have gone, and those that came within its 100 ms of ageing.
#[test]
fn no_text_starves_while_short_ones_keep_coming() {
    const ARRIVALS: usize = 6;
    for seed in 0..20 {
        let mut next = numbers(seed);
        let mut draw = |most: usize| next.next().unwrap() % most;
        let start = Instant::now();
        let mut queue = queue(vec![], 256, 4);
        let mut last_runs = Vec::new();
        for run in 0..300 {
            let now = start + Duration::from_millis(10 * run as u64);
            for _ in 0..ARRIVALS {
                let tokens = if draw(20) == 0 { 200 + draw(300) } else { 3 + draw(40) };
                last_runs.push(run + queue.len() + 10 * ARRIVALS);
                let id = last_runs.len() - 1;
                queue.push(Text { id, tokens, arrived: now, deadline: now + Duration::from_hours(1), gone: false });
            }
            queue.take(now);
            let late = queue.waiting.iter().find(|text| last_runs[text.id] <= run);
            assert!(late.is_none(), "seed {seed}, run {run}: {late:?} still waits");
        }
    }
}

#[test]
fn workers_share_what_waits_and_what_is_under_way() {
    let start = Instant::now();
    for layout in [Layout::Padded, Layout::Varlen] {
        let limits = Limits { workers: 2, ..limits(layout, 1024, 32) };
        let mut queue = filled(limits, texts(start, &[10; 8]));
        assert_eq!(ids(&queue.take(start).batch), [0, 1, 2, 3]);
        assert_eq!(ids(&queue.take(start).batch), [4, 5, 6, 7]);
        queue.finish(4);
        for text in texts(start, &[10; 6]) {
            queue.push(text);
        }
        // 6 wait and 4 run.
        assert_eq!(queue.take(start).batch.len(), 5);
    }
}

#[test]
fn without_padding_texts_run_in_turn_whatever_their_lengths() {
    let start = Instant::now();
    let mut queue = varlen(texts(start, &[20, 30, 18, 31, 20, 29]), 100, 32);
    assert_eq!(ids(&queue.take(start).batch), [0, 1, 2, 4]);
    assert_eq!(ids(&queue.take(start).batch), [3, 5]);
    let mut queue = varlen(texts(start, &[500, 500, 8]), 64, 8);
    for id in [2, 0, 1] {
        assert_eq!(ids(&queue.take(start).batch), [id]);
    }
    assert!(queue.take(start).batch.is_empty());
}

fn settings(max_batch_tokens: usize) -> EngineConfig {
    let max_queue_wait = Duration::from_secs(2);
    EngineConfig { threads: None, max_batch_tokens, max_batch_size: 32, queue_capacity: 256, max_queue_wait }
}

/// Of a model that takes any number of texts.
fn profile(layout: Layout, is_quantized: bool) -> Profile {
    Profile { layout, is_quantized, most_texts: None, fixed_tokens: None, cost: COST }
}

#[test]
fn batches_of_a_quantized_model_grow_when_more_than_a_few_runs_wait() {
    let start = Instant::now();
    let settings = settings(200);
    for layout in [Layout::Padded, Layout::Varlen] {
        let sizes = |waiting: usize, is_quantized: bool| {
            let limits = Limits::new(&settings, profile(layout, is_quantized), 2);
            let mut queue = filled(limits, texts(start, &vec![10; waiting]));
            [queue.take(start).batch.len(), queue.take(start).batch.len()]
        };
        // Four runs of 100 tokens for each of the two workers.
        assert_eq!(sizes(80, true), [10, 10]);
        assert_eq!(sizes(81, true), [20, 10]);
        assert_eq!(sizes(120, true), [20, 20]);
        assert_eq!(sizes(120, false), [10, 10]);
    }
}

#[test]
fn expired_and_abandoned_texts_are_never_in_a_batch() {
    let start = Instant::now();
    let mut all = texts(start, &[10; 6]);
    all[1].deadline = start;
    all[2].gone = true;
    all[4].deadline = start + Duration::from_millis(5);
    let taken = queue(all, 1024, 32).take(start + Duration::from_millis(5));
    assert_eq!(ids(&taken.batch), [0, 3, 5]);
    assert_eq!(ids(&taken.expired), [1, 4]);
    assert_eq!(ids(&taken.abandoned), [2]);
}

/// Whatever comes: each text leaves exactly once, no batch breaks a limit, padding stays small.
#[test]
fn random_loads_keep_every_promise() {
    for seed in 0..200 {
        let mut next = numbers(seed);
        let mut draw = |most: usize| next.next().unwrap() % most;
        let start = Instant::now();
        let lengths: Vec<usize> = (0..=draw(120)).map(|_| 3 + draw(400)).collect();
        let mut all = texts(start, &lengths);
        for text in &mut all {
            text.gone = draw(10) == 0;
            if draw(10) == 0 {
                text.deadline = start;
            }
        }
        let layout = if draw(2) == 0 { Layout::Padded } else { Layout::Varlen };
        let (max_tokens, max_size, workers) = (16 + draw(1024), 1 + draw(40), 1 + draw(4));
        let usual_tokens = max_tokens / (1 + draw(2));
        let limits = Limits { usual_tokens, workers, ..limits(layout, max_tokens, max_size) };
        let mut queue = filled(limits, all);
        let mut left = Vec::new();
        while !queue.is_empty() {
            let before = queue.len();
            let taken = queue.take(start);
            assert!(queue.len() < before, "seed {seed}: no progress");
            let longest = taken.batch.iter().map(|text| text.tokens).max().unwrap_or(0);
            let real: usize = taken.batch.iter().map(|text| text.tokens).sum();
            let padded = if layout == Layout::Padded { longest * taken.batch.len() } else { real };
            assert!(taken.batch.len() <= max_size, "seed {seed}");
            assert!(taken.batch.len() <= 1 || padded <= max_tokens, "seed {seed}");
            // Else to cut the batch once more would have been cheaper.
            let bound = taken.batch.len() * COST.run_in_tokens();
            assert!(padded - real <= bound, "seed {seed}: {padded} tokens for {real}");
            assert!(taken.batch.iter().all(|text| !text.gone && text.deadline > start));
            assert!(taken.expired.iter().all(|text| text.deadline <= start));
            left.extend(taken.batch.into_iter().chain(taken.expired).chain(taken.abandoned));
        }
        assert_eq!(ids(&left), (0..lengths.len()).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn a_graph_of_one_text_a_run_gets_one_and_a_slow_token_lets_short_texts_overtake_longer() {
    let start = Instant::now();
    let single = Profile { most_texts: Some(1), ..profile(Layout::Padded, true) };
    let mut queue = filled(Limits::new(&settings(768), single, 1), texts(start, &[8; 3]));
    for id in 0..3 {
        assert_eq!(ids(&queue.take(start).batch), [id]);
    }
    let overtakes = |token| {
        let cost = Cost { token, ..COST };
        let mut queue = filled(Limits { cost, ..limits(Layout::Varlen, 512, 1) }, texts(start, &[400]));
        let arrived = start + Duration::from_millis(200);
        let deadline = arrived + Duration::from_mins(1);
        queue.push(Text { id: 1, tokens: 8, arrived, deadline, gone: false });
        ids(&queue.take(arrived).batch) == [1]
    };
    assert!(!overtakes(Duration::from_micros(100)) && overtakes(Duration::from_micros(400)));
    // Nobody is overtaken for longer than this, however slow the model is.
    assert_eq!(
        Limits { cost: Cost { token: Duration::from_secs(1), ..COST }, ..limits(Layout::Varlen, 1, 1) }.ageing(),
        MOST_AGEING
    );
}
