//! The second level: answers that all pods of a service share. Redis only ever helps. When it is
//! slow or gone, texts are run as if it weren't there, and the caller gets no word of it.

mod backoff;
mod connector;
mod identity;
mod link;
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

use super::Answer;
use crate::{
    config::{ConfigError, RedisConfig},
    metrics::Metrics,
    model::Verdict,
};
use connector::Connector;
use identity::Identity;
pub use identity::Parts;
use link::Link;
use series::Failure;
pub use series::RedisSeries;
use writer::Write;

/// The model whose answers are kept.
struct Served {
    prefix: String,
    identity: Identity,
    writes: mpsc::Sender<Write>,
}

/// Answers in Redis.
pub struct Redis {
    config: RedisConfig,
    metrics: Arc<Metrics>,
    link: Link<MultiplexedConnection>,
    places: Semaphore,
    served: OnceLock<Served>,
}

impl Redis {
    /// Answers that aren't looked up before [`Self::start`].
    #[must_use]
    pub fn new(config: RedisConfig, metrics: Arc<Metrics>) -> Self {
        metrics.redis.breaker_open.set(1);
        let places = Semaphore::new(config.lookups_in_flight);
        Self { config, metrics, link: Link::new(), places, served: OnceLock::new() }
    }

    /// Connects in the background, and from then on serves the answers of this model. Must be called
    /// on a Tokio runtime, once.
    pub fn start(self: &Arc<Self>, parts: Parts) -> Result<(), ConfigError> {
        let connector = Connector::new(&self.config)?;
        task::spawn(supervisor::run(Arc::clone(self), connector, parts));
        Ok(())
    }

    /// Why Redis isn't asked at present, as a sentence without its full stop; `None` when it is.
    #[must_use]
    pub fn problem(&self) -> Option<Arc<str>> {
        self.link.problem()
    }

    /// The key of a text; `None` as long as the model isn't known.
    pub(super) fn key(&self, text: &str) -> Option<String> {
        Some(value::key(&self.served.get()?.prefix, text))
    }

    /// The answer under a key, if it is there and Redis says so in time, and whether it is on the start of the text alone.
    pub(super) async fn find(&self, key: &str) -> Option<(Verdict, bool)> {
        let series = &self.metrics.redis;
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
        let answer = value::read(&kept, &served.identity);
        if answer.is_some() {
            series.hits.inc();
        } else {
            series.failed(Failure::BadValue);
        }
        answer
    }

    /// Keeps an answer, some time soon; nobody waits for it.
    pub(super) fn keep(&self, key: String, answer: &Answer) {
        let kept = value::write(&answer.verdict, answer.truncated).zip(self.served.get()).filter(|_| self.link.is_up());
        let queued = kept.is_some_and(|(value, served)| served.writes.try_send(Write { key, value }).is_ok());
        if !queued {
            self.metrics.redis.dropped_writes.inc();
        }
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
