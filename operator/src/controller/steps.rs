//! One reconciliation, as a table of contents: fetch, validate, dereference, build, admit, apply, observe, report.

mod loaded;

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt, runtime::controller::Action};
use thiserror::Error;
use tokio::time::Instant;

use super::Context;
use crate::{
    api::{Reason, SentimentServiceStatus, ServiceRef, Stored},
    apply::{self, Applied, ApplyError, Template},
    backoff,
    build::build,
    children::{ChildKind, KINDS},
    dereference::{DereferenceError, References, dereference},
    facts,
    memory::{Asked, Failure, Memory, Situation},
    observe,
    rollouts::Held,
    status::{self, Write, worth_writing},
    validate::{ValidatedService, validate},
    verdict::Verdict,
    warnings,
    watches::{Kept, Stores},
};

/// Every wake-up has a second chance: a service is looked at after this time, whether anything tells of it or not. A look
/// at one that hasn't changed costs no request.
const SECOND_LOOK: Duration = Duration::from_mins(10);

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

/// Looks at a service, unless a failure would only be repeated.
pub(super) async fn reconcile(object: Arc<Stored>, context: Arc<Context>) -> Result<Action, Error> {
    let operator = &context.operator;
    let service = object.reference();
    operator.metrics.queue.leave(&service);
    let memory = operator.memories.of(&service, object.meta().uid.as_deref());
    if let Some(left) = memory.waits(situation(&object, &context.stores), Instant::now()) {
        return Ok(Action::requeue(left));
    }
    let mark = operator.watchdog.begin();
    let counted = operator.metrics.begin();
    let step = Step { object: &object, service: &service, context: &context, memory: &memory };
    let result = Box::pin(step.run()).await;
    counted.finish(result.is_ok());
    mark.finish();
    if result.is_ok() {
        memory.note_success();
    }
    result
}

/// Puts a service off that failed: twice as long each time, and until something moves.
pub(super) fn on_error(object: &Stored, error: &Error, context: &Context) -> Action {
    let memory = context.operator.memories.of(&object.reference(), object.meta().uid.as_deref());
    let failures = memory.count_failure();
    let is_unanswered = is_unanswered(error);
    let longest = if is_unanswered { backoff::LONGEST_UNANSWERED } else { backoff::LONGEST };
    let asked = asked_to_wait(error).unwrap_or_default().min(longest);
    let delay = backoff::delay(failures, fastrand::f64(), longest).max(asked);
    let situation = situation(object, &context.stores);
    memory.note_failure(Failure { situation, is_unanswered, until: Instant::now() + delay });
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

/// Why the API server didn't do what it was asked, where that wasn't for its content.
fn source(error: &Error) -> Option<&kube::Error> {
    match error {
        Error::Apply(ApplyError::Unreachable { source, .. })
        | Error::Dereference(DereferenceError::Unreachable { source, .. })
        | Error::Report(source) => Some(source),
        _ => None,
    }
}

/// Whether the API server is overloaded, has a fault of its own, or doesn't answer.
fn is_unanswered(error: &Error) -> bool {
    source(error).is_some_and(|source| match source {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        _ => true,
    })
}

/// What the API server asks for with a 429.
fn asked_to_wait(error: &Error) -> Option<Duration> {
    let kube::Error::Api(status) = source(error)? else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (status.code == 429).then(|| Duration::from_secs(seconds.into()))
}

fn situation(object: &Stored, stores: &Stores) -> Situation {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    let name = object.meta().name.as_deref().unwrap_or_default();
    let children = KINDS
        .iter()
        .map(|declaration| (declaration.kind, format!("{name}{}", declaration.suffix)))
        .map(|(kind, name)| stores.child(kind, namespace, &name).map_or(0, |child| child.meta.version));
    let config = object.config_map().and_then(|name| stores.config_map_version(namespace, name));
    let versions = children.chain(config).fold(0_u64, |all, version| all.wrapping_mul(31).wrapping_add(version));
    Situation { generation: object.meta().generation, versions }
}

/// One reconciliation.
struct Step<'a> {
    object: &'a Stored,
    service: &'a ServiceRef,
    context: &'a Context,
    memory: &'a Arc<Memory>,
}

impl Step<'_> {
    async fn run(&self) -> Result<Action, Error> {
        let Context { operator, stores, .. } = self.context;
        if self.object.meta().deletion_timestamp.is_some() {
            operator.rollouts.leave(self.service);
            // The garbage collector removes the children; there is nothing to wait for.
            return Ok(Action::await_change());
        }

        // Fetch: the watch has done it.
        let service = match self.object.read() {
            Ok(service) => service,
            Err(error) => {
                let message = format!(
                    "the stored object breaks the schema ({error}): apply it again, and the API server names the field"
                );
                return self.fail(&Verdict::new(Reason::InvalidSpec, message)).await;
            }
        };

        // Validate.
        let valid = validate(&service, &operator.default_image)
            .and_then(|valid| operator.model_hosts.check(&valid.source).map(|()| valid));
        let mut valid = match valid {
            Ok(valid) => valid,
            // Trying again can't help: the next change of it will.
            Err(invalid) => return self.fail(&Verdict::new(Reason::InvalidSpec, invalid.to_string())).await,
        };

        // Dereference. What doesn't depend on a ConfigMap that isn't there goes on.
        let (references, in_vain) = match dereference(&operator.client, &valid, stores, self.memory).await {
            Ok(references) => (references, None),
            Err(error @ DereferenceError::NoConfigMap(_)) => (References::default(), Some(error)),
            Err(error) => return Err(error.into()),
        };

        // Build. What a node can't mount, the pods fetch.
        operator.image_volumes.settle(&operator.client, &mut valid, &references).await;
        let mut children = build(&valid, &references);

        // Admit: a template that the spec doesn't explain may have to wait for its turn.
        let live = stores.deployment(&valid.namespace, &valid.name);
        let held = if in_vain.is_some() {
            operator.rollouts.leave(self.service);
            None
        } else {
            self.admit(&valid, &mut children.deployment, live.as_deref())
        };
        let template = if held.is_some() || in_vain.is_some() { Template::Kept } else { Template::Applied };

        // Apply.
        let asked = apply::Asked { service: &valid, children: &children, template, stores, memory: self.memory };
        let applied = match apply::apply(&operator.client, asked).await {
            Ok(applied) => applied,
            // The service itself will be deleted next.
            Err(ApplyError::Terminating(_)) => {
                operator.rollouts.leave(self.service);
                return Ok(Action::await_change());
            }
            Err(error) => {
                if let Some(reason) = error.reason() {
                    self.fail(&Verdict::new(reason, error.to_string())).await?;
                } else {
                    operator.rollouts.leave(self.service);
                }
                return Err(error.into());
            }
        };
        let written = applied.deployment.as_ref().map(|(_, facts)| &**facts);
        if operator.image_volumes.learn(&valid, &children.deployment, written) {
            // There is another way, and it needs other children.
            return Box::pin(self.run()).await;
        }
        operator.publisher.repairs(self.object, &applied).await;
        if let Some(error) = in_vain {
            return self.fail(&Verdict::new(Reason::DependencyMissing, error.to_string())).await;
        }

        // Observe and report.
        self.observe(&valid, &applied, held).await
    }

    fn admit(
        &self,
        valid: &ValidatedService,
        desired: &mut k8s_openapi::api::apps::v1::Deployment,
        live: Option<&facts::Deployment>,
    ) -> Option<Held> {
        let Context { operator, wake, .. } = self.context;
        operator.rollouts.admit(self.service, valid.generation, desired, live, wake)
    }

    async fn observe(&self, valid: &ValidatedService, applied: &Applied, held: Option<Held>) -> Result<Action, Error> {
        let Context { operator, stores, .. } = self.context;
        let Some((uid, deployment)) = &applied.deployment else {
            let message = "the Deployment's controller has yet to take up the current spec";
            return self.fail(&Verdict::new(Reason::RollingOut, message)).await;
        };
        self.memory.note_replicas(deployment.replicas);
        let replica_set = stores.current_replica_set(*uid, deployment);
        let kept = replica_set.as_ref().map(|current| stores.pods_of(current.meta.uid)).unwrap_or_default();
        let pods: Vec<Arc<facts::Pod>> = kept.iter().map(|pod| pod.facts.clone()).collect();
        let child = |kind| stores.child(kind, &valid.namespace, &valid.name);
        let autoscaler = child(ChildKind::HorizontalPodAutoscaler);
        let (route, grpc_route) = (child(ChildKind::HttpRoute), child(ChildKind::GrpcRoute));
        let eviction = self.memory.eviction();
        let view = observe::View {
            service: valid,
            deployment,
            pods: &pods,
            missing: &applied.missing,
            eviction: eviction.as_ref(),
            autoscaler: autoscaler.as_ref().and_then(|kept| kept.facts.autoscaler()),
            route: route.as_ref().and_then(|kept| kept.facts.route()),
            grpc_route: grpc_route.as_ref().and_then(|kept| kept.facts.route()),
            warning: None,
            now: Timestamp::now(),
        };
        let warning = match observe::silent_pod(&view).and_then(|place| kept.get(place)) {
            Some(pod) => self.warning(pod).await,
            None => None,
        };
        let view = observe::View { warning: warning.as_deref(), ..view };
        let observation = observe::observe(&view);
        let previous = self.memory.previous(self.object);
        // Until the Deployment's controller has seen a spec, its ReplicaSet may be of the one before.
        let source = valid.source.to_string();
        let is_of_the_source = |name: &str| {
            let told = previous.model.as_ref().filter(|model| model.replica_set.as_deref() == Some(name));
            told.is_some_and(|model| model.source == source)
        };
        let name = replica_set.as_ref().map(|current| &current.meta.name);
        let name = name.filter(|name| deployment.is_seen() || is_of_the_source(name));
        let (loaded, ask_again) = match name {
            Some(name) => self.loaded(valid, name, &kept, &previous),
            None => (None, None),
        };
        let mut status = status::observed(valid, &observation, loaded, &previous, view.now);
        if let Some(held) = held {
            status::tell_held(&mut status, held, deployment.image.as_deref(), &previous, view.now);
        }
        if let Some(model) = &previous.model {
            self.memory.model_before(model);
        }
        let changed = status.model.as_ref().and_then(|model| self.memory.model_changed(model));
        let later = self.report(&status, &previous).await?;
        if let Some(note) = changed.filter(|_| valid.digest.is_none()) {
            operator.publisher.model_changed(self.object, &note).await;
        }
        Ok(look_again([later, observation.look_again, ask_again]))
    }

    /// The last warning of a pod's kubelet, which is asked for rarely.
    async fn warning(&self, pod: &Kept<Arc<facts::Pod>>) -> Option<Arc<str>> {
        let now = Instant::now();
        if let Asked::OfLate(words) = self.memory.warning(pod.meta.uid, now) {
            return words;
        }
        let (client, uid) = (&self.context.operator.client, pod.meta.uid.to_string());
        match warnings::last_warning(client, &pod.meta.namespace, &pod.meta.name, &uid).await {
            Ok(words) => {
                let words: Option<Arc<str>> = words.map(Into::into);
                self.memory.note_warning(pod.meta.uid, words.clone(), now);
                words
            }
            Err(error) => {
                tracing::warn!(pod = &*pod.meta.name, namespace = &*pod.meta.namespace, %error, "its Events can't be read");
                None
            }
        }
    }

    /// Reports that the current spec isn't in force, and what still serves. Such a service neither waits for its turn to
    /// roll out nor takes a place.
    async fn fail(&self, verdict: &Verdict) -> Result<Action, Error> {
        let Context { operator, stores, .. } = self.context;
        operator.rollouts.leave(self.service);
        let meta = self.object.meta();
        let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), self.object.name_any());
        let counts = stores.deployment(namespace, &name).map(|live| live.counts).unwrap_or_default();
        let previous = self.memory.previous(self.object);
        let status = status::failed(meta.generation, verdict, counts, &previous, Timestamp::now());
        let later = self.report(&status, &previous).await?;
        Ok(look_again([later]))
    }

    /// Writes a status, or says after which time it should be.
    async fn report(
        &self,
        status: &SentimentServiceStatus,
        previous: &SentimentServiceStatus,
    ) -> Result<Option<Duration>, Error> {
        let operator = &self.context.operator;
        operator.metrics.observed(self.object, status);
        let now = Instant::now();
        match worth_writing(previous, status, self.memory.since_last_write(now)) {
            Write::No => return Ok(None),
            Write::Later(delay) => return Ok(Some(delay)),
            Write::Now => {}
        }
        match operator.publisher.publish(self.object, status, previous).await {
            Ok(version) => {
                self.memory.note_written(version, status.clone(), now);
                Ok(None)
            }
            // Deleted in the meantime.
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(None),
            Err(error) => Err(Error::Report(Box::new(error))),
        }
    }
}

fn look_again<const N: usize>(times: [Option<Duration>; N]) -> Action {
    let at_last = SECOND_LOOK.mul_f64(0.8 + 0.4 * fastrand::f64());
    Action::requeue(times.into_iter().flatten().min().unwrap_or(at_last).min(at_last))
}
