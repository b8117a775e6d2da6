//! Hugging Face's hub, and what speaks as it does: <https://huggingface.co/docs/hub/api>.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use url::Url;

use super::{Source, Work};
use crate::{
    checks::Checksum,
    client::{self, Ask, Hints, Http, Subject},
    download::{Opened, Part, Remote},
    error::{Failure, FetchError},
    names::FileName,
};

const HINTS: Hints = Hints {
    credentials: "the repository is private, gated or not there: check spec.model.source.huggingFace.repository, that its terms are \
                  accepted, and that the Secret of huggingFace.tokenSecretRef (HF_TOKEN) holds a valid token with read access",
    name: "check spec.model.source.huggingFace.repository and .revision",
    often: "try again later, or set huggingFace.tokenSecretRef (HF_TOKEN), since those who sign in may ask more often",
};

/// What a part of a path may hold as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A repository of a hub.
#[derive(Debug)]
pub struct Hub {
    endpoint: Url,
    repository: String,
    revision: String,
    token: Option<HeaderValue>,
}

/// What the hub tells of a repository at a revision.
#[derive(Debug, Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: Option<String>,
    oid: Option<String>,
    size: Option<u64>,
}

impl Hub {
    /// A repository by its name, at a branch, a tag or a commit.
    pub fn new(endpoint: &str, repository: &str, revision: &str, token: Option<&str>) -> Result<Self, FetchError> {
        let endpoint = client::parse("the hub's endpoint", endpoint)?;
        client::refuse_link_local(&endpoint)?;
        let parts: Vec<&str> = repository.split('/').collect();
        let is_plain = |part: &&str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        if parts.len() > 2 || !parts.iter().all(is_plain) {
            let (given, problem) = (repository.to_owned(), "is no name of a repository; write OWNER/NAME".to_owned());
            return Err(FetchError::BadSource { what: "the repository", given, problem });
        }
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose().map_err(|_| {
            FetchError::BadSettings("the hub's token (HF_TOKEN) isn't plain text; correct the Secret".to_owned())
        })?;
        Ok(Self { endpoint, repository: repository.to_owned(), revision: revision.to_owned(), token })
    }

    /// An address below the endpoint, which may have a path of its own.
    fn url(&self, parts: impl Iterator<Item = String>) -> Url {
        let mut url = self.endpoint.clone();
        let path = parts.fold(url.path().trim_end_matches('/').to_owned(), |path, part| path + "/" + &part);
        url.set_path(&path);
        url
    }

    async fn info(&self, http: &Http) -> Result<Info, Failure> {
        let revision = utf8_percent_encode(&self.revision, PLAIN).to_string();
        let parts = ["api", "models", &self.repository, "revision", &revision];
        let mut url = self.url(parts.into_iter().map(str::to_owned));
        url.set_query(Some("blobs=true"));
        let subject = subject(format!("{} at {}", self.repository, self.revision));
        let response = http.ask(&url, &Ask::authorized(self.token.clone()), &subject).await?;
        if response.status().is_success() {
            return client::json(response, &subject).await;
        }
        let (server, headers) = (client::server(response.url()), response.headers());
        let code = headers.get("x-error-code").and_then(|code| code.to_str().ok()).unwrap_or_default();
        // The hub doesn't tell those who aren't signed in what is private and what isn't there.
        let status = match (code, response.status()) {
            ("RevisionNotFound", _) => StatusCode::NOT_FOUND,
            ("GatedRepo", _) => StatusCode::FORBIDDEN,
            (_, status) => status,
        };
        Err(subject.refused(&server, status, headers))
    }
}

fn subject(what: impl Into<String>) -> Subject {
    Subject { what: what.into(), hints: HINTS }
}

/// A commit's files.
struct Commit<'a> {
    hub: &'a Hub,
    http: &'a Http,
    sha: String,
    names: BTreeMap<String, FileName>,
}

#[async_trait]
impl Remote for Commit<'_> {
    async fn open(&self, part: &Part, from: u64, validator: Option<&str>) -> Result<Opened, Failure> {
        let name = self.names.get(&part.identity).map_or("", FileName::as_str);
        let path = name.split('/').map(|part| utf8_percent_encode(part, PLAIN).to_string());
        let parts = [self.hub.repository.clone(), "resolve".to_owned(), self.sha.clone()].into_iter().chain(path);
        let ask = Ask::authorized(self.hub.token.clone());
        super::web::open(self.http, &self.hub.url(parts), ask, &subject(&part.what), from, validator).await
    }
}

#[async_trait]
impl Source for Hub {
    fn shown(&self) -> String {
        format!("{} of {}", self.repository, client::server(&self.endpoint))
    }

    async fn fetch(&self, work: &Work) -> Result<String, FetchError> {
        let info = work.downloads.patience().retry(&self.shown(), || self.info(&work.http)).await?;
        let is_commit = info.sha.len() >= 7 && info.sha.bytes().all(|c| c.is_ascii_hexdigit());
        if !is_commit {
            let (server, what) = (client::server(&self.endpoint), self.repository.clone());
            let problem = "it names no commit".to_owned();
            return Err(FetchError::BadAnswer { server, what, problem });
        }
        tracing::info!(repository = self.repository, revision = self.revision, commit = info.sha, "found the revision");
        let mut listing = BTreeMap::new();
        let mut names = BTreeMap::new();
        for sibling in info.siblings {
            let name = FileName::parse(sibling.rfilename.as_bytes()).map_err(|problem| {
                let name = crate::error::short(&sibling.rfilename);
                FetchError::BadName { archive: self.repository.clone(), name, problem }
            })?;
            let part = self.part(&info.sha, &name, &sibling);
            names.insert(part.identity.clone(), name.clone());
            listing.insert(name, part);
        }
        let commit = Commit { hub: self, http: &work.http, sha: info.sha.clone(), names };
        work.fetch_needed(&commit, &listing, &self.repository).await?;
        Ok(format!("{}@{}", self.repository, info.sha))
    }
}

impl Hub {
    fn part(&self, commit: &str, name: &FileName, sibling: &Sibling) -> Part {
        let mut checks = Vec::new();
        let lfs = sibling.lfs.as_ref();
        let sha256 = lfs.and_then(|lfs| lfs.sha256.as_deref().or(lfs.oid.as_deref()));
        let sha256 = sha256.and_then(|hex| Checksum::parse(&format!("sha256:{}", hex.trim_start_matches("sha256:"))));
        // Behind LFS, the blob is that of the pointer.
        let is_git = |id: &&String| lfs.is_none() && id.len() == 40 && id.bytes().all(|c| c.is_ascii_hexdigit());
        let size = lfs.and_then(|lfs| lfs.size).or(sibling.size);
        checks.extend(sha256);
        if size.is_some() {
            checks.extend(sibling.blob_id.as_ref().filter(is_git).map(|id| Checksum::GitBlob(id.to_ascii_lowercase())));
        }
        let server = client::server(&self.endpoint);
        Part {
            what: name.to_string(),
            identity: format!("hub {server} {} {commit} {name}", self.repository),
            size,
            checks,
        }
    }
}
