//! The controller, as a table of contents: fetch, validate, build, apply, observe, report.

use std::{
    collections::HashMap,
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Client, Resource,
    runtime::{
        controller::{self, Action},
        reflector::ObjectRef,
    },
};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{Reason, SentimentServiceStatus},
    apply::{Applier, ApplyError},
    backoff,
    build::build,
    image::ImageReference,
    metrics::Metrics,
    observe::observe,
    report::{Publisher, failed_status, observed_status},
    validate::validate,
    watches::{self, Guarded, Scope, Stores},
};

/// Events come in bursts (a rollout touches pods, ReplicaSet and Deployment); one look will do.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Why a reconciliation has to be tried again.
#[derive(Debug, Error)]
pub enum Error {
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
    applier: Applier,
    publisher: Publisher,
    metrics: Metrics,
    failures: Mutex<HashMap<ObjectRef<Guarded>, u32>>,
    /// Last reported status of objects that can't be read, and so can't tell it themselves.
    unreadable: Mutex<HashMap<ObjectRef<Guarded>, SentimentServiceStatus>>,
}

/// What the reconciliations of one scope share.
struct Context {
    operator: Arc<Operator>,
    stores: Stores,
}

impl Operator {
    /// An operator that deploys `default_image` where a spec names none.
    #[must_use]
    pub fn new(client: Client, default_image: ImageReference, metrics: Metrics) -> Self {
        Self {
            applier: Applier::new(client.clone()),
            publisher: Publisher::new(client.clone()),
            client,
            default_image,
            metrics,
            failures: Mutex::default(),
            unreadable: Mutex::default(),
        }
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
            let (controller, stores) = watches::start(&self.client, scope);
            all_stores.push(stores.clone());
            let context = Arc::new(Context { operator: self.clone(), stores });
            let config = controller::Config::default().debounce(DEBOUNCE).concurrency(concurrency);
            controllers.push(
                controller
                    .with_config(config)
                    .graceful_shutdown_on(stop.clone().cancelled_owned())
                    .run(reconcile, on_error, context),
            );
        }
        let watches_answered = tokio::spawn(async move {
            for stores in &all_stores {
                stores.ready().await;
            }
            ready();
        });
        stream::select_all(controllers.into_iter().map(StreamExt::boxed))
            .for_each(|outcome| {
                if let Err(controller::Error::ObjectNotFound(gone)) = outcome {
                    self.forget(&gone.name, gone.namespace.as_deref().unwrap_or_default());
                }
                future::ready(())
            })
            .await;
        watches_answered.abort();
    }

    /// Drops what was remembered of a service that is gone.
    fn forget(&self, name: &str, namespace: &str) {
        let key = ObjectRef::new(name).within(namespace);
        self.applier.forget(namespace, name);
        lock(&self.failures).remove(&key);
        lock(&self.unreadable).remove(&key);
        self.metrics.forget(namespace, name);
    }
}

async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let began = Instant::now();
    let result = steps(&object, &context).await;
    context.operator.metrics.reconciled(began.elapsed(), result.is_ok());
    if result.is_ok() {
        lock(&context.operator.failures).remove(&ObjectRef::from_obj(&*object));
    }
    result
}

async fn steps(object: &Guarded, context: &Context) -> Result<Action, Error> {
    let Context { operator, stores } = context;
    if object.meta().deletion_timestamp.is_some() {
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
            return operator.refuse(object, None, &message).await;
        }
    };
    let previous = service.status.clone().unwrap_or_default();

    // Validate.
    let valid = match validate(service, &operator.default_image) {
        Ok(valid) => valid,
        Err(invalid) => return operator.refuse(object, Some(previous), &invalid.to_string()).await,
    };

    // Build.
    let children = build(&valid);

    // Apply.
    let applied = match operator.applier.apply(&children, stores).await {
        Ok(applied) => applied,
        // The service itself will be deleted next.
        Err(ApplyError::Terminating(_)) => return Ok(Action::await_change()),
        Err(error) => {
            if let Some(reason) = error.reason() {
                let message = error.to_string();
                let status = failed_status(valid.generation, reason, &message, &previous, Timestamp::now());
                operator.report(object, &status, &previous, reason).await?;
            }
            return Err(error.into());
        }
    };

    // Observe.
    let observation = observe(&valid, &applied, stores);

    // Report.
    operator.publisher.repairs(object, &applied).await;
    let status = observed_status(&valid, &observation, &previous, Timestamp::now());
    operator.report(object, &status, &previous, observation.reason).await?;
    Ok(Action::await_change())
}

impl Operator {
    /// Reports a spec that breaks a rule. Trying again can't help: the next change of it will.
    async fn refuse(
        &self,
        object: &Guarded,
        previous: Option<SentimentServiceStatus>,
        message: &str,
    ) -> Result<Action, Error> {
        let key = ObjectRef::from_obj(object);
        let readable = previous.is_some();
        let previous = previous.or_else(|| lock(&self.unreadable).get(&key).cloned()).unwrap_or_default();
        let generation = object.meta().generation;
        let status = failed_status(generation, Reason::InvalidSpec, message, &previous, Timestamp::now());
        self.report(object, &status, &previous, Reason::InvalidSpec).await?;
        if !readable {
            lock(&self.unreadable).insert(key, status);
        }
        Ok(Action::await_change())
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each use is a single call on a map, so a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
