//! What a registry wants to see before it answers.

use std::collections::BTreeMap;

use http::HeaderValue;

/// What a registry wants to see.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user and a password.
    Basic,
    /// A token of another server.
    Bearer {
        /// Where that is.
        realm: String,
        /// What it is asked for in the name of.
        service: Option<String>,
        /// What the token is to be good for.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads the headers `WWW-Authenticate` of an answer.
    pub(super) fn of<'a>(headers: impl Iterator<Item = &'a HeaderValue>) -> Option<Self> {
        let texts: Vec<&str> = headers.filter_map(|header| header.to_str().ok()).collect();
        texts.iter().find_map(|text| Self::bearer(text)).or_else(|| {
            let is_basic = |text: &&str| text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"));
            texts.iter().any(is_basic).then_some(Self::Basic)
        })
    }

    fn bearer(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = BTreeMap::new();
        while let Some((name, value)) = rest.split_once('=') {
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => value.split_once(',').unwrap_or((value, "")),
            };
            parameters.insert(name.trim_matches([' ', ',']).to_ascii_lowercase(), value.to_owned());
            rest = after;
        }
        let realm = parameters.remove("realm")?;
        Some(Self::Bearer { realm, service: parameters.remove("service"), scope: parameters.remove("scope") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let of = |text: &'static str| Challenge::of([HeaderValue::from_static(text)].iter());
        let Some(Challenge::Bearer { realm, service, scope }) =
            of(r#"Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push""#)
        else {
            panic!("it is a bearer's")
        };
        assert_eq!(realm, "https://auth.example/token");
        assert_eq!((service.as_deref(), scope.as_deref()), (Some("registry"), Some("repository:a/b:pull,push")));
        assert_eq!(of("Basic realm=x"), Some(Challenge::Basic));
        assert_eq!(of("Negotiate"), None);
        assert_eq!(of("Bearer service=x"), None);
    }
}
