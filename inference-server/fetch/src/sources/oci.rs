//! Registries of images and artifacts: <https://github.com/opencontainers/distribution-spec>.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use reqwest::Response;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use super::{
    Source, Work,
    challenge::Challenge,
    docker_config::{self, Credentials},
    folder,
    reference::Reference,
};
use crate::{
    archive::Format,
    checks::{Checksum, Taking},
    client::{self, Ask, Hints, Http, Subject},
    download::{Opened, Part, Remote},
    error::{Failure, FetchError, short},
    names::{BadName, FileName},
};

const HINTS: Hints = Hints {
    credentials: "check that spec.model.source.image.pullSecrets (--docker-config) names a Secret with credentials for this \
                  registry that may pull, and that the reference is right, since registries hide what isn't there",
    name: "check spec.model.source.image.reference",
    often: "try again later, or name a Secret in spec.model.source.image.pullSecrets (--docker-config), since those who sign \
            in may pull more often",
};

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";

/// The layer of artifacts that have none.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Indexes within indexes.
const DEEPEST: usize = 4;

/// Longest manifest, as registries have it.
const LONGEST_MANIFEST: usize = 4 << 20;

/// Layers that an image may have.
const MOST_LAYERS: usize = 512;

/// An image or artifact of a registry.
#[derive(Debug)]
pub struct Registry {
    reference: Reference,
    base: Url,
    path: String,
    credentials: Vec<Credentials>,
    /// What was good for the last request.
    authorization: Mutex<Option<HeaderValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    platform: Option<Platform>,
}

#[derive(Clone, Debug, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

impl Descriptor {
    /// The name of the file that it is, as `oras` and its kin write it.
    fn title(&self) -> Option<&str> {
        ["org.opencontainers.image.title", "org.cncf.model.filepath"]
            .into_iter()
            .find_map(|key| self.annotations.get(key).map(String::as_str))
    }

    fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
    }

    fn is_for_here(&self) -> bool {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        self.platform.as_ref().is_some_and(|platform| platform.os == "linux" && platform.architecture == architecture)
    }
}

impl Registry {
    /// An image, and the folder in it that holds the model.
    pub fn new(
        reference: &str,
        path: Option<&str>,
        docker_configs: &[PathBuf],
        plain_http: bool,
    ) -> Result<Self, FetchError> {
        let reference = Reference::parse(reference)?;
        let scheme = if plain_http || reference.is_local() { "http" } else { "https" };
        let base = client::parse("the reference's registry", &format!("{scheme}://{}/v2/", reference.host()))?;
        client::refuse_link_local(&base)?;
        let credentials = docker_config::read(docker_configs, &reference.registry, &reference.repository)?;
        let path = folder("--path", path)?;
        Ok(Self { reference, base, path, credentials, authorization: Mutex::default() })
    }

    fn url(&self, kind: &str, name: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}/{kind}/{name}", self.base.path(), self.reference.repository));
        url
    }

    /// The manifest of this platform, and its digest.
    async fn manifest(&self, http: &Http) -> Result<(String, Manifest), Failure> {
        let mut name = self.reference.manifest().to_owned();
        for _ in 0..DEEPEST {
            let subject = subject(self.reference.to_string());
            let url = self.url("manifests", &name);
            let ask = Ask::default().with(header::ACCEPT, MANIFESTS);
            let response = self.signed_in(http, &url, &ask, &subject).await?;
            let server = client::server(response.url());
            let told = response.headers().get("docker-content-digest").and_then(|digest| digest.to_str().ok());
            let expected = Checksum::parse(&name).or_else(|| Checksum::parse(told?));
            let text = client::text(response, &subject).await?;
            let bad = |problem: String| {
                let (server, what) = (server.clone(), subject.what.clone());
                Failure::from(FetchError::BadAnswer { server, what, problem })
            };
            if text.len() > LONGEST_MANIFEST {
                return Err(bad("its manifest is far too long".to_owned()));
            }
            if let Some(mut taking) = expected.and_then(|expected| Taking::start(&expected, None)) {
                taking.update(&text);
                taking.finish().map_err(|(expected, got)| {
                    let what = format!("the manifest of {}", self.reference);
                    FetchError::WrongDigest { server: server.clone(), what, expected, got }
                })?;
            }
            let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| bad(short(&error.to_string())))?;
            let digest = format!("sha256:{}", crate::checks::sha256(&text));
            if manifest.manifests.is_empty() {
                return Ok((digest, manifest));
            }
            let mut real = manifest.manifests.iter().filter(|manifest| !manifest.is_attestation());
            let here = real.clone().find(|manifest| manifest.is_for_here());
            let Some(next) = here.or_else(|| real.next().filter(|_| real.next().is_none())) else {
                return Err(bad("it has nothing for Linux on this processor".to_owned()));
            };
            if Checksum::parse(&next.digest).is_none() {
                return Err(bad("its index names no digest".to_owned()));
            }
            name.clone_from(&next.digest);
        }
        let (server, what) = (client::server(&self.base), self.reference.to_string());
        Err(FetchError::BadAnswer { server, what, problem: "its indexes lead to no manifest".to_owned() }.into())
    }

    /// Asks, and signs in where the registry wants that: with each of the credentials, then without.
    async fn signed_in(&self, http: &Http, url: &Url, ask: &Ask, subject: &Subject) -> Result<Response, Failure> {
        let known = self.authorization.lock().await.clone();
        let (response, challenge) = self.ask(http, url, ask, known, subject).await?;
        let Some(challenge) = challenge else { return self.accept(response, subject) };
        let mut last = response;
        for credentials in self.credentials.iter().map(Some).chain([None]) {
            let authorization = match self.authorize(http, &challenge, credentials).await {
                Ok(Some(authorization)) => authorization,
                Ok(None) => continue,
                // The server of tokens refuses these; others may be better.
                Err(failure) if failure.is_transient => return Err(failure),
                Err(failure) => {
                    tracing::debug!(problem = %failure.error, "no token for these credentials");
                    if credentials.is_none() && self.credentials.is_empty() {
                        return Err(failure);
                    }
                    continue;
                }
            };
            let (response, again) = self.ask(http, url, ask, Some(authorization.clone()), subject).await?;
            if again.is_none() && response.status() != StatusCode::FORBIDDEN {
                *self.authorization.lock().await = Some(authorization);
                return self.accept(response, subject);
            }
            last = response;
        }
        Err(subject.refused(&client::server(&self.base), last.status(), last.headers()))
    }

    fn accept(&self, response: Response, subject: &Subject) -> Result<Response, Failure> {
        let status = response.status();
        // A range that can't be given is for the one who asked for it.
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        Err(subject.refused(&client::server(&self.base), status, response.headers()))
    }

    async fn ask(
        &self,
        http: &Http,
        url: &Url,
        ask: &Ask,
        authorization: Option<HeaderValue>,
        subject: &Subject,
    ) -> Result<(Response, Option<Challenge>), Failure> {
        let ask = Ask { headers: ask.headers.clone(), secret: Ask::authorized(authorization).secret };
        let response = http.ask(url, &ask, subject).await?;
        // Of the registry itself, and not of a store that it leads to.
        let is_own = response.url().origin() == self.base.origin();
        let challenge = (response.status() == StatusCode::UNAUTHORIZED && is_own)
            .then(|| Challenge::of(response.headers().get_all(header::WWW_AUTHENTICATE).iter()))
            .flatten();
        Ok((response, challenge))
    }

    /// What a challenge wants to see; `None` if these credentials are of no use for it.
    async fn authorize(
        &self,
        http: &Http,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let basic = |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let value = |text: String| HeaderValue::try_from(text).ok();
        let (realm, service, scope) = match (challenge, credentials) {
            (_, Some(Credentials::Bearer(token))) => return Ok(value(format!("Bearer {token}"))),
            (Challenge::Basic, Some(Credentials::Basic { user, password })) => return Ok(value(basic(user, password))),
            (Challenge::Basic, _) => return Ok(None),
            (Challenge::Bearer { realm, service, scope }, _) => (realm, service, scope),
        };
        let default_scope = format!("repository:{}:pull", self.reference.repository);
        let scope = scope.as_deref().unwrap_or(&default_scope);
        let mut realm = client::parse("the registry's server of tokens", realm)?;
        if self.base.scheme() == "https" && realm.scheme() != "https" {
            return Err(FetchError::Downgrade { from: client::server(&self.base), to: client::server(&realm) }.into());
        }
        let subject = subject(format!("a token for {}", self.reference));
        let response = if let Some(Credentials::Refresh(token)) = credentials {
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", "model-fetch"),
                ("refresh_token", token),
                ("scope", scope),
                ("service", service.as_deref().unwrap_or_default()),
            ];
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            let response = http.post_form(&realm, form, &subject).await?;
            self.accept(response, &subject)?
        } else {
            let service = service.as_deref().map(|service| ("service", service));
            realm.query_pairs_mut().extend_pairs(service.into_iter().chain([("scope", scope)]));
            let authorization = match credentials {
                Some(Credentials::Basic { user, password }) => value(basic(user, password)),
                _ => None,
            };
            http.get(&realm, &Ask::authorized(authorization), &subject).await?
        };
        let token: Token = client::json(response, &subject).await?;
        let token = token.token.or(token.access_token).unwrap_or_default();
        Ok(value(format!("Bearer {token}")))
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn subject(what: impl Into<String>) -> Subject {
    Subject { what: what.into(), hints: HINTS }
}

/// A registry's blobs.
struct Blobs<'a> {
    registry: &'a Registry,
    http: &'a Http,
    digests: BTreeMap<String, String>,
}

#[async_trait]
impl Remote for Blobs<'_> {
    async fn open(&self, part: &Part, from: u64, _: Option<&str>) -> Result<Opened, Failure> {
        let digest = self.digests.get(&part.identity).map_or("", String::as_str);
        let subject = subject(&part.what);
        let url = self.registry.url("blobs", digest);
        let ask = super::web::ranged(Ask::default(), from, None);
        let response = self.registry.signed_in(self.http, &url, &ask, &subject).await?;
        // A digest is as good as any validator.
        super::web::opened(response, &subject, from, None)
    }
}

#[async_trait]
impl Source for Registry {
    fn shown(&self) -> String {
        self.reference.to_string()
    }

    async fn fetch(&self, work: &Work) -> Result<String, FetchError> {
        let what = self.shown();
        let (digest, manifest) = work.downloads.patience().retry(&what, || self.manifest(&work.http)).await?;
        tracing::info!(reference = what, digest, layers = manifest.layers.len(), "found the manifest");
        if manifest.layers.len() > MOST_LAYERS {
            return Err(FetchError::TooManyFiles { what, most: MOST_LAYERS });
        }
        let layers: Vec<&Descriptor> = manifest.layers.iter().filter(|layer| layer.media_type != EMPTY).collect();
        let mut parts = Vec::new();
        let mut digests = BTreeMap::new();
        for layer in &layers {
            let Some(check) = Checksum::parse(&layer.digest) else {
                let (server, problem) = (client::server(&self.base), "a layer has no digest".to_owned());
                return Err(FetchError::BadAnswer { server, what, problem });
            };
            let title = layer.title().map(short);
            let short_digest = layer.digest.get(..19).unwrap_or(&layer.digest);
            let part = Part {
                what: title.unwrap_or_else(|| format!("layer {short_digest}")),
                identity: format!("blob {}", layer.digest),
                size: Some(layer.size),
                checks: vec![check],
            };
            digests.insert(part.identity.clone(), layer.digest.clone());
            parts.push(part);
        }
        work.downloads.keep(parts.iter())?;
        let blobs = Blobs { registry: self, http: &work.http, digests };
        // A layer may be in an image twice, and is fetched once.
        let mut once: Vec<Part> = Vec::new();
        for part in &parts {
            if once.iter().all(|other| other.identity != part.identity) {
                once.push(part.clone());
            }
        }
        let files = work.downloads.fetch(&blobs, &once).await?;
        let files: BTreeMap<&str, &PathBuf> = once.iter().map(|part| &*part.identity).zip(&files).collect();
        for (index, (layer, part)) in layers.iter().zip(&parts).enumerate() {
            let Some(file) = files.get(&*part.identity) else { continue };
            self.place(work, layer, part, file)?;
            if parts[index + 1..].iter().all(|later| later.identity != part.identity) {
                std::fs::remove_file(file).map_err(|problem| FetchError::io(file, problem))?;
            }
        }
        let is_empty = std::fs::read_dir(&work.tree).is_ok_and(|mut entries| entries.next().is_none());
        if is_empty && !self.path.is_empty() {
            return Err(FetchError::NothingAtPath { what, path: self.path.clone() });
        }
        let name = format!("{}/{}", self.reference.registry, self.reference.repository);
        Ok(format!("{name}@{digest}"))
    }
}

impl Registry {
    /// Puts a layer's content into the tree.
    fn place(&self, work: &Work, layer: &Descriptor, part: &Part, file: &Path) -> Result<(), FetchError> {
        let what = format!("{} of {}", part.what, self.reference);
        let format = Format::of(file, &what)?;
        match (format, layer.title()) {
            (Some(format), _) => work.unpack(file, format, &what, &self.path, true),
            (None, None) if layer.size == 0 || layer.media_type.contains("tar") => {
                let problem = "its content is that of no archive".to_owned();
                Err(FetchError::Damaged { archive: what, problem })
            }
            (None, None) => {
                let media_type = short(&layer.media_type);
                Err(FetchError::UnknownLayer { what: self.reference.to_string(), media_type })
            }
            (None, Some(title)) => {
                let bad = |problem: BadName| FetchError::BadName {
                    archive: self.reference.to_string(),
                    name: short(title),
                    problem,
                };
                let name = FileName::parse(title.as_bytes()).map_err(bad)?;
                let name =
                    if name.as_str() == self.path { name.within(name.folder()) } else { name.within(&self.path) };
                let Some(name) = name.filter(|name| !name.is_hidden()) else { return Ok(()) };
                if name.below(&work.tree).exists() {
                    return Err(FetchError::Duplicate { archive: self.reference.to_string(), name: name.to_string() });
                }
                work.copy(file, &name)
            }
        }
    }
}
