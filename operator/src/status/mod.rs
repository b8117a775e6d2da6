//! Makes the status of a service of what was found out: pure. [`crate::publish`] writes it.

mod address;
mod conditions;
mod held;
mod previous;
mod worth;

use k8s_openapi::jiff::Timestamp;

use self::conditions::{conditions, kept};
pub use self::{
    held::tell_held,
    previous::{of_unreadable, previous},
    worth::{SETTLES_WITHIN, Write, worth_writing},
};
use crate::{
    api::{ConditionType, ModelStatus, SentimentServiceStatus},
    build::labels,
    facts::Counts,
    observe::Observation,
    validate::ValidatedService,
    verdict::Verdict,
};

/// What a pod of the current spec told of the model that it has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Name of its ReplicaSet.
    pub replica_set: String,
    /// The digest of the model, where its server tells it.
    pub digest: Option<String>,
}

/// The status of a service that was observed.
#[must_use]
pub fn observed(
    service: &ValidatedService,
    observation: &Observation,
    loaded: Option<Loaded>,
    previous: &SentimentServiceStatus,
    now: Timestamp,
) -> SentimentServiceStatus {
    let Counts { total, updated, ready, available } = observation.counts;
    let mut made = conditions(&observation.verdict, available, service.generation, &previous.conditions, now);
    let parts = [(ConditionType::Scaling, &observation.scaling), (ConditionType::Published, &observation.published)];
    for (type_, part) in parts {
        made.extend(
            part.as_ref().map(|part| conditions::of_part(type_, part, service.generation, &previous.conditions, now)),
        );
    }
    SentimentServiceStatus {
        observed_generation: service.generation,
        conditions: made,
        replicas: total,
        ready_replicas: ready,
        updated_replicas: updated,
        available_replicas: available,
        selector: Some(labels::selector_text(service)),
        url: Some(address::inside(service)),
        external_url: address::outside(service),
        image: Some(service.image.to_string()),
        model: Some(ModelStatus {
            name: service.model_name.clone(),
            source: service.source.to_string(),
            delivery: Some(service.source.delivery()),
            digest: loaded.as_ref().and_then(|loaded| loaded.digest.clone()),
            replica_set: loaded.map(|loaded| loaded.replica_set),
        }),
    }
}

/// The status of a service whose current spec could not be built or applied. What runs of an older spec goes on, so all
/// but `counts` and the conditions of the pods stays as it was.
#[must_use]
pub fn failed(
    generation: Option<i64>,
    verdict: &Verdict,
    counts: Counts,
    previous: &SentimentServiceStatus,
    now: Timestamp,
) -> SentimentServiceStatus {
    let Counts { total, updated, ready, available } = counts;
    let mut made = conditions(verdict, available, generation, &previous.conditions, now);
    made.extend(kept(&previous.conditions));
    SentimentServiceStatus {
        observed_generation: generation,
        conditions: made,
        replicas: total,
        ready_replicas: ready,
        updated_replicas: updated,
        available_replicas: available,
        ..previous.clone()
    }
}

#[cfg(test)]
mod tests;
