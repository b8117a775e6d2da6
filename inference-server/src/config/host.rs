//! Where to listen.

use std::net::IpAddr;

/// The addresses that a port is listened on at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Every address, of IPv6 only where there is IPv6.
    Every,
    /// The loopback addresses of both families, as far as there are any.
    Localhost,
    /// One address. Those that stand for all of their family do here too, and `::` for IPv4's as well.
    Address(IpAddr),
}

impl Host {
    pub(super) fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("localhost") {
            return Some(Self::Localhost);
        }
        // As in a URL.
        let bare = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match bare {
            Some(address) => address.parse().ok().map(|address| Self::Address(IpAddr::V6(address))),
            None => value.parse().ok().map(Self::Address),
        }
    }
}
