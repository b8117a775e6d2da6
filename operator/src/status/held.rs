//! A service whose new template waits for its turn.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::{
    api::{ConditionType, Reason, SentimentServiceStatus},
    rollouts::Held,
};

/// Adds to the status of a service that its new template waits. Its pods go on serving the same spec, so it stays ready;
/// `Reconciling` says what is to come. `image` is the one that they run.
pub fn tell_held(
    status: &mut SentimentServiceStatus,
    held: Held,
    image: Option<&str>,
    previous: &SentimentServiceStatus,
    now: Timestamp,
) {
    status.image = image.map(str::to_owned).or_else(|| status.image.take());
    let note = held.message();
    let is = |condition: &Condition, type_: ConditionType| condition.type_ == type_.as_str();
    let stalled = status.condition(ConditionType::Stalled).is_some_and(|stalled| stalled.status == "True");
    for condition in &mut status.conditions {
        if stalled {
            // Nothing goes on in a stalled service; but the template that waits may be its cure.
            if is(condition, ConditionType::Ready) || is(condition, ConditionType::Stalled) {
                condition.message = format!("{}; {note}", condition.message);
            }
        } else if is(condition, ConditionType::Reconciling) {
            if condition.status == "True" {
                condition.message = format!("{}; {note}", condition.message);
            } else {
                let before = previous.condition(ConditionType::Reconciling);
                let since = before.filter(|old| old.status == "True").map(|old| old.last_transition_time.clone());
                "True".clone_into(&mut condition.status);
                condition.reason = Reason::RollingOut.to_string();
                condition.message.clone_from(&note);
                condition.last_transition_time = since.unwrap_or(Time(now));
            }
        }
    }
}
