//! The key of a service that asks for one. It is never printed.

use std::{env, fmt, fs, path::PathBuf};

use http::HeaderValue;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kubesentiment_operator::validate::ValidatedService;

use crate::{
    cluster::Cluster,
    error::{Error, code},
};

/// The variable that may hold a key.
const VARIABLE: &str = "KUBESENTIMENT_API_KEY";

/// Where the key is.
#[expect(clippy::doc_markdown, reason = "the texts are read at the terminal")]
#[derive(Clone, Debug, Default, clap::Args)]
pub struct KeyFlags {
    /// File with the key: one alone, or name: key a line, of which the first is taken [default: the variable
    /// KUBESENTIMENT_API_KEY, or the Secret that the resource names]
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
}

/// A key.
#[derive(Clone)]
pub(super) struct Key(HeaderValue);

impl Key {
    /// The value of its header. It is marked, so that nothing logs it.
    pub(super) fn value(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The first key of a text, as the server reads such files.
    fn parse(text: &str, source: &str) -> Result<Self, Error> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let line = lines.next().ok_or_else(|| Error::Answer(format!("{source} holds no key")))?;
        let key = line.split_once(':').map_or(line, |(_, key)| key.trim());
        // The error would quote what it can't read.
        let mut value = HeaderValue::from_str(key).map_err(|_| {
            Error::Answer(format!("{source} holds no key that can be sent: it has signs that no header may have"))
        })?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The key for a service: from where the caller says, else from the Secret that the resource names.
pub(super) async fn find(
    cluster: &Cluster,
    service: &ValidatedService,
    flags: &KeyFlags,
) -> Result<Option<Key>, Error> {
    if let Some(path) = &flags.api_key_file {
        let text = fs::read_to_string(path).map_err(Error::file(path))?;
        return Key::parse(&text, &path.display().to_string()).map(Some);
    }
    if let Some(text) = env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty()) {
        return Key::parse(&text, VARIABLE).map(Some);
    }
    let Some(auth) = &service.auth else { return Ok(None) };
    let (name, key) = (&auth.keys.name, &auth.keys.key);
    let api: Api<Secret> = Api::namespaced(cluster.client.clone(), &service.namespace);
    let found = api.get(name).await.map_err(|error| {
        let why = match code(&error) {
            Some(403) => "which you may not read".to_owned(),
            Some(404) => "which doesn't exist".to_owned(),
            _ => format!("which can't be read ({error})"),
        };
        Error::Answer(format!(
            "{} asks for a key, and the resource names Secret {name}, {why}: give the key by --api-key-file or {VARIABLE}",
            service.name
        ))
    })?;
    let value = found.data.unwrap_or_default().remove(key);
    let value =
        value.ok_or_else(|| Error::Answer(format!("Secret {name} has no key {key}, which the resource names")))?;
    Key::parse(&String::from_utf8_lossy(&value.0), &format!("Secret {name}")).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_the_server_reads_them() {
        let of = |text: &str| Key::parse(text, "a").unwrap().value().to_str().unwrap().to_owned();
        assert_eq!(of(" s3cret\n"), "s3cret");
        assert_eq!(of("# callers\n\nshop: one\nother: two\n"), "one");
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = Key::parse("s3cret", "a").unwrap();
        assert!(!format!("{key:?} {:?}", key.value()).contains("s3cret"));
        for text in ["", "# nothing", "s\u{7f}cret"] {
            let error = Key::parse(text, "file").unwrap_err().to_string();
            assert!(error.starts_with("file holds no key") && !error.contains("cret"), "{error}");
        }
    }
}
