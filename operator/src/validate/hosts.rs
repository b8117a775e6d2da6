//! Which servers the sources of models may name: a setting of the operator, not of a service.

use std::str::FromStr;

use thiserror::Error;

use super::{Host, Invalid, Source};

/// The servers that sources may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelHosts(Vec<HostPattern>);

/// A host or all hosts below a domain, at one port or at any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// As it was written.
    text: String,
    /// The host, or the domain with its dot.
    name: String,
    /// Whether all hosts below the domain are meant.
    below: bool,
    port: Option<i32>,
}

/// A text that names no host.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "--model-hosts: \"{0}\" names no host: write one such as models.example.com, *.example.com or registry.example.com:5000, and separate them by commas"
)]
pub struct InvalidHost(String);

impl ModelHosts {
    /// Those that are listed; every server where none is.
    pub fn new(list: &[String]) -> Result<Self, InvalidHost> {
        list.iter().map(|text| text.trim().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Refuses a source that names another server.
    pub fn check(&self, source: &Source) -> Result<(), Invalid> {
        match source.host() {
            Some(host) if !self.0.is_empty() && !self.0.iter().any(|pattern| pattern.matches(&host)) => {
                Err(Invalid::HostNotAllowed { host: host.to_string(), allowed: self.to_string() })
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for ModelHosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(|pattern| &*pattern.text).collect();
        f.write_str(&texts.join(", "))
    }
}

impl HostPattern {
    fn matches(&self, host: &Host) -> bool {
        let is_host = if self.below { host.name.ends_with(&self.name) } else { host.name == self.name };
        is_host && self.port.is_none_or(|port| port == host.port)
    }
}

impl FromStr for HostPattern {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(text.to_owned());
        let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
            // An address of IPv6.
            Some(Some((address, rest))) => (address, (!rest.is_empty()).then_some(rest)),
            Some(None) => return Err(invalid()),
            None => text.find(':').map_or((text, None), |place| (&text[..place], Some(&text[place..]))),
        };
        let port = match port.map(|port| port.strip_prefix(':').and_then(|port| port.parse::<u16>().ok())) {
            None => None,
            Some(Some(port)) if port > 0 => Some(port.into()),
            Some(_) => return Err(invalid()),
        };
        let (below, name) = host.strip_prefix('*').map_or((false, host), |domain| (true, domain));
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte))
        };
        let is_whole = if below { name.strip_prefix('.').is_some_and(is_name) } else { is_name(name) };
        if !is_whole {
            return Err(invalid());
        }
        Ok(Self { text: text.to_owned(), name: name.to_ascii_lowercase(), below, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &[&str], name: &str, port: i32) -> bool {
        let patterns: Vec<HostPattern> = list.iter().map(|text| text.parse().unwrap()).collect();
        let host = Host { name: name.to_owned(), port };
        patterns.iter().any(|pattern| pattern.matches(&host))
    }

    #[test]
    fn a_host_is_listed_by_name_by_domain_and_by_port() {
        assert!(allows(&["hub.example.com"], "hub.example.com", 443));
        assert!(allows(&["HUB.example.com"], "hub.example.com", 8443), "any port where none is given");
        assert!(!allows(&["hub.example.com"], "example.com", 443));
        assert!(!allows(&["hub.example.com"], "evil-hub.example.com", 443));
        assert!(allows(&["a", "*.example.com"], "deep.hub.example.com", 443));
        assert!(!allows(&["*.example.com"], "example.com", 443), "the domain itself is another host");
        assert!(!allows(&["*.example.com"], "evilexample.com", 443));
        assert!(allows(&["registry:5000"], "registry", 5000));
        assert!(!allows(&["registry:5000"], "registry", 443));
        assert!(allows(&["*.example.com:8443"], "a.example.com", 8443));
        assert!(allows(&["[2001:db8::1]:9000"], "2001:db8::1", 9000));
        assert!(allows(&["[2001:db8::1]"], "2001:db8::1", 9));
    }

    #[test]
    fn what_names_no_host_is_refused_with_a_sentence() {
        for text in ["", "*", "*.", "*example.com", "a b", "https://a", "a:0", "a:x", "a:65536", "[::1", "a/b", "a.*.b"]
        {
            let error = ModelHosts::new(&[text.to_owned()]).unwrap_err();
            assert_eq!(error, InvalidHost(text.to_owned()));
        }
        assert_eq!(ModelHosts::new(&[" a ".to_owned(), "*.b:1".to_owned()]).unwrap().to_string(), "a, *.b:1");
    }
}
