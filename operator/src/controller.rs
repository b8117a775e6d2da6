//! The controller, as a table of contents: fetch, validate, dereference, build, admit, apply,
//! observe, report.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, channel::mpsc, future, stream};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Client, Resource,
    runtime::{
        controller::{self, Action},
        reflector::ObjectRef,
    },
};
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{Reason, SentimentServiceStatus},
    apply::{Applier, ApplyError},
    backoff,
    build::build,
    dereference::{DereferenceError, Dereferencer},
    evictions::Evictions,
    image::ImageReference,
    lock::lock,
    metrics::Metrics,
    observe,
    report::{Publisher, failed_status, observed_status, tell_held},
    rollouts::{self, Rollouts, Wake},
    runtime::watchdog::Watchdog,
    validate::validate,
    watches::{self, Guarded, Scope, Stores},
};

/// Events come in bursts (a rollout touches pods, ReplicaSet and Deployment); one look will do.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How long one namespace, whose objects can't be listed, may keep the others waiting at the start.
const SETTLING: Duration = Duration::from_secs(30);

/// Why a reconciliation has to be tried again.
#[derive(Debug, Error)]
pub enum Error {
    /// A reference could not be looked up.
    #[error(transparent)]
    Dereference(#[from] DereferenceError),
    /// A child could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The status could not be written.
    #[error("the status could not be written: {0}")]
    Report(#[source] Box<kube::Error>),
}

/// What all reconciliations share.
pub struct Operator {
    client: Client,
    default_image: ImageReference,
    dereferencer: Dereferencer,
    applier: Applier,
    publisher: Publisher,
    evictions: Evictions,
    metrics: Metrics,
    watchdog: Watchdog,
    rollouts: Rollouts,
    /// Cancelled when the Deployments of all scopes have been seen, or [`SETTLING`] has passed.
    settled: CancellationToken,
    failures: Mutex<HashMap<ObjectRef<Guarded>, u32>>,
    /// Last reported status of objects that can't be read, and so can't tell it themselves.
    unreadable: Mutex<HashMap<ObjectRef<Guarded>, SentimentServiceStatus>>,
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
    pub fn new(client: Client, default_image: ImageReference, metrics: Metrics) -> Self {
        Self {
            dereferencer: Dereferencer::new(client.clone()),
            applier: Applier::new(client.clone()),
            publisher: Publisher::new(client.clone()),
            evictions: Evictions::new(client.clone()),
            client,
            default_image,
            rollouts: Rollouts::new(rollouts::DEFAULT_LIMIT, metrics.rollouts.clone()),
            settled: CancellationToken::new(),
            metrics,
            watchdog: Watchdog::default(),
            failures: Mutex::default(),
            unreadable: Mutex::default(),
        }
    }

    /// Changes how many rollouts the operator begins by itself at a time.
    #[must_use]
    pub fn max_rollouts(mut self, limit: u16) -> Self {
        self.rollouts = Rollouts::new(limit, self.metrics.rollouts.clone());
        self
    }

    /// Finds out that no reconciliation comes to its end any more.
    #[must_use]
    pub fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    /// Runs until `stop` is cancelled and the reconciliations that have begun are done.
    ///
    /// `concurrency` is the most reconciliations at a time in each scope; `ready` is called when
    /// all watches of all scopes have been answered.
    pub async fn run(
        self: Arc<Self>,
        scopes: &[Scope],
        concurrency: u16,
        ready: impl FnOnce() + Send + 'static,
        stop: CancellationToken,
    ) {
        let mut controllers = Vec::new();
        let mut all_stores = Vec::new();
        for scope in scopes {
            let (controller, stores) = watches::start(&self.client, scope, &self.metrics);
            all_stores.push(stores.clone());
            self.rollouts.watch(stores.deployments.clone());
            let (wake, woken) = mpsc::unbounded();
            let queue = self.metrics.queue.clone();
            let woken = woken.inspect(move |service: &ObjectRef<Guarded>| queue.enter(service.clone()));
            let context = Arc::new(Context { operator: self.clone(), stores, wake });
            let config = controller::Config::default().debounce(DEBOUNCE).concurrency(concurrency);
            controllers.push(
                controller
                    .with_config(config)
                    .reconcile_on(woken)
                    .graceful_shutdown_on(stop.clone().cancelled_owned())
                    .run(reconcile, on_error, context),
            );
        }
        let evictions = future::join_all(scopes.iter().zip(all_stores.clone()).map(|(scope, stores)| {
            let Self { evictions, publisher, metrics, .. } = &*self;
            async move { evictions.follow(scope, &stores, publisher, metrics).await }
        }));
        let settled = self.settled.clone();
        let watches_answered = tokio::spawn(async move {
            let deployments = future::join_all(all_stores.iter().map(Stores::deployments_ready));
            let _ = timeout(SETTLING, deployments).await;
            settled.cancel();
            for stores in &all_stores {
                stores.ready().await;
            }
            ready();
        });
        let reconciled = stream::select_all(controllers.into_iter().map(StreamExt::boxed)).for_each(|outcome| {
            if let Err(controller::Error::ObjectNotFound(gone)) = outcome {
                self.forget(&gone.name, gone.namespace.as_deref().unwrap_or_default());
            }
            future::ready(())
        });
        tokio::select! {
            () = reconciled => {}
            _ = evictions => {}
        }
        watches_answered.abort();
    }

    /// Drops what was remembered of a service that is gone.
    fn forget(&self, name: &str, namespace: &str) {
        let key = ObjectRef::new(name).within(namespace);
        self.applier.forget(namespace, name);
        self.rollouts.leave(&key);
        self.evictions.forget(&key);
        lock(&self.failures).remove(&key);
        lock(&self.unreadable).remove(&key);
        self.metrics.forget(namespace, name);
        self.metrics.queue.leave(&key);
    }
}

async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let metrics = &context.operator.metrics;
    metrics.queue.leave(&ObjectRef::from_obj(&*object));
    let counted = metrics.begin();
    let mark = context.operator.watchdog.begin();
    let result = steps(&object, &context).await;
    counted.finish(result.is_ok());
    mark.finish();
    if result.is_ok() {
        lock(&context.operator.failures).remove(&ObjectRef::from_obj(&*object));
    }
    result
}

async fn steps(object: &Guarded, context: &Context) -> Result<Action, Error> {
    let Context { operator, stores, wake } = context;
    let key = ObjectRef::from_obj(object);
    if object.meta().deletion_timestamp.is_some() {
        operator.rollouts.leave(&key);
        // The garbage collector removes the children; there is nothing to wait for.
        return Ok(Action::await_change());
    }

    // Fetch: the watch has done it, and kept what can't be read apart.
    let service = match &object.0 {
        Ok(service) => service,
        Err(invalid) => {
            let message = format!(
                "the stored object breaks the schema ({}): apply it again, and the API server names the field",
                invalid.error
            );
            return operator.refuse(object, stores, None, &message).await;
        }
    };
    let previous = service.status.clone().unwrap_or_default();

    // Validate.
    let valid = match validate(service, &operator.default_image) {
        Ok(valid) => valid,
        Err(invalid) => return operator.refuse(object, stores, Some(previous), &invalid.to_string()).await,
    };

    // Dereference.
    let references = match operator.dereferencer.dereference(&valid, stores).await {
        Ok(references) => references,
        Err(error @ DereferenceError::NoConfigMap(_)) => {
            // What serves goes on, and the watch tells when there is one.
            operator.fail(object, stores, &previous, Reason::DependencyMissing, &error.to_string()).await?;
            return Ok(Action::await_change());
        }
        Err(error) => return Err(error.into()),
    };

    // Build.
    let mut children = build(&valid, &references);

    // Admit: a template that the spec doesn't explain may have to wait for its turn.
    stores.deployments_ready().await;
    operator.settled.cancelled().await;
    let live = stores.deployments.get(&ObjectRef::from_obj(&children.deployment));
    let held = operator.rollouts.admit(&key, valid.generation, &mut children.deployment, live.as_deref(), wake);

    // Apply.
    let applied = match operator.applier.apply(&valid, &children, stores).await {
        Ok(applied) => applied,
        // The service itself will be deleted next.
        Err(ApplyError::Terminating(_)) => {
            operator.rollouts.leave(&key);
            return Ok(Action::await_change());
        }
        Err(error) => {
            match error.reason() {
                Some(reason) => drop(operator.fail(object, stores, &previous, reason, &error.to_string()).await?),
                None => operator.rollouts.leave(&key),
            }
            return Err(error.into());
        }
    };

    // Observe.
    let eviction = operator.evictions.last(&key);
    let observation = observe::observe(&valid, &applied, stores, eviction.as_ref());

    // Report.
    operator.publisher.repairs(object, &applied).await;
    let mut status = observed_status(&valid, &observation, &previous, Timestamp::now());
    if let Some(held) = held {
        tell_held(&mut status, held, &applied.deployment, &previous, Timestamp::now());
    }
    operator.report(object, &status, &previous, observation.reason).await?;
    Ok(Action::await_change())
}

impl Operator {
    /// Reports a spec that breaks a rule. Trying again can't help: the next change of it will.
    async fn refuse(
        &self,
        object: &Guarded,
        stores: &Stores,
        previous: Option<SentimentServiceStatus>,
        message: &str,
    ) -> Result<Action, Error> {
        let key = ObjectRef::from_obj(object);
        let readable = previous.is_some();
        let previous = previous.or_else(|| lock(&self.unreadable).get(&key).cloned()).unwrap_or_default();
        let status = self.fail(object, stores, &previous, Reason::InvalidSpec, message).await?;
        if !readable {
            lock(&self.unreadable).insert(key, status);
        }
        Ok(Action::await_change())
    }

    /// Reports that the current spec isn't in force, and what still serves. Such a service neither
    /// waits for its turn to roll out nor takes a place.
    async fn fail(
        &self,
        object: &Guarded,
        stores: &Stores,
        previous: &SentimentServiceStatus,
        reason: Reason,
        message: &str,
    ) -> Result<SentimentServiceStatus, Error> {
        self.rollouts.leave(&ObjectRef::from_obj(object));
        let meta = object.meta();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let counts = observe::counts(namespace, meta.name.as_deref().unwrap_or_default(), stores);
        let status = failed_status(meta.generation, reason, message, counts, previous, Timestamp::now());
        self.report(object, &status, previous, reason).await?;
        Ok(status)
    }

    async fn report(
        &self,
        object: &Guarded,
        status: &SentimentServiceStatus,
        previous: &SentimentServiceStatus,
        reason: Reason,
    ) -> Result<(), Error> {
        self.metrics.observed(object, reason);
        match self.publisher.publish(object, status, previous).await {
            Ok(()) => Ok(()),
            // Deleted in the meantime.
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            Err(error) => Err(Error::Report(Box::new(error))),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is the controller's")]
fn on_error(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let key = ObjectRef::from_obj(&*object);
    let failures = {
        let mut failures = lock(&context.operator.failures);
        let count = failures.entry(key).or_default();
        *count = count.saturating_add(1);
        *count
    };
    let delay = backoff::delay(failures, fastrand::f64());
    tracing::warn!(
        name = object.meta().name,
        namespace = object.meta().namespace,
        %error,
        failures,
        retry_in_seconds = delay.as_secs_f64(),
        "reconciliation failed"
    );
    Action::requeue(delay)
}
