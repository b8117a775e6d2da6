//! The controller: what all reconciliations share, and what drives them. [`steps`] is what one does.

mod pace;
mod steps;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, channel::mpsc, future, stream};
use kube::{
    Client,
    runtime::{Controller, controller},
};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

pub use self::steps::Error;
use crate::{
    api::{ServiceRef, Stored},
    digests::{AskPods, Digests, Http},
    evictions::{Evictions, Heard},
    image::ServerImage,
    image_volumes::{ImageVolumePolicy, ImageVolumes},
    memory::Memories,
    metrics::Metrics,
    publish::Publisher,
    rollouts::{self, Rollouts, Wake},
    runtime::watchdog::Watchdog,
    validate::ModelHosts,
    watches::{self, Scope, Stores},
};

/// How long one namespace, whose Deployments can't be listed, may keep the others waiting at the start.
const SETTLING: Duration = Duration::from_secs(30);

/// What all reconciliations share.
pub struct Operator {
    client: Client,
    default_image: ServerImage,
    model_hosts: ModelHosts,
    image_volumes: ImageVolumes,
    publisher: Publisher,
    evictions: Evictions,
    digests: Digests,
    metrics: Metrics,
    rollouts: Rollouts,
    memories: Memories,
    watchdog: Watchdog,
}

/// What the reconciliations of one scope share.
struct Context {
    operator: Arc<Operator>,
    stores: Stores,
    wake: Wake,
}

impl Operator {
    /// An operator that deploys `default_image` where a spec names none.
    #[must_use]
    pub fn new(client: Client, default_image: ServerImage, metrics: Metrics) -> Self {
        Self {
            publisher: Publisher::new(client.clone()),
            evictions: Evictions::new(client.clone()),
            digests: Digests::new(Arc::new(Http)),
            client,
            default_image,
            model_hosts: ModelHosts::default(),
            image_volumes: ImageVolumes::default(),
            rollouts: Rollouts::new(rollouts::DEFAULT_LIMIT, metrics.rollouts.clone()),
            metrics,
            memories: Memories::default(),
            watchdog: Watchdog::default(),
        }
    }

    /// Changes how many rollouts the operator begins by itself at a time.
    #[must_use]
    pub fn max_rollouts(mut self, limit: u16) -> Self {
        self.rollouts = Rollouts::new(limit, self.metrics.rollouts.clone());
        self
    }

    /// Changes which servers models may come from. Without it, any.
    #[must_use]
    pub fn model_hosts(mut self, hosts: ModelHosts) -> Self {
        self.model_hosts = hosts;
        self
    }

    /// Changes how models in images come to the pods.
    #[must_use]
    pub fn image_volumes(mut self, policy: ImageVolumePolicy) -> Self {
        self.image_volumes = ImageVolumes::new(policy);
        self
    }

    /// Changes how pods are asked for the digests of their models.
    #[must_use]
    pub fn ask_pods(mut self, pods: Arc<dyn AskPods>) -> Self {
        self.digests = Digests::new(pods);
        self
    }

    /// What finds out that nothing goes on any more.
    #[must_use]
    pub const fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    /// Runs until `stop` is cancelled and the reconciliations that have begun are done, or until a watch has ended.
    ///
    /// `concurrency` is the most reconciliations at a time in each scope; `ready` is called when all watches of all scopes
    /// have been answered.
    pub async fn run(
        self: Arc<Self>,
        scopes: &[Scope],
        concurrency: u16,
        ready: impl FnOnce() + Send + 'static,
        stop: CancellationToken,
    ) {
        let mut tasks = JoinSet::new();
        let mut controllers = Vec::new();
        let mut all_stores = Vec::new();
        // The Deployments of all scopes have been seen, or that takes too long.
        let settled = CancellationToken::new();
        // A watch has no end, unless it panics. Who is deaf must not go on: the next process may hear.
        let deaf = CancellationToken::new();
        for scope in scopes {
            let watches = watches::start(&self.client, scope, &self.metrics);
            let stores = watches.stores.clone();
            all_stores.push(stores.clone());
            self.rollouts.watch(stores.clone());
            let (wake, woken) = mpsc::unbounded();
            let queue = self.metrics.queue.clone();
            let all = stores.services.clone();
            // A kind that was found or is gone concerns all, but not before their verdicts are due.
            let concerned = watches::installations(&stores).flat_map(move |()| {
                stream::iter(all.state().into_iter().map(|object| ServiceRef::from_obj(&*object)).collect::<Vec<_>>())
            });
            let woken = stream::select(woken, concerned);
            let woken = woken.inspect(move |service: &ServiceRef| queue.enter(service.clone()));
            let (paced, looks) = mpsc::unbounded();
            let (scope_stores, scope_settled) = (stores.clone(), settled.clone());
            let begin = async move {
                // No verdict of half of what there is.
                scope_stores.whole().await;
                scope_settled.cancelled().await;
            };
            let coming = stream::select(watches.looks, woken);
            let mut watching = watches.tasks;
            let is_deaf = deaf.clone().drop_guard();
            tasks.spawn(async move {
                let _is_deaf = is_deaf;
                tokio::select! {
                    () = pace::pace(begin, coming, paced) => {}
                    _ = watching.join_next() => {}
                }
            });
            let context = Arc::new(Context { operator: self.clone(), stores: stores.clone(), wake });
            let on_error =
                |object: Arc<Stored>, error: &Error, context: Arc<Context>| steps::on_error(&object, error, &context);
            controllers.push(
                Controller::for_stream(stream::pending(), stores.services.clone())
                    .with_config(controller::Config::default().concurrency(concurrency))
                    .reconcile_on(looks)
                    .graceful_shutdown_on(stop.clone().cancelled_owned())
                    .run(steps::reconcile, on_error, context),
            );
            let (operator, scope) = (self.clone(), scope.clone());
            tasks.spawn(async move {
                let Self { memories, publisher, metrics, .. } = &*operator;
                operator.evictions.follow(&scope, Heard { stores: &stores, memories, publisher, metrics }).await;
            });
        }
        let begun = CancellationToken::new();
        let has_begun = begun.clone();
        tasks.spawn(async move {
            let _ = timeout(SETTLING, future::join_all(all_stores.iter().map(Stores::deployments_whole))).await;
            settled.cancel();
            for stores in &all_stores {
                stores.whole().await;
            }
            has_begun.cancel();
            ready();
            future::pending::<()>().await;
        });
        let reconciled = stream::select_all(controllers.into_iter().map(StreamExt::boxed)).for_each(|outcome| {
            if let Err(controller::Error::ObjectNotFound(gone)) = outcome {
                self.forget(&ServiceRef::new(&gone.name).within(gone.namespace.as_deref().unwrap_or_default()));
            }
            future::ready(())
        });
        // A controller that hasn't begun has nothing to finish, and would wait for its first list.
        let stopped_early = async {
            stop.cancelled().await;
            if begun.is_cancelled() {
                future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = reconciled => {}
            () = stopped_early => {}
            () = deaf.cancelled() => tracing::error!("a watch has come to an end; ending"),
        }
    }

    /// Drops what was remembered of a service that is gone.
    fn forget(&self, service: &ServiceRef) {
        self.memories.forget(service);
        self.rollouts.leave(service);
        self.metrics.forget(service.namespace.as_deref().unwrap_or_default(), &service.name);
        self.metrics.queue.leave(service);
    }
}
