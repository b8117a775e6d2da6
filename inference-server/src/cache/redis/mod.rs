//! The second level: answers that all pods of a service share. Redis only ever helps. When it is
//! slow or gone, texts are run as if it weren't there, and the caller gets no word of it.

mod backoff;
mod connector;
#[cfg(test)]
pub(super) mod fake;
mod guard;
mod link;
mod replies;
mod series;
mod supervisor;
mod value;
mod writer;

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use redis::{ErrorKind, RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::{
    sync::{Semaphore, mpsc},
    task, time,
};

use super::{Kept, Series};
use crate::config::{ConfigError, RedisConfig};
pub use connector::Connector;
use engine::Input;
use link::Link;
use model::{Digest, Head};
use series::Failure;
pub use series::RedisSeries;
use writer::Write;

/// The model whose answers are kept.
struct Served {
    prefix: String,
    head: Head,
    writes: mpsc::Sender<Write>,
}

/// Answers in Redis.
pub struct Redis {
    config: RedisConfig,
    series: Arc<Series>,
    link: Link<MultiplexedConnection>,
    places: Semaphore,
    served: OnceLock<Served>,
}

impl Redis {
    /// Answers that aren't looked up before [`Self::start`].
    #[must_use]
    pub fn new(config: RedisConfig, series: Arc<Series>) -> Self {
        series.expect_redis();
        let places = Semaphore::new(config.lookups_in_flight);
        Self { config, series, link: Link::new(), places, served: OnceLock::new() }
    }

    /// What connections are made with, unless the settings don't allow any.
    pub fn connector(&self) -> Result<Connector, ConfigError> {
        Connector::new(&self.config)
    }

    /// Connects in the background, and from then on serves a model's outputs. Must be called on a Tokio runtime, once.
    pub fn start(self: &Arc<Self>, connector: Connector, outputs: Digest, head: Head) {
        task::spawn(supervisor::run(Arc::clone(self), connector, outputs, head));
    }

    /// Never serves, for this reason.
    pub fn give_up(&self, problem: &str) {
        tracing::warn!(problem, "Redis is not used");
        self.link.down(problem);
    }

    /// Why Redis isn't asked at present, as a sentence without its full stop; `None` when it is.
    #[must_use]
    pub fn problem(&self) -> Option<Arc<str>> {
        self.link.problem()
    }

    /// The key of a text; `None` as long as the model isn't known.
    pub(super) fn key(&self, input: &Input<'_>) -> Option<String> {
        Some(value::key(&self.served.get()?.prefix, input))
    }

    /// The answer under a key, if it is there and Redis says so in time, and whether it is on the start of the text alone.
    pub(super) async fn find(&self, key: &str) -> Option<Kept> {
        let series = &self.series.redis;
        let (Some(mut connection), Some(served)) = (self.link.connection(), self.served.get()) else {
            series.bypassed.inc();
            return None;
        };
        let mut asked = None;
        let lookup = async {
            let _place = self.places.acquire().await;
            asked = Some(Instant::now());
            get(&mut connection.requests, key).await
        };
        let reply = time::timeout(self.config.lookup_time, lookup).await;
        let Some(asked) = asked else {
            // Its time went by in waiting for others of ours, which says nothing about Redis.
            series.bypassed.inc();
            return None;
        };
        series.lookup_duration.observe(asked.elapsed().as_secs_f64());
        let kept = match reply {
            Ok(Ok(kept)) => kept,
            Ok(Err(error)) => {
                series.failed(kind(&error));
                self.link.failed(&connection, &sentence(&error));
                return None;
            }
            Err(_) => {
                series.failed(Failure::Timeout);
                self.link.failed(&connection, &self.too_slow());
                return None;
            }
        };
        Link::succeeded(&connection);
        let Some(kept) = kept else {
            series.misses.inc();
            return None;
        };
        let found = value::read(&kept, &served.head);
        if found.is_some() {
            series.hits.inc();
        } else {
            series.failed(Failure::BadValue);
        }
        found
    }

    /// Keeps an answer, some time soon; nobody waits for it.
    pub(super) fn keep(&self, key: String, kept: &Kept) {
        let kept = value::write(kept).zip(self.served.get()).filter(|_| self.link.is_up());
        let queued = kept.is_some_and(|(value, served)| served.writes.try_send(Write { key, value }).is_ok());
        if !queued {
            self.series.redis.dropped_writes.inc();
        }
    }

    /// Waits until lookups go to Redis.
    #[cfg(test)]
    pub(super) async fn is_used(&self) {
        self.link.came_up().await;
    }

    fn too_slow(&self) -> String {
        format!("no reply within {} ms", self.config.lookup_time.as_millis())
    }
}

/// Asks for the value under a key. No more of it than one of ours can be: who else writes to this
/// Redis must not be able to fill our memory.
async fn get(requests: &mut MultiplexedConnection, key: &str) -> RedisResult<Option<Vec<u8>>> {
    let mut command = redis::cmd("GETRANGE");
    command.arg(key).arg(0).arg(value::MOST_BYTES);
    let kept: Vec<u8> = command.query_async(requests).await?;
    // What isn't there is empty.
    Ok(Some(kept).filter(|kept| !kept.is_empty()))
}

/// What Redis said, in its own words where it said something.
fn sentence(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        _ if error.kind() == ErrorKind::AuthenticationFailed => "Redis refuses the username or the password".to_owned(),
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

fn kind(error: &RedisError) -> Failure {
    if error.is_io_error() { Failure::Connection } else { Failure::Refused }
}

#[cfg(test)]
mod tests;
