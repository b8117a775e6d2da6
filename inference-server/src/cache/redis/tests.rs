use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{
    fake::{Fake, Reply, is_lookup},
    replies::Refusal,
    *,
};
use crate::cache::Series;

/// Replies that are none, each with why.
fn bad_replies() -> Vec<(fn() -> Reply, Refusal)> {
    vec![
        (|| Reply::Endless(b"$2000000000\r\n", b"a"), Refusal::TooLong),
        (|| Reply::Endless(b"+", b"a"), Refusal::TooLong),
        (|| Reply::Endless(b"-ERR ", b"a"), Refusal::TooLong),
        (|| Reply::Endless(b"*1000000\r\n", b"+a\r\n"), Refusal::TooLong),
        (|| Reply::Endless(b"%1000000\r\n", b"+a\r\n"), Refusal::TooLong),
        (|| Reply::Endless(b"*2\r\n$2\r\nok\r\n$2000000000\r\n", b"a"), Refusal::TooLong),
        (|| Reply::Endless(b"", b">2\r\n+invalidate\r\n_\r\n"), Refusal::Unasked),
        (|| Reply::Endless(b"", b"HTTP/1.1 200 OK\r\n"), Refusal::NotRedis),
    ]
}

fn render(series: &Series) -> String {
    let mut registry = prometheus_client::registry::Registry::default();
    series.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::prometheus_text::encode(&mut text, &registry).unwrap();
    text
}

/// Asserts that a client gave up for this, with a word, a count, and an open breaker; and that little was sent by then.
async fn assert_refused(fake: &Fake, redis: &Redis, refusal: Refusal) {
    let reason = refusal.to_string();
    let down = time::timeout(Duration::from_mins(1), redis.link.came_down(&reason)).await;
    assert!(down.is_ok(), "not {reason:?}, but {:?}", redis.problem());
    let series = render(&redis.series);
    let counted =
        series.lines().find_map(|line| line.strip_prefix(r#"sentiment_redis_errors_total{kind="bad_reply"} "#));
    assert!(counted.unwrap().parse::<u64>().unwrap() > 0, "{series}");
    // What the system's own buffers take, and no more.
    assert!(fake.sent() < 64 << 20, "{} bytes", fake.sent());
}

#[tokio::test]
async fn a_bad_reply_while_it_is_logged_in_to_is_refused() {
    for (reply, refusal) in bad_replies() {
        let fake = Fake::start(move |command| if command[0] == "CLIENT" { reply() } else { Reply::Usual }).await;
        let redis = fake.client(&Arc::new(Series::default()));
        assert_refused(&fake, &redis, refusal).await;
    }
}

#[tokio::test]
async fn a_bad_reply_to_the_first_lookup_is_refused() {
    for (reply, refusal) in bad_replies() {
        let fake = Fake::start(move |command| if command[0] == "GETRANGE" { reply() } else { Reply::Usual }).await;
        let redis = fake.client(&Arc::new(Series::default()));
        assert_refused(&fake, &redis, refusal).await;
    }
}

#[tokio::test]
async fn a_bad_reply_to_a_later_lookup_or_write_ends_the_connection_and_nobody_waits() {
    for (reply, refusal) in bad_replies() {
        for of_writes in [false, true] {
            // From then on it says nothing else, so that the breaker stays open.
            let spoilt = AtomicBool::new(false);
            let script = move |command: &[String]| {
                let is_bad = if of_writes { command[0] == "SET" } else { is_lookup(command) };
                if spoilt.fetch_or(is_bad, Ordering::SeqCst) || is_bad { reply() } else { Reply::Usual }
            };
            let fake = Fake::start(script).await;
            let redis = fake.client(&Arc::new(Series::default()));
            redis.link.came_up().await;
            let key = redis.key(&"a text".into()).unwrap();
            if of_writes {
                redis.keep(key, &Kept { logits: [0.5, 0.25].into(), truncated: false });
            } else {
                let found = time::timeout(Duration::from_secs(5), redis.find(&key)).await;
                assert_eq!(found, Ok(None), "it had to wait");
            }
            assert_refused(&fake, &redis, refusal).await;
        }
    }
}

#[tokio::test]
async fn a_kept_answer_passes() {
    const ANSWER: &[u8] = b"$22\r\n{\"logits\":[0.75,-0.5]}\r\n";
    let fake = Fake::start(|command| if is_lookup(command) { Reply::Bytes(ANSWER) } else { Reply::Usual }).await;
    let redis = fake.client(&Arc::new(Series::default()));
    redis.link.came_up().await;
    for _ in 0..1000 {
        let found = redis.find(&redis.key(&"a text".into()).unwrap()).await;
        assert_eq!(found, Some(Kept { logits: [0.75, -0.5].into(), truncated: false }));
    }
    assert_eq!(fake.lookups(), 1000);
    assert!(redis.link.is_up());
}
