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
            ports: Some(vec![ServicePort {
                name: Some(ports::HTTP.to_owned()),
                port: service.service_port,
                target_port: Some(IntOrString::String(ports::HTTP.to_owned())),
                protocol: Some("TCP".to_owned()),
                // Service meshes and gateways read the protocol here.
                app_protocol: Some("http".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
