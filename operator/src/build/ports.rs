//! The ports that the server listens on, whatever else its settings say.

use k8s_openapi::api::core::v1::ContainerPort;

/// Name of the port that callers use.
pub(super) const HTTP: &str = "http";
/// Name of the port for those who run the service: the kubelet, which probes there, and Prometheus. It isn't on the
/// Service, so nothing that publishes the Service publishes the series and the details.
pub(super) const MANAGEMENT: &str = "management";
/// The port that callers use; the Service may have another.
pub(super) const HTTP_NUMBER: i32 = 8000;
pub(super) const MANAGEMENT_NUMBER: i32 = 8081;

pub(super) fn of_container() -> Vec<ContainerPort> {
    let port = |name: &str, number| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    vec![port(HTTP, HTTP_NUMBER), port(MANAGEMENT, MANAGEMENT_NUMBER)]
}
