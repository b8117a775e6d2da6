//! The ports that the server listens on, whatever else its settings say.

use k8s_openapi::api::core::v1::ContainerPort;

use crate::validate::ValidatedService;

/// Name of the port that callers use.
pub(super) const HTTP: &str = "http";
/// Name of the port that callers use for gRPC.
pub(super) const GRPC: &str = "grpc";
/// Name of the port for those who run the service: the kubelet, which probes there, and Prometheus. It isn't on the
/// Service, so nothing that publishes the Service publishes the series and the details.
pub(super) const MANAGEMENT: &str = "management";
/// The port that callers use; the Service may have another.
pub(super) const HTTP_NUMBER: i32 = 8000;
/// The port that callers use for gRPC; the Service may have another.
pub(super) const GRPC_NUMBER: i32 = 8001;
/// Number of the port for those who run the service.
pub const MANAGEMENT_NUMBER: u16 = 8081;

pub(super) fn of_container(service: &ValidatedService) -> Vec<ContainerPort> {
    let port = |name: &str, number| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let grpc = service.grpc_port.map(|_| port(GRPC, GRPC_NUMBER));
    [port(HTTP, HTTP_NUMBER)].into_iter().chain(grpc).chain([port(MANAGEMENT, MANAGEMENT_NUMBER.into())]).collect()
}

/// The names of the ports that callers use.
pub(super) fn of_callers(service: &ValidatedService) -> impl Iterator<Item = &'static str> + use<> {
    [HTTP].into_iter().chain(service.grpc_port.map(|_| GRPC))
}
