//! Whether a Gateway sends requests to the service, and gRPC calls where that is asked for.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;

use super::{View, left};
use crate::{
    api::{PartReason, Route},
    facts::{self, Parent},
    verdict::Part,
};

/// A Gateway takes a route up within this time.
const TAKEN_UP: SignedDuration = SignedDuration::from_secs(15);

/// A route that is asked for.
struct Asked<'a> {
    /// The field that asks for it.
    field: &'static str,
    /// What it is called beside others.
    name: &'static str,
    /// What goes before the words of Gateways about it.
    of: &'static str,
    /// What a Gateway sends by it.
    calls: &'static str,
    /// What the watch has.
    live: Option<&'a facts::Route>,
}

fn asked<'a>(view: &View<'a>) -> impl Iterator<Item = Asked<'a>> + use<'a> {
    let (live, grpc) = (view.route, view.grpc_route);
    let http = |_: &_| Asked { field: "spec.route", name: "route", of: "", calls: "requests", live };
    let of_grpc = |_: &_| Asked {
        field: "spec.route.grpc",
        name: "GRPCRoute",
        of: "GRPCRoute: ",
        calls: "gRPC calls",
        live: grpc,
    };
    let route = view.service.route.as_ref();
    let both = [route.map(http), route.and_then(|route| route.grpc.as_ref()).map(of_grpc)];
    both.into_iter().flatten()
}

/// `None` where no route is asked for. What goes worst decides, and all that goes as badly has a say.
pub(super) fn of(view: &View<'_>) -> Option<Part> {
    let gateways = gateways(view.service.route.as_ref()?);
    let parts: Vec<Part> = asked(view).map(|asked| part(view, &asked, &gateways)).collect();
    let rank = |part: &Part| match part.holds {
        Some(false) => 0,
        None => 1,
        Some(true) => 2,
    };
    let worst = parts.iter().min_by_key(|part| rank(part))?;
    let words: Vec<&str> =
        parts.iter().filter(|part| part.holds == worst.holds).map(|part| part.message.as_str()).collect();
    Some(Part { message: words.join("; "), ..worst.clone() })
}

fn part(view: &View<'_>, asked: &Asked<'_>, gateways: &str) -> Part {
    let Asked { field, name, of, calls, live } = *asked;
    if let Some(missing) = view.missing.iter().find(|missing| missing.field == field) {
        return Part::fails(PartReason::DependencyMissing, missing.to_string());
    }
    let early = || Part::waits(format!("waiting for a Gateway to take the {name} up"));
    let Some(route) = live else { return early() };
    let publishes = |parent: &&Parent| parent.accepted && parent.refusal.is_none();
    let refusals = refusals(&route.parents);
    if let Some(parent) = route.parents.iter().filter(|parent| parent.current).find(publishes) {
        let others = if refusals.is_empty() { String::new() } else { format!("; {of}{refusals}") };
        Part::holds(PartReason::Accepted, format!("{} sends {calls} to the service{others}", parent.name))
    } else if !refusals.is_empty() {
        Part::fails(PartReason::Refused, format!("{of}{refusals}"))
    } else if !route.parents.is_empty() {
        Part::waits(format!("the Gateway has yet to take up the current {name}"))
    } else if left(view.now, route.created, TAKEN_UP).is_some() {
        early()
    } else {
        Part::fails(
            PartReason::NoGateway,
            format!("no Gateway has taken the {name} up: see that {gateways} exists and has a controller"),
        )
    }
}

/// When a Gateway should have taken each route up.
pub(super) fn due(view: &View<'_>) -> Option<Duration> {
    let untaken = asked(view).filter_map(|asked| asked.live.filter(|route| route.parents.is_empty()));
    untaken.filter_map(|route| left(view.now, route.created, TAKEN_UP)).min()
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
