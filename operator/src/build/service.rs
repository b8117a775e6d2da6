//! The Service in front of the pods.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{labels, metadata, ports};
use crate::{api::SessionAffinity, validate::ValidatedService};

pub(super) fn build(service: &ValidatedService) -> Service {
    let annotations = &service.service_annotations;
    Service {
        metadata: ObjectMeta {
            annotations: (!annotations.is_empty()).then(|| annotations.clone()),
            ..metadata(service)
        },
        spec: Some(ServiceSpec {
            type_: Some(service.service_type.as_str().to_owned()),
            selector: Some(labels::selector(service)),
            session_affinity: match service.session_affinity {
                SessionAffinity::None => None,
                SessionAffinity::ClientIp => Some("ClientIP".to_owned()),
            },
            ports: Some(ports(service)),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Service meshes and gateways read in `appProtocol` what is spoken. There is no word for HTTP/2 by TLS: they find out.
fn ports(service: &ValidatedService) -> Vec<ServicePort> {
    let port = |name: &str, number, app_protocol: Option<&str>| ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        app_protocol: app_protocol.map(str::to_owned),
        ..ServicePort::default()
    };
    let (http, grpc) = if service.tls.is_some() { ("https", None) } else { ("http", Some("kubernetes.io/h2c")) };
    let of_http = port(ports::HTTP, service.service_port, Some(http));
    [of_http].into_iter().chain(service.grpc_port.map(|number| port(ports::GRPC, number, grpc))).collect()
}
