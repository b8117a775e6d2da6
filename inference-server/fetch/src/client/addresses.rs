//! Addresses that no model comes from, and the few requests that must go there all the same.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use http::Method;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

/// The prefix under which networks without IPv4 reach it (RFC 6052).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Whether an address is link-local, also as IPv6 writes one of IPv4.
pub(super) fn is_refused(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || embedded(address).is_some_and(|address| address.is_link_local())
        }
    }
}

fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let [.., high, low] = segments;
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    let is_nat64 = segments.starts_with(&NAT64);
    address.to_ipv4().or_else(|| is_nat64.then(|| Ipv4Addr::new(a, b, c, d)))
}

/// A name leads to a refused address.
#[derive(Debug, thiserror::Error)]
#[error("{0} leads to a link-local address")]
pub(super) struct LinkLocal(String);

/// Resolves names as the system does, and refuses those that lead to a link-local address.
#[derive(Debug)]
pub(super) struct Guarded;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = addresses_of(name.as_str()).await?;
            // One is enough: who mixes them means harm, or has a mistake that should be seen.
            if addresses.iter().any(|address| is_refused(address.ip())) {
                return Err(LinkLocal(name.as_str().to_owned()).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Resolves names as the system does.
#[derive(Debug)]
pub(super) struct Open;

impl Resolve for Open {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move { Ok(Box::new(addresses_of(name.as_str()).await?.into_iter()) as Addrs) })
    }
}

async fn addresses_of(name: &str) -> std::io::Result<Vec<SocketAddr>> {
    // The port is set by the one who connects.
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

/// Which requests for the pod's own credentials may go to link-local addresses.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    allowed: Arc<[Endpoint]>,
}

/// A service of the cloud that tells a pod who it is.
#[derive(Clone, Debug)]
struct Endpoint {
    hosts: &'static [&'static str],
    paths: &'static [&'static str],
}

impl Identity {
    /// None: there are credentials, or the source takes none of the pod's.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Amazon's: of the instance, of a task, of a pod.
    #[must_use]
    pub fn aws() -> Self {
        Self::of(&[
            (&["169.254.169.254"], &["/latest/api/token", "/latest/meta-data/iam/security-credentials"]),
            (&["169.254.170.2"], &["/v2/credentials"]),
            (&["169.254.170.23"], &["/v1/credentials"]),
        ])
    }

    /// Google's metadata server.
    #[must_use]
    pub fn google() -> Self {
        const HOSTS: &[&str] = &["169.254.169.254", "metadata.google.internal", "metadata"];
        Self::of(&[(HOSTS, &["/computeMetadata/v1/instance/service-accounts/", "/computeMetadata/v1/project/"])])
    }

    /// Azure's managed identity.
    #[must_use]
    pub fn azure() -> Self {
        Self::of(&[(&["169.254.169.254"], &["/metadata/identity/oauth2/token"])])
    }

    fn of(endpoints: &[(&'static [&'static str], &'static [&'static str])]) -> Self {
        Self { allowed: endpoints.iter().map(|&(hosts, paths)| Endpoint { hosts, paths }).collect() }
    }

    /// Whether an address is that of such a service. No source is there.
    #[must_use]
    pub fn is_at(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        self.allowed.iter().any(|endpoint| endpoint.hosts.contains(&host))
    }

    /// Whether this request is one of those.
    pub(super) fn needs(&self, method: &Method, url: &Url) -> bool {
        let is_read = matches!(*method, Method::GET | Method::PUT);
        let host = url.host_str().unwrap_or_default();
        is_read
            && url.scheme() == "http"
            && url.port().is_none()
            && self.allowed.iter().any(|endpoint| {
                endpoint.hosts.contains(&host) && endpoint.paths.iter().any(|path| url.path().starts_with(path))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(identity: &Identity, url: &str) -> bool {
        identity.needs(&Method::GET, &Url::parse(url).unwrap())
    }

    #[test]
    fn only_requests_for_credentials_are_let_through() {
        let aws = Identity::aws();
        assert!(needs(&aws, "http://169.254.169.254/latest/meta-data/iam/security-credentials/role"));
        assert!(!needs(&aws, "http://169.254.169.254/latest/user-data"));
        assert!(!needs(&aws, "http://169.254.169.254:8080/latest/meta-data/iam/security-credentials/role"));
        assert!(!needs(&aws, "http://metadata.google.internal/computeMetadata/v1/project/project-id"));
        let google = Identity::google();
        assert!(needs(
            &google,
            "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
        ));
        assert!(!needs(&google, "http://metadata.google.internal/computeMetadata/v1/instance/attributes/kube-env"));
        assert!(!needs(&Identity::none(), "http://169.254.169.254/metadata/identity/oauth2/token"));
    }

    #[tokio::test]
    async fn no_name_leads_to_a_refused_address() {
        // The system's resolver takes numbers for names, which is all that a test without a network has.
        let refused = Guarded.resolve("169.254.169.254".parse().unwrap()).await;
        assert!(refused.is_err_and(|error| error.is::<LinkLocal>()));
        assert!(Guarded.resolve("127.0.0.1".parse().unwrap()).await.is_ok());
    }
}
