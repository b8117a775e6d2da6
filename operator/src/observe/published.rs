//! Whether a Gateway sends requests to the service.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use super::{View, left};
use crate::{
    api::{PartReason, Route},
    facts::Parent,
    verdict::Part,
};

/// A Gateway takes a route up within this time.
const TAKEN_UP: SignedDuration = SignedDuration::from_secs(15);

/// What is said until then.
const EARLY: &str = "waiting for a Gateway to take the route up";

/// The field that asks for a route.
const FIELD: &str = "spec.route";

/// `None` where no route is asked for.
pub(super) fn of(view: &View<'_>) -> Option<Part> {
    let asked = view.service.route.as_ref()?;
    if let Some(missing) = view.missing.iter().find(|missing| missing.field == FIELD) {
        return Some(Part::fails(PartReason::DependencyMissing, missing.to_string()));
    }
    let Some(route) = view.route else { return Some(Part::waits(EARLY)) };
    let publishes = |parent: &&Parent| parent.accepted && parent.refusal.is_none();
    let refusals = refusals(&route.parents);
    Some(if let Some(parent) = route.parents.iter().filter(|parent| parent.current).find(publishes) {
        let others = if refusals.is_empty() { String::new() } else { format!("; {refusals}") };
        Part::holds(PartReason::Accepted, format!("{} sends requests to the service{others}", parent.name))
    } else if !refusals.is_empty() {
        Part::fails(PartReason::Refused, refusals)
    } else if !route.parents.is_empty() {
        Part::waits("the Gateway has yet to take up the current route")
    } else if due(view).is_some() {
        Part::waits(EARLY)
    } else {
        Part::fails(
            PartReason::NoGateway,
            format!("no Gateway has taken the route up: see that {} exists and has a controller", gateways(asked)),
        )
    })
}

/// When a Gateway should have taken the route up.
pub(super) fn due(view: &View<'_>) -> Option<Duration> {
    let route = view.route.filter(|route| view.service.route.is_some() && route.parents.is_empty())?;
    left(view.now, route.created, TAKEN_UP)
}

/// The words of each Gateway that doesn't publish the route as it is now.
fn refusals(parents: &[Parent]) -> String {
    let of = |parent: &Parent| {
        let refusal = parent.refusal.as_ref().filter(|_| parent.current)?;
        Some(format!("{}: {}: {}", parent.name, refusal.reason, refusal.message))
    };
    let all: Vec<String> = parents.iter().filter_map(of).collect();
    all.join("; ")
}

fn gateways(route: &Route) -> String {
    let name = |parent: &crate::api::ParentRef| {
        let kind = parent.kind.as_deref().unwrap_or("Gateway");
        let namespace = parent.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        format!("{kind} {namespace}{}", parent.name)
    };
    let names: Vec<String> = route.parent_refs.iter().map(name).collect();
    names.join(" or ")
}
