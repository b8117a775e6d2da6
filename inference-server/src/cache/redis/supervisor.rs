//! Keeps the connection to Redis up, and says when that changes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::aio::MultiplexedConnection;
use tokio::{sync::mpsc, task, time};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Redis, Served,
    backoff::Backoff,
    connector::{ConnectError, Connected, Connector},
    guard::Refused,
    link::End,
    replies::Refusal,
    series::Failure,
    value, writer,
};
use model::{Digest, Head};

/// A connection that lasted this long shows that Redis is well: the next failure is a new one.
const STEADY: Duration = Duration::from_secs(30);

/// Ends the connection when dropped.
type Driver = AbortOnDropHandle<()>;

/// Connects and reconnects for as long as the process lives.
pub(super) async fn run(redis: Arc<Redis>, connector: Connector, outputs: Digest, head: Head) {
    let prefix = value::prefix(&redis.config.namespace, outputs);
    let (sender, writes) = mpsc::channel(writer::MOST_WAITING);
    if redis.served.set(Served { prefix, head, writes: sender }).is_ok() {
        task::spawn(writer::run(Arc::clone(&redis), writes));
        stay_connected(&redis, &connector).await;
    }
}

async fn stay_connected(redis: &Redis, connector: &Connector) {
    let mut backoff = Backoff::default();
    let mut told = None;
    // Outlives its turn of the loop, so that a connection to be renewed works until then.
    let mut driver: Option<Driver> = None;
    for number in 0.. {
        let end = match connect(redis, connector).await {
            Ok(Up { requests, driver: new, refused }) => {
                redis.link.up(requests, number);
                tell(redis, &mut told, None);
                let since = Instant::now();
                let driver = driver.insert(new);
                let end = tokio::select! {
                    end = redis.link.ended() => end,
                    _ = driver => End::Lost("the connection was closed".into()),
                };
                if since.elapsed() >= STEADY {
                    backoff.reset();
                }
                match refused.get() {
                    // What requests say that were on their way is that the connection is gone.
                    Some(refusal) => End::Lost(bad_reply(redis, *refusal).into()),
                    None => end,
                }
            }
            Err(problem) => End::Lost(problem.into()),
        };
        if let End::Lost(problem) = end {
            redis.link.down(Arc::clone(&problem));
            driver = None;
            tell(redis, &mut told, Some(&problem));
        }
        time::sleep(backoff.next(fastrand::f64())).await;
    }
}

/// A connection that is driven. It ends when `driver` is dropped.
struct Up {
    requests: MultiplexedConnection,
    driver: Driver,
    refused: Refused,
}

/// A connection on which a lookup was answered in time.
async fn connect(redis: &Redis, connector: &Connector) -> Result<Up, String> {
    let Connected { mut requests, driver, refused } = connector.connect().await.map_err(|error| match error {
        ConnectError::Failed(problem) => problem,
        ConnectError::Refused(refusal) => bad_reply(redis, refusal),
    })?;
    let driver = AbortOnDropHandle::new(task::spawn(driver));
    // Not a PING: the right to read keys, or the slot of a cluster, may be what is missing.
    let key = redis.key(&"".into()).unwrap_or_default();
    match time::timeout(redis.config.lookup_time, super::get(&mut requests, &key)).await {
        Ok(Ok(_)) => Ok(Up { requests, driver, refused }),
        Ok(Err(error)) => Err(match refused.get() {
            Some(refusal) => bad_reply(redis, *refusal),
            None => super::sentence(&error),
        }),
        Err(_) => Err(redis.too_slow()),
    }
}

/// Counts a connection that was given up for what came over it, and says why.
fn bad_reply(redis: &Redis, refusal: Refusal) -> String {
    redis.series.redis.failed(Failure::BadReply);
    refusal.to_string()
}

/// Writes a line and sets the series when Redis comes or goes.
fn tell(redis: &Redis, told: &mut Option<bool>, problem: Option<&str>) {
    let (host, port) = (redis.config.host.as_str(), redis.config.port);
    let is_up = problem.is_none();
    if told.replace(is_up) == Some(is_up) {
        return;
    }
    redis.series.redis.breaker_open.set(i64::from(!is_up));
    match problem {
        None => tracing::info!(host, port, "Redis is used"),
        Some(problem) => tracing::warn!(host, port, problem, "Redis is not used until it answers again"),
    }
}
