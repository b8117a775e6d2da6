//! The HTTPRoute: how a Gateway finds the Service.

use std::collections::BTreeMap;

use super::{
    external::{BackendRef, HttpRoute, HttpRouteFilter, HttpRouteMatch, HttpRouteRule, HttpRouteSpec, PathMatch},
    metadata,
};
use crate::validate::ValidatedService;

pub(super) fn build(service: &ValidatedService) -> Option<HttpRoute> {
    let route = service.route.as_ref()?;
    let path = route.path.as_deref().unwrap_or("/");
    Some(HttpRoute {
        metadata: metadata(service),
        spec: HttpRouteSpec {
            parent_refs: route.parent_refs.clone(),
            hostnames: route.hostnames.clone(),
            rules: vec![HttpRouteRule {
                matches: vec![HttpRouteMatch {
                    path: PathMatch { type_: "PathPrefix".to_owned(), value: path.to_owned() },
                }],
                filters: if path == "/" { Vec::new() } else { vec![without_prefix()] },
                backend_refs: vec![BackendRef { name: service.name.clone(), port: service.service_port }],
            }],
        },
        status: None,
    })
}

/// The server knows its own paths only.
fn without_prefix() -> HttpRouteFilter {
    let replacement = BTreeMap::from([
        ("type".to_owned(), "ReplacePrefixMatch".to_owned()),
        ("replacePrefixMatch".to_owned(), "/".to_owned()),
    ]);
    HttpRouteFilter { type_: "URLRewrite".to_owned(), url_rewrite: BTreeMap::from([("path".to_owned(), replacement)]) }
}
