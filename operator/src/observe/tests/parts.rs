//! The autoscaler and the route.

use super::*;
use crate::api::PartReason;

fn scaled(conditions: Value, available: i32) -> Case {
    let mut case = case(json!({"autoscaling": {"maxReplicas": 9}}), counts(2, 2, available));
    case.replicas = Some(2);
    case.autoscaler = Some(conditions);
    case
}

fn no_metrics(seconds: i64) -> Value {
    json!([
        {"type": "AbleToScale", "status": "True", "reason": "SucceededGetScale"},
        {
            "type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric",
            "message": "the server could not find the requested resource (get pods.metrics.k8s.io)",
            "lastTransitionTime": ago(seconds),
        },
    ])
}

#[test]
fn an_autoscaler_without_metrics_is_told_once_it_should_have_some() {
    let observation = scaled(no_metrics(600), 2).look();
    assert_eq!(observation.verdict.reason, Reason::Serving, "the pods serve all the same");
    let words = "the autoscaler can't scale, FailedGetResourceMetric: the server could not find the requested resource \
                 (get pods.metrics.k8s.io)";
    assert_eq!(observation.scaling, Some(Part::fails(PartReason::Inactive, words)));
    assert_eq!(observation.look_again, None);

    let early = scaled(no_metrics(30), 2).look();
    assert_eq!(early.scaling, Some(Part::waits(words)), "new pods have no metrics yet");
    assert_eq!(early.look_again, Some(Duration::from_secs(90)));
    assert_eq!(scaled(no_metrics(600), 0).look().scaling, Some(Part::waits(words)), "no pod to measure");
    let mut late = scaled(no_metrics(600), 2);
    late.status["conditions"] = json!([{"type": "Available", "status": "True", "lastTransitionTime": ago(20)}]);
    assert_eq!(late.look().scaling.unwrap().holds, None, "the pods have served for a moment only");
}

#[test]
fn scaling_is_absent_where_nothing_scales() {
    assert_eq!(case(json!({}), counts(2, 2, 2)).look().scaling, None);
    let mut idle = scaled(no_metrics(600), 0);
    idle.replicas = Some(0);
    assert_eq!(idle.look().scaling, None, "an autoscaler leaves no pods alone");
    let active = json!([{"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}]);
    assert_eq!(scaled(active, 2).look().scaling.unwrap().holds, Some(true));
    assert_eq!(scaled(json!([]), 2).look().scaling.unwrap().holds, None);
    let unable = json!([{"type": "AbleToScale", "status": "False", "reason": "FailedGetScale", "message": "no"}]);
    let told = scaled(unable, 2).look().scaling.unwrap();
    assert_eq!((told.holds, told.message.as_str()), (Some(false), "the autoscaler can't scale, FailedGetScale: no"));
}

fn routed(seconds: i64, parents: Value) -> Case {
    let parent = json!({"name": "web", "namespace": "infra"});
    let mut case = case(json!({"route": {"parentRefs": [parent]}}), counts(2, 2, 2));
    let metadata = json!({"name": "reviews", "generation": 2, "creationTimestamp": ago(seconds)});
    case.route = Some(json!({"metadata": metadata, "status": {"parents": parents}}));
    case
}

fn parent(name: &str, type_: &str, status: &str, generation: i64) -> Value {
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": "Because", "message": "of this", "observedGeneration": generation,
        })
    };
    let mut conditions = vec![condition(type_, status)];
    if type_ != "Accepted" {
        conditions.push(condition("Accepted", "True"));
    }
    json!({"parentRef": {"name": name, "namespace": "infra"}, "conditions": conditions})
}

fn published(case: &Case) -> (Option<bool>, PartReason, String) {
    let part = case.look().published.unwrap();
    (part.holds, part.reason, part.message)
}

#[test]
fn a_route_that_no_gateway_takes_up_is_told_after_a_while() {
    let waiting = routed(5, json!([]));
    assert_eq!(published(&waiting).0, None);
    assert_eq!(waiting.look().look_again, Some(Duration::from_secs(10)));
    let ignored = routed(15, json!([]));
    let words = "no Gateway has taken the route up: see that Gateway infra/web exists and has a controller";
    assert_eq!(published(&ignored), (Some(false), PartReason::NoGateway, words.to_owned()));
    assert_eq!(ignored.look().verdict.reason, Reason::Serving, "the pods serve all the same");
}

#[test]
fn a_gateways_words_are_told() {
    let refused = routed(60, json!([parent("web", "Accepted", "False", 2)]));
    let words = "Gateway infra/web: Because: of this";
    assert_eq!(published(&refused), (Some(false), PartReason::Refused, words.to_owned()));
    let lost = routed(60, json!([parent("web", "ResolvedRefs", "False", 2)]));
    assert_eq!(published(&lost), (Some(false), PartReason::Refused, words.to_owned()), "it leads nowhere");
    let one_of_two = json!([parent("web", "Accepted", "False", 2), parent("other", "Accepted", "True", 2)]);
    let (holds, _, message) = published(&routed(60, one_of_two));
    assert_eq!(holds, Some(true));
    assert_eq!(message, format!("Gateway infra/other sends requests to the service; {words}"));
    let stale = published(&routed(60, json!([parent("web", "Accepted", "True", 1)])));
    assert_eq!(stale.0, None, "of an older route: {}", stale.2);
}

#[test]
fn published_is_absent_without_a_route() {
    assert_eq!(case(json!({}), counts(2, 2, 2)).look().published, None);
    let mut unmade = routed(60, json!([]));
    unmade.route = None;
    assert_eq!(published(&unmade).0, None);
    unmade.missing.push(MissingApi {
        kind: "HTTPRoute",
        definition: "httproutes",
        provider: "the Gateway API",
        field: "spec.route",
    });
    assert_eq!(published(&unmade).1, PartReason::DependencyMissing);
}

/// A service with both routes, of which both Gateways say this.
fn both(http: Value, grpc: Value) -> Case {
    let mut case = routed(60, http);
    case.spec["route"]["grpc"] = json!({});
    case.grpc_route = routed(60, grpc).route;
    case
}

#[test]
fn a_service_is_published_when_each_route_is_accepted() {
    let accepted = || json!([parent("web", "Accepted", "True", 2)]);
    let refused = || json!([parent("web", "Accepted", "False", 2)]);
    let words = "Gateway infra/web sends requests to the service; Gateway infra/web sends gRPC calls to the service";
    assert_eq!(published(&both(accepted(), accepted())), (Some(true), PartReason::Accepted, words.to_owned()));
    let words = "GRPCRoute: Gateway infra/web: Because: of this";
    assert_eq!(published(&both(accepted(), refused())), (Some(false), PartReason::Refused, words.to_owned()));
    let words = "Gateway infra/web: Because: of this";
    assert_eq!(published(&both(refused(), accepted())), (Some(false), PartReason::Refused, words.to_owned()));
    let words = "no Gateway has taken the GRPCRoute up: see that Gateway infra/web exists and has a controller";
    assert_eq!(published(&both(accepted(), json!([]))), (Some(false), PartReason::NoGateway, words.to_owned()));
    let mut early = both(accepted(), json!([]));
    early.grpc_route = routed(5, json!([])).route;
    assert_eq!(
        published(&early),
        (None, PartReason::Waiting, "waiting for a Gateway to take the GRPCRoute up".to_owned())
    );
    assert_eq!(early.look().look_again, Some(Duration::from_secs(10)));
}

#[test]
fn one_kind_of_route_may_be_missing() {
    let mut case = both(json!([parent("web", "Accepted", "True", 2)]), json!([]));
    case.grpc_route = None;
    case.missing.push(MissingApi {
        kind: "GRPCRoute",
        definition: "grpcroutes",
        provider: "the Gateway API",
        field: "spec.route.grpc",
    });
    let (holds, reason, words) = published(&case);
    assert_eq!((holds, reason), (Some(false), PartReason::DependencyMissing));
    assert!(words.starts_with("spec.route.grpc needs the kind GRPCRoute"), "{words}");
}
