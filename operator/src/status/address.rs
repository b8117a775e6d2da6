//! Where a service is reached.

use crate::validate::ValidatedService;

/// Inside the cluster.
pub(super) fn inside(service: &ValidatedService) -> String {
    let scheme = if service.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}.{}.svc:{}", service.name, service.namespace, service.service_port)
}

/// Outside the cluster, by the first host name of the route that isn't a pattern.
///
/// Whether a Gateway speaks TLS stands in its listener, which the operator doesn't read. What the route says of that
/// listener is a hint: port 443, or a name that begins with `https`.
pub(super) fn outside(service: &ValidatedService) -> Option<String> {
    let route = service.route.as_ref()?;
    let host = route.hostnames.iter().find(|host| !host.starts_with('*'))?;
    let listener = route.parent_refs.first()?;
    let is_secure =
        listener.port == Some(443) || listener.section_name.as_ref().is_some_and(|name| name.starts_with("https"));
    let scheme = if is_secure { "https" } else { "http" };
    let port = listener.port.filter(|port| !matches!(port, 80 | 443)).map(|port| format!(":{port}"));
    let path = route.path.as_deref().unwrap_or_default().trim_end_matches('/');
    Some(format!("{scheme}://{host}{}{path}", port.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::valid;

    fn external(mut parent: Value, hostnames: &Value, path: &Value) -> Option<String> {
        parent["name"] = json!("web");
        outside(&valid(json!({"route": {"parentRefs": [parent], "hostnames": hostnames, "path": path}})))
    }

    #[test]
    fn the_first_host_and_the_path_make_the_address() {
        let hosts = json!(["*.example.com", "reviews.example.com"]);
        let of = |parent| external(parent, &hosts, &json!("/reviews")).unwrap();
        assert_eq!(of(json!({})), "http://reviews.example.com/reviews");
        assert_eq!(of(json!({"port": 443})), "https://reviews.example.com/reviews");
        assert_eq!(of(json!({"sectionName": "https-public"})), "https://reviews.example.com/reviews");
        assert_eq!(of(json!({"port": 8080})), "http://reviews.example.com:8080/reviews");
        let root = external(json!({}), &json!(["reviews.example.com"]), &json!("/"));
        assert_eq!(root.as_deref(), Some("http://reviews.example.com"));
    }

    #[test]
    fn without_a_host_there_is_no_address() {
        assert_eq!(external(json!({}), &json!([]), &json!(null)), None);
        assert_eq!(external(json!({}), &json!(["*.example.com"]), &json!(null)), None);
        assert_eq!(outside(&valid(json!({}))), None);
        assert_eq!(inside(&valid(json!({}))), "http://reviews.demo.svc:8000");
        assert_eq!(inside(&valid(json!({"tls": {"secretName": "t"}}))), "https://reviews.demo.svc:8000");
    }
}
