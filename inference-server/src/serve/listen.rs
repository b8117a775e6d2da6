//! The addresses that a port is listened on at.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::{config::Host, startup::StartError};

/// Connections that the kernel accepts before the server does.
const BACKLOG: i32 = 1024;

/// Tries to find a port that is free at both loopback addresses.
const TRIES: usize = 16;

const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
const EVERY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const EVERY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The listeners of one port.
pub(super) struct Listeners {
    pub(super) sockets: Vec<TcpListener>,
    /// The port that the kernel chose, if it was to.
    pub(super) port: u16,
    addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Listens at a host's addresses, all on the same port.
    pub(super) fn bind(host: Host, port: u16) -> Result<Self, StartError> {
        let (sockets, addresses): (Vec<_>, Vec<SocketAddr>) = bind_all(host, port, bind_one)?.into_iter().unzip();
        let port = addresses.first().map_or(port, SocketAddr::port);
        Ok(Self { sockets, port, addresses: named(host, &addresses) })
    }

    /// The first address.
    pub(super) fn address(&self) -> String {
        self.addresses.first().map(ToString::to_string).unwrap_or_default()
    }

    /// Every address, separated by commas.
    pub(super) fn addresses(&self) -> String {
        self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// Every address by name: one socket may be at those of both families.
fn named(host: Host, bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut all = bound.to_vec();
    if let [address] = bound
        && address.ip() == EVERY_V6
    {
        all.push(SocketAddr::new(EVERY_V4, address.port()));
        // What was asked for is named first, and by default what tools without IPv6 can ask.
        if host == Host::Every {
            all.reverse();
        }
    }
    all
}

/// The sockets for a host, each with its address as `bind` finds it.
fn bind_all<L>(
    host: Host,
    port: u16,
    mut bind: impl FnMut(SocketAddr) -> io::Result<(L, SocketAddr)>,
) -> Result<Vec<(L, SocketAddr)>, StartError> {
    let mut bind = |ip, port| {
        let address = SocketAddr::new(ip, port);
        bind(address).map_err(|source| StartError::Listen { setting: None, address, source })
    };
    match host {
        Host::Address(ip) => Ok(vec![bind(ip, port)?]),
        Host::Every => match bind(EVERY_V6, port) {
            Err(error) if is_absent(&error) => Ok(vec![bind(EVERY_V4, port)?]),
            bound => Ok(vec![bound?]),
        },
        Host::Localhost => {
            let mut tries = TRIES;
            loop {
                match bind_loopback(port, &mut bind) {
                    // Somebody else has that port at the other address.
                    Err(StartError::Listen { source, .. })
                        if port == 0 && tries > 0 && source.kind() == io::ErrorKind::AddrInUse =>
                    {
                        tries -= 1;
                    }
                    outcome => return outcome,
                }
            }
        }
    }
}

fn bind_loopback<L>(
    mut port: u16,
    bind: &mut impl FnMut(IpAddr, u16) -> Result<(L, SocketAddr), StartError>,
) -> Result<Vec<(L, SocketAddr)>, StartError> {
    let (mut sockets, mut absent) = (Vec::new(), None);
    for ip in LOOPBACK {
        match bind(ip, port) {
            Ok(bound) => {
                port = bound.1.port();
                sockets.push(bound);
            }
            Err(error) if is_absent(&error) => absent = Some(error),
            Err(error) => return Err(error),
        }
    }
    match absent {
        Some(error) if sockets.is_empty() => Err(error),
        _ => Ok(sockets),
    }
}

/// Whether the machine has no such address: the kernel knows the family not at all, or it is turned off.
fn is_absent(error: &StartError) -> bool {
    let StartError::Listen { source, .. } = error else { return false };
    source.kind() == io::ErrorKind::AddrNotAvailable || source.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_one(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // The kernel's default is a setting of the machine.
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the end of old connections.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Binds anything but what `refuse` names an error for; the kernel chooses port 4000, 4001 and so on.
    fn bound(host: Host, port: u16, refuse: impl Fn(SocketAddr) -> Option<Errno>) -> Result<Vec<String>, String> {
        let mut chosen = 4000;
        let bound = bind_all(host, port, |mut address| {
            if let Some(error) = refuse(address) {
                return Err(error.into());
            }
            if address.port() == 0 {
                address.set_port(chosen);
                chosen += 1;
            }
            Ok(((), address))
        });
        let addresses = bound.map_err(|error| error.to_string())?.into_iter().map(|((), address)| address);
        Ok(named(host, &addresses.collect::<Vec<_>>()).iter().map(ToString::to_string).collect())
    }

    fn without_v6(error: Errno) -> impl Fn(SocketAddr) -> Option<Errno> {
        move |address| address.is_ipv6().then_some(error)
    }

    #[test]
    fn both_families_unless_one_is_asked_for() {
        let all = |_| None;
        assert_eq!(bound(Host::Every, 8000, all).unwrap(), ["0.0.0.0:8000", "[::]:8000"]);
        assert_eq!(bound(Host::Address(EVERY_V6), 8000, all).unwrap(), ["[::]:8000", "0.0.0.0:8000"]);
        assert_eq!(bound(Host::Address(EVERY_V4), 8000, all).unwrap(), ["0.0.0.0:8000"]);
        assert_eq!(bound(Host::Localhost, 8000, all).unwrap(), ["127.0.0.1:8000", "[::1]:8000"]);
        assert_eq!(bound(Host::Localhost, 0, all).unwrap(), ["127.0.0.1:4000", "[::1]:4000"]);
        assert_eq!(bound(Host::Address(LOOPBACK[1]), 1, all).unwrap(), ["[::1]:1"]);
    }

    #[test]
    fn where_ipv6_is_off_only_who_asks_for_it_is_refused() {
        for error in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            assert_eq!(bound(Host::Every, 8000, without_v6(error)).unwrap(), ["0.0.0.0:8000"]);
            assert_eq!(bound(Host::Localhost, 0, without_v6(error)).unwrap(), ["127.0.0.1:4000"]);
            let refused = bound(Host::Address(EVERY_V6), 8000, without_v6(error)).unwrap_err();
            assert!(refused.starts_with("StartFailed: can't listen on [::]:8000: "), "{refused}");
        }
        let only_v6 = |address: SocketAddr| address.is_ipv4().then_some(Errno::ADDRNOTAVAIL);
        assert_eq!(bound(Host::Localhost, 8000, only_v6).unwrap(), ["[::1]:8000"]);
        bound(Host::Localhost, 8000, |_| Some(Errno::ADDRNOTAVAIL)).unwrap_err();
    }

    #[test]
    fn a_port_that_is_taken_is_refused_and_never_listened_on_by_halves() {
        for host in [Host::Every, Host::Localhost] {
            bound(host, 8000, without_v6(Errno::ADDRINUSE)).unwrap_err();
        }
        // The first port that the kernel chooses is taken at the other address.
        let taken = |asked| (asked == address("[::1]:4000")).then_some(Errno::ADDRINUSE);
        assert_eq!(bound(Host::Localhost, 0, taken).unwrap(), ["127.0.0.1:4001", "[::1]:4001"]);
        bound(Host::Localhost, 0, without_v6(Errno::ADDRINUSE)).unwrap_err();
    }

    #[tokio::test]
    async fn by_default_both_families_reach_the_same_port() {
        let listeners = Listeners::bind(Host::Every, 0).unwrap();
        let families = if listeners.addresses.len() == 2 { &LOOPBACK[..] } else { &LOOPBACK[..1] };
        for ip in families {
            let connected = tokio::net::TcpStream::connect((*ip, listeners.port)).await;
            // A machine may have IPv6, and no address of it.
            if ip.is_ipv4() || std::net::TcpListener::bind((*ip, 0)).is_ok() {
                connected.unwrap();
            }
        }
    }
}
