//! At most so many rollouts at a time that nobody asked for.
//!
//! A new operator often makes new pod templates: another default image, one more variable. Without
//! a limit it would roll every service of the cluster in the same second, and a fault in it would
//! reach them all. So a template that differs though the spec is the one it was made from waits for
//! one of a few places. It gives the place back when its rollout is complete; a rollout that fails
//! keeps it, so that a bad release stops after that many services.
//!
//! What a user asks for never waits: a new service, a changed spec, a scale. Neither does a repair.
//!
//! All that has to survive a restart stands in annotations of the Deployments; [`line::Line`] is
//! the rest. docs/adr/0014-rollouts-in-turn.md has the reasons.

mod line;
mod template;

use std::{collections::HashSet, sync::Mutex};

use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::apps::v1::Deployment;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

pub(crate) use self::template::keep;
use self::{
    line::Line,
    template::{Cause, Template},
};
use crate::{
    api::ServiceRef,
    children::ChildKind,
    facts,
    lock::lock,
    watches::{Stores, owners},
};

/// How many rollouts may be in progress unless the command line says otherwise.
pub const DEFAULT_LIMIT: u16 = 5;

/// A service.
type Service = ServiceRef;

/// Wakes the controller of a scope: what is sent is reconciled.
pub type Wake = UnboundedSender<Service>;

/// The gate that every pod template passes.
pub struct Rollouts {
    limit: usize,
    line: Mutex<Line<Wake>>,
    /// What each scope has.
    stores: Mutex<Vec<Stores>>,
    gauges: Gauges,
}

/// What the gate tells Prometheus. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    in_progress: Gauge,
    waiting: Gauge,
    limit: Gauge,
}

impl Gauges {
    /// Gauges at zero, in a registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        registry.register(
            "rollouts_in_progress",
            "Rollouts that the operator began by itself and that are not complete",
            gauges.in_progress.clone(),
        );
        registry.register(
            "rollouts_waiting",
            "SentimentServices whose new pod template waits for such a rollout to complete",
            gauges.waiting.clone(),
        );
        registry.register("rollouts_limit", "The most such rollouts at a time", gauges.limit.clone());
        gauges
    }
}

/// Why a service's template is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Other services that roll out.
    others: usize,
}

impl Held {
    /// Held back while `others` roll out.
    #[must_use]
    pub const fn behind(others: usize) -> Self {
        Self { others }
    }

    /// For the condition.
    #[must_use]
    pub fn message(self) -> String {
        let verb = if self.others == 1 { "service is" } else { "services are" };
        format!(
            "waiting: {} other {verb} rolling out; the pods keep the older template of the same spec until it is this \
             service's turn",
            self.others
        )
    }
}

impl Rollouts {
    /// A gate of `limit` places, all free.
    #[must_use]
    pub fn new(limit: u16, gauges: Gauges) -> Self {
        gauges.limit.set(i64::from(limit));
        Self { limit: usize::from(limit), line: Mutex::default(), stores: Mutex::default(), gauges }
    }

    /// Counts the rollouts of one more scope.
    pub fn watch(&self, stores: Stores) {
        lock(&self.stores).push(stores);
    }

    /// Decides on the template of `desired`, given what is live, and writes down on `desired` what
    /// the next decision needs. A template that has to wait is for the caller to [`keep`]; the rest of
    /// `desired` is applied at once all the same.
    ///
    /// `generation` is that of the service's spec. `wake` brings the service back when it is its turn.
    pub fn admit(
        &self,
        service: &Service,
        generation: Option<i64>,
        desired: &mut Deployment,
        live: Option<&facts::Deployment>,
        wake: &Wake,
    ) -> Option<Held> {
        let template = Template::of(desired, generation);
        let cause = template.cause(live);
        let held = match (cause, live) {
            (Cause::Operator { serving }, Some(_)) => {
                let taken = self.in_progress();
                let answer = lock(&self.line).ask(service, serving, wake, &taken, self.limit);
                match answer {
                    Ok(()) => {
                        template.note_rollout(desired, serving);
                        None
                    }
                    Err(others) => Some(Held::behind(others)),
                }
            }
            (Cause::Unchanged, Some(live)) => {
                template.note_unchanged(desired, live);
                lock(&self.line).leave(service);
                None
            }
            _ => {
                template.note(desired);
                lock(&self.line).leave(service);
                None
            }
        };
        self.wake_next();
        held
    }

    /// A service is gone, or can't be applied: it neither waits nor takes a place.
    pub fn leave(&self, service: &Service) {
        lock(&self.line).leave(service);
        self.wake_next();
    }

    /// Brings back as many of those who wait as there are places.
    fn wake_next(&self) {
        let taken = self.in_progress();
        let line = lock(&self.line);
        for (service, wake) in line.next(&taken, self.limit) {
            // It fails when the controller has stopped, and then nothing is reconciled any more.
            let _ = wake.unbounded_send(service.clone());
        }
        self.gauges.in_progress.set(count(line.taken(&taken)));
        self.gauges.waiting.set(count(line.waiting()));
    }

    /// Services whose Deployments show that they take a place.
    fn in_progress(&self) -> HashSet<Service> {
        let mut taken = HashSet::new();
        for stores in lock(&self.stores).iter() {
            stores.children(ChildKind::Deployment).each(|kept| {
                if kept.facts.deployment().is_some_and(template::takes_a_place) {
                    taken.extend(owners::of_child(&kept.meta));
                }
            });
        }
        taken
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
