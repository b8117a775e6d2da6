//! URLs that the pods call.

use http::Uri;

/// The longest URL in characters.
const LONGEST: usize = 2048;

/// A URL of HTTP, and whom it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As it was written.
    pub url: String,
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: i32,
    /// Whether by TLS.
    pub tls: bool,
}

impl Endpoint {
    /// `None` where it is none: without a scheme of HTTP, with a user, a query or a fragment.
    pub(super) fn parse(url: &str) -> Option<Self> {
        if url.len() > LONGEST || url.contains(['#', '?']) {
            return None;
        }
        let uri: Uri = url.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host)? {
            "" if tls => 443,
            "" => 80,
            port => port.strip_prefix(':')?.parse::<u16>().ok().filter(|port| *port > 0)?,
        };
        (!host.is_empty()).then(|| Self { url: url.to_owned(), host: host.to_owned(), port: port.into(), tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_whom_it_leads_to() {
        let of = |url: &str| Endpoint::parse(url).map(|endpoint| (endpoint.host, endpoint.port, endpoint.tls));
        assert_eq!(of("http://records"), Some(("records".to_owned(), 80, false)));
        assert_eq!(of("https://records.example.com/a"), Some(("records.example.com".to_owned(), 443, true)));
        assert_eq!(of("http://[2001:db8::1]:8080/"), Some(("[2001:db8::1]".to_owned(), 8080, false)));
        for url in [
            "",
            "records",
            "/records",
            "ftp://records",
            "https://",
            "https://user@records",
            "https://user:word@records",
            "https://records#here",
            "https://records?key=word",
            "http://records:0",
            "http://records:65536",
            "http://records:",
            "http://a b",
        ] {
            assert_eq!(of(url), None, "{url}");
        }
        assert_eq!(of(&format!("http://records/{}", "a".repeat(LONGEST))), None);
    }
}
