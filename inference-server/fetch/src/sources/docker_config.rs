//! Credentials of registries, as `docker login` and pull Secrets keep them.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::error::FetchError;

/// A user and a password, or a token that stands for both.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// For Basic authentication, at the registry or its server of tokens.
    Basic {
        /// Its user.
        user: String,
        /// Its password.
        password: String,
    },
    /// Exchanged for a token at the server of tokens.
    Refresh(String),
    /// Sent as it is.
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Entry {
    fn credentials(self) -> Option<Credentials> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(self.registrytoken) {
            return Some(Credentials::Bearer(token));
        }
        if let Some(token) = given(self.identitytoken) {
            return Some(Credentials::Refresh(token));
        }
        if let (Some(user), Some(password)) = (given(self.username), given(self.password)) {
            return Some(Credentials::Basic { user, password });
        }
        let auth = STANDARD.decode(given(self.auth)?.trim()).ok()?;
        let auth = String::from_utf8(auth).ok()?;
        let (user, password) = auth.split_once(':')?;
        Some(Credentials::Basic { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
    }
}

/// Those of several files that fit a repository, the closest first.
pub(super) fn read(
    files: &[impl AsRef<Path>],
    registry: &str,
    repository: &str,
) -> Result<Vec<Credentials>, FetchError> {
    let mut found: Vec<(usize, Credentials)> = Vec::new();
    for path in files {
        let path = path.as_ref();
        let text = fs::read(path).map_err(|problem| FetchError::io(path, problem))?;
        let config: Config = serde_json::from_slice(&text).map_err(|_| {
            let (given, problem) =
                (path.display().to_string(), "isn't the JSON of a .dockerconfigjson; correct the pull Secret");
            FetchError::BadSource { what: "the file of --docker-config", given, problem: problem.to_owned() }
        })?;
        for (name, entry) in config.auths {
            let Some(length) = fits(&name, registry, repository) else { continue };
            if let Some(credentials) = entry.credentials() {
                found.push((length, credentials));
            } else {
                tracing::warn!(registry = name, "a pull Secret has an entry without user, password and token");
            }
        }
    }
    found.sort_by_key(|(length, _)| usize::MAX - length);
    let mut credentials: Vec<Credentials> = Vec::new();
    for (_, found) in found {
        if !credentials.contains(&found) {
            credentials.push(found);
        }
    }
    Ok(credentials)
}

/// How closely an entry's name fits, as the kubelet has it: a host, a host with the start of a path, or `*` in parts of the host.
fn fits(name: &str, registry: &str, repository: &str) -> Option<usize> {
    let name = name.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let name = name.strip_suffix("/v1").or(name.strip_suffix("/v2")).unwrap_or(name);
    let (host, path) = name.split_once('/').unwrap_or((name, ""));
    let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host };
    let (mut asked, mut known) = (registry.split('.'), host.split('.'));
    let is_host = loop {
        match (asked.next(), known.next()) {
            (None, None) => break true,
            (Some(asked), Some(known)) if part_fits(known, asked) => {}
            _ => break false,
        }
    };
    let is_path =
        path.is_empty() || repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (is_host && is_path).then_some(name.len())
}

/// Whether a part of a host is that of a pattern with one `*` at most.
fn part_fits(pattern: &str, part: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => part.len() >= start.len() + end.len() && part.starts_with(start) && part.ends_with(end),
        None => pattern == part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_fit_as_the_kubelet_has_it() {
        for name in ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v2/", "ghcr.io/me", "*.io", "g*r.io"] {
            assert!(fits(name, "ghcr.io", "me/model").is_some(), "{name}");
        }
        for name in ["ghcr.io/m", "ghcr.io/you", "*.ghcr.io", "*", "host", "ghcr.io:443"] {
            assert!(fits(name, "ghcr.io", "me/model").is_none(), "{name}");
        }
        assert!(fits("https://index.docker.io/v1/", "docker.io", "library/a").is_some());
    }

    #[test]
    fn credentials_of_every_kind() {
        let entry = |json: &str| serde_json::from_str::<Entry>(json).unwrap().credentials();
        let basic = Credentials::Basic { user: "me".into(), password: "a:b".into() };
        assert!(entry(r#"{"auth":"bWU6YTpi"}"#).unwrap() == basic);
        assert!(entry(r#"{"auth":"","username":"me","password":"a:b","email":"x"}"#).unwrap() == basic);
        assert!(entry(r#"{"identitytoken":"t","auth":"bWU6"}"#).unwrap() == Credentials::Refresh("t".into()));
        assert!(entry(r#"{"auth":"!"}"#).is_none());
        assert_eq!(format!("{basic:?}"), "Credentials");
    }
}
