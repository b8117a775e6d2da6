//! The digest of the model that a service's pods have loaded: asked of one of them, once for each ReplicaSet; and of each
//! that comes later, where their source may have got another model meanwhile.
//!
//! Nothing waits for the answer. A pod that doesn't answer is asked again later, ever more rarely, and says nothing of
//! whether the service is ready.

mod digest;
mod http;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use thiserror::Error;
use tokio::{sync::Semaphore, time::Instant};

pub use self::{digest::Digest, http::Http};
use crate::{api::ServiceRef, backoff, memory::Memory, rollouts::Wake};

/// Pods that are asked at a time. A network that lets nothing through must not hold many tasks.
const AT_A_TIME: usize = 8;

/// The longest time between two questions about the same ReplicaSet.
const RARELY: Duration = Duration::from_hours(1);

/// What a pod answered: the digest, or nothing where its server is too old to tell.
pub type Answer = Result<Option<Digest>, NoAnswer>;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum NoAnswer {
    /// It takes too long.
    #[error("no answer in time")]
    Late,
    /// There is no connection, or it ended early.
    #[error("no connection: {0}")]
    Connection(#[from] std::io::Error),
    /// What came is no HTTP.
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    /// The server doesn't answer the question.
    #[error("the answer was {0}")]
    Status(hyper::StatusCode),
    /// What was answered can't be read.
    #[error("the answer can't be read: {0}")]
    Unreadable(String),
}

/// Who asks pods. Tests have one that needs no pods.
pub trait AskPods: Send + Sync {
    /// Asks the server at this address and path. It takes no longer than a few seconds.
    fn ask(&self, pod: SocketAddr, path: String) -> BoxFuture<'static, Answer>;
}

/// Asks pods for the digests of their models.
pub(crate) struct Digests {
    pods: Arc<dyn AskPods>,
    places: Arc<Semaphore>,
}

/// What is asked, and who wants to know.
pub(crate) struct Question {
    /// The pod.
    pub(crate) pod: SocketAddr,
    /// The path of its description.
    pub(crate) path: String,
    /// Whom the answer speaks for: its ReplicaSet, or the pod alone.
    pub(crate) about: Arc<str>,
    /// The service, which is looked at when there is an answer, or none.
    pub(crate) service: ServiceRef,
}

impl Digests {
    /// Asks by these means.
    pub(crate) fn new(pods: Arc<dyn AskPods>) -> Self {
        Self { pods, places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// Asks without waiting for the answer, which comes into `memory`.
    pub(crate) fn ask(&self, question: Question, memory: Arc<Memory>, wake: Wake) {
        memory.note_digest_asked(question.about.clone());
        let (pods, places) = (self.pods.clone(), self.places.clone());
        tokio::spawn(async move {
            let Question { pod, path, about, service } = question;
            let place = places.acquire_owned().await;
            let answer = pods.ask(pod, path).await;
            drop(place);
            match answer {
                Ok(digest) => memory.note_digest(&about, digest),
                Err(error) => {
                    let failures = memory.count_digest_failure(&about);
                    let delay = backoff::delay(failures, fastrand::f64(), RARELY);
                    memory.note_digest_failure(&about, Instant::now() + delay);
                    tracing::warn!(
                        name = service.name, namespace = service.namespace, %pod, %error, failures,
                        retry_in_seconds = delay.as_secs_f64(),
                        "a pod doesn't tell the digest of its model"
                    );
                }
            }
            // It fails when the controller has stopped, and then nobody wants to know any more.
            let _ = wake.unbounded_send(service);
        });
    }
}
