//! What a request to the API server asks for.

use http::{Method, Uri};

/// A request for objects, as the API server reads it (`k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo<'a> {
    /// The verb in the words of a `ClusterRole`.
    pub verb: &'static str,
    /// The group, empty for that of the core.
    pub group: &'a str,
    /// The version of the group.
    pub version: &'a str,
    /// The namespace, unless the request is for all of them or for what is in none.
    pub namespace: Option<&'a str>,
    /// The plural name of the kind.
    pub resource: &'a str,
    /// The name of the one object.
    pub name: Option<&'a str>,
    /// Such as `status`.
    pub subresource: Option<&'a str>,
}

impl<'a> RequestInfo<'a> {
    /// Reads a request. One that isn't for objects, such as discovery, is `None`.
    #[must_use]
    pub fn of(method: &Method, uri: &'a Uri) -> Option<Self> {
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, object) = match parts.as_slice() {
            ["api", version, object @ ..] => ("", *version, object),
            ["apis", group, version, object @ ..] => (*group, *version, object),
            _ => return None,
        };
        let (namespace, object) = match object {
            // These are subresources of the namespace itself, not resources in it.
            ["namespaces", _, "status" | "finalize"] => (None, object),
            ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (Some(*namespace), inner),
            _ => (None, object),
        };
        let (resource, name, subresource) = match object {
            [] => return None,
            [resource] => (*resource, None, None),
            [resource, name] => (*resource, Some(*name), None),
            [resource, name, subresource, ..] => (*resource, Some(*name), Some(*subresource)),
        };
        let verb = match *method {
            Method::GET if name.is_some() => "get",
            Method::GET if is_watch(uri) => "watch",
            Method::GET => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if name.is_some() => "delete",
            Method::DELETE => "deletecollection",
            _ => "other",
        };
        Some(Self { verb, group, version, namespace, resource, name, subresource })
    }
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().unwrap_or_default().split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_the_api_server_reads_it() {
        let uri = Uri::from_static("/apis/apps/v1/namespaces/demo/deployments/reviews/scale?fieldManager=x");
        let info = RequestInfo::of(&Method::PATCH, &uri).unwrap();
        let expected = RequestInfo {
            verb: "patch",
            group: "apps",
            version: "v1",
            namespace: Some("demo"),
            resource: "deployments",
            name: Some("reviews"),
            subresource: Some("scale"),
        };
        assert_eq!(info, expected);
    }

    #[test]
    fn what_asks_for_no_objects_is_left_alone() {
        for path in ["/version", "/apis", "/api/v1", "/apis/apps/v1"] {
            assert_eq!(RequestInfo::of(&Method::GET, &Uri::from_static(path)), None, "{path}");
        }
    }
}
