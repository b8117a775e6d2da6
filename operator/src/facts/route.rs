//! What is kept of an HTTPRoute or a GRPCRoute. It may hold anything that the Gateway API knows: only the conditions that its Gateways
//! report are read, and what can't be read counts as absent.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::Value;

use super::words::{head, shared};

/// A route: what each Gateway says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Gateways that have taken it up.
    pub parents: Box<[Parent]>,
}

/// What a Gateway says of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The Gateway, with its listener if one is named.
    pub name: Arc<str>,
    /// Whether it speaks of the route as it is now.
    pub current: bool,
    /// Whether it sends requests to it.
    pub accepted: bool,
    /// Why it doesn't, or why they come to nothing.
    pub refusal: Option<Box<Refused>>,
}

/// Why a Gateway doesn't publish a route, in the words of its controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its reason.
    pub reason: Arc<str>,
    /// Its words.
    pub message: Arc<str>,
}

impl Route {
    /// The facts of an object.
    #[must_use]
    pub fn of(object: &DynamicObject) -> Self {
        let generation = object.metadata.generation.unwrap_or_default();
        let parents = object.data.pointer("/status/parents").and_then(Value::as_array);
        Self {
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            parents: parents.into_iter().flatten().filter_map(|parent| Parent::of(parent, generation)).collect(),
        }
    }
}

impl Parent {
    /// `None` where its controller hasn't decided.
    fn of(parent: &Value, generation: i64) -> Option<Self> {
        let conditions = parent.get("conditions").and_then(Value::as_array)?;
        let condition = |type_: &str| conditions.iter().find(|condition| text(condition, "type") == type_);
        let accepted = condition("Accepted")?;
        let of = accepted.get("observedGeneration").and_then(Value::as_i64);
        let unresolved = condition("ResolvedRefs").filter(|resolved| text(resolved, "status") == "False");
        let refused = Some(accepted).filter(|accepted| text(accepted, "status") == "False").or(unresolved);
        Some(Self {
            name: shared(&name(parent.get("parentRef"))),
            current: of.is_none_or(|of| of >= generation),
            accepted: text(accepted, "status") == "True",
            refusal: refused.map(|condition| {
                Box::new(Refused {
                    reason: shared(text(condition, "reason")),
                    message: shared(head(text(condition, "message"))),
                })
            }),
        })
    }
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn name(reference: Option<&Value>) -> String {
    let Some(reference) = reference else { return "a Gateway".to_owned() };
    let kind = Some(text(reference, "kind")).filter(|kind| !kind.is_empty()).unwrap_or("Gateway");
    let parts = [text(reference, "namespace"), text(reference, "name"), text(reference, "sectionName")];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{kind} {}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn route(parents: &Value) -> Route {
        let object = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "reviews", "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z"},
            // No type of ours has this filter.
            "spec": {"rules": [{"filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "elsewhere"}}]}]},
            "status": {"parents": parents},
        });
        Route::of(&serde_json::from_value(object).unwrap())
    }

    fn parent(conditions: &Value) -> Value {
        let reference =
            json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "web", "namespace": "infra"});
        json!({"controllerName": "example.com/gateway", "parentRef": reference, "conditions": conditions})
    }

    #[test]
    fn a_gateways_words_are_kept_whatever_the_route_holds() {
        let refused = json!([{
            "type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "message": "not from here",
            "observedGeneration": 2,
        }]);
        let found = route(&json!([parent(&refused)]));
        assert_eq!(found.created, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        let refusal = Refused { reason: "NotAllowedByListeners".into(), message: "not from here".into() };
        let expected = Parent {
            name: "Gateway infra/web".into(),
            current: true,
            accepted: false,
            refusal: Some(Box::new(refusal)),
        };
        assert_eq!(*found.parents, [expected]);
    }

    #[test]
    fn an_accepted_route_may_lead_nowhere() {
        let lost = json!([
            {"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": 1},
            {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "no Service"},
        ]);
        let found = &route(&json!([parent(&lost)])).parents[0];
        assert!(found.accepted && !found.current);
        assert_eq!(&*found.refusal.as_ref().unwrap().reason, "BackendNotFound");
    }

    #[test]
    fn what_can_not_be_read_counts_as_absent() {
        for parents in [json!(null), json!({}), json!(["x"]), json!([{}]), json!([{"conditions": [{"type": "Other"}]}])]
        {
            assert!(route(&parents).parents.is_empty(), "{parents}");
        }
        let odd = route(&json!([{"parentRef": 7, "conditions": [{"type": "Accepted", "status": 1}]}]));
        assert!(!odd.parents[0].accepted && odd.parents[0].refusal.is_none());
        let bare = Route::of(&serde_json::from_value(json!({"metadata": {}})).unwrap());
        assert_eq!(bare, Route::default());
    }
}
