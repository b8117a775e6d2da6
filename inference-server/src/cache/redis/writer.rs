//! Writes answers to Redis behind the callers' backs.

use std::{sync::Arc, time::Duration};

use redis::{ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, aio::MultiplexedConnection};
use tokio::{sync::mpsc, time};

use super::{Redis, kind, link::Connection, sentence, series::Failure};

/// Answers that wait to be written; one more is dropped.
pub(super) const MOST_WAITING: usize = 1024;

/// Answers of one round trip.
const MOST_AT_ONCE: usize = 64;

/// Time for one round trip. Longer than a lookup's, as nobody waits.
const WRITE_TIME: Duration = Duration::from_secs(1);

/// An answer to be written.
pub(super) struct Write {
    pub(super) key: String,
    pub(super) value: String,
}

/// What became of several answers.
#[derive(Default)]
struct Written {
    taken: usize,
    /// What Redis said to the first one that it refused.
    refusal: Option<RedisError>,
}

/// Writes what comes, as much at once as there is.
pub(super) async fn run(redis: Arc<Redis>, mut writes: mpsc::Receiver<Write>) {
    let series = &redis.series.redis;
    let mut batch = Vec::with_capacity(MOST_AT_ONCE);
    let mut refused = false;
    while writes.recv_many(&mut batch, MOST_AT_ONCE).await > 0 {
        let Written { taken, refusal } = match redis.link.connection() {
            Some(connection) => write(&redis, connection, &batch).await,
            None => Written::default(),
        };
        series.writes.inc_by(taken as u64);
        series.dropped_writes.inc_by((batch.len() - taken) as u64);
        batch.clear();
        match refusal {
            Some(error) => {
                if !refused {
                    tracing::warn!(problem = sentence(&error), "Redis takes no answers");
                }
                refused = true;
                // After a failover the old primary is a replica, and the name leads to another server.
                if error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
                    redis.link.renew();
                }
            }
            None if refused && taken > 0 => {
                tracing::info!("Redis takes answers again");
                refused = false;
            }
            None => {}
        }
    }
}

async fn write(redis: &Redis, mut connection: Connection<MultiplexedConnection>, batch: &[Write]) -> Written {
    let ttl = redis.config.ttl.as_secs();
    let mut commands = Pipeline::with_capacity(batch.len());
    commands.ignore_errors();
    for Write { key, value } in batch {
        commands.cmd("SET").arg(key).arg(value).arg("EX").arg(ttl);
    }
    let series = &redis.series.redis;
    let replies: Vec<RedisResult<()>> =
        match time::timeout(WRITE_TIME, commands.query_async(&mut connection.requests)).await {
            Ok(Ok(replies)) => replies,
            Ok(Err(error)) => {
                series.failed(kind(&error));
                redis.link.failed(&connection, &sentence(&error));
                return Written::default();
            }
            Err(_) => {
                series.failed(Failure::Timeout);
                redis.link.failed(&connection, "no reply to a write");
                return Written::default();
            }
        };
    let mut written = Written::default();
    for reply in replies {
        match reply {
            Ok(()) => written.taken += 1,
            // What is there can still be read, so this is no failure of the connection.
            Err(error) => {
                series.failed(Failure::Refused);
                written.refusal.get_or_insert(error);
            }
        }
    }
    written
}
