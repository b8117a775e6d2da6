//! The GRPCRoute: how a Gateway finds the Service for gRPC.

use super::{
    external::{BackendRef, GrpcRoute, GrpcRouteRule, GrpcRouteSpec},
    metadata,
};
use crate::validate::ValidatedService;

pub(super) fn build(service: &ValidatedService) -> Option<GrpcRoute> {
    let route = service.route.as_ref()?;
    let hostnames = &route.grpc.as_ref()?.hostnames;
    let port = service.grpc_port?;
    Some(GrpcRoute {
        metadata: metadata(service),
        spec: GrpcRouteSpec {
            parent_refs: route.parent_refs.clone(),
            hostnames: if hostnames.is_empty() { route.hostnames.clone() } else { hostnames.clone() },
            rules: vec![GrpcRouteRule { backend_refs: vec![BackendRef { name: service.name.clone(), port }] }],
        },
        status: None,
    })
}
