//! Where a model comes from, and how it gets to the pods.

use std::fmt;

use super::{Endpoint, Host, Invalid, Origin, SecretKey};
use crate::api::{self, AccessMode, Delivery, EndpointUrl, ModelSource, PullPolicy, Quantity};

/// The revision of a repository of the Hub where none is given.
const DEFAULT_REVISION: &str = "main";
/// The longest path, repository or revision.
const LONGEST: usize = 512;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The server image.
    Builtin,
    /// An OCI image.
    Image(ModelImage),
    /// A claim of the user's, which holds it.
    Claim(ModelClaim),
    /// Elsewhere: an init container gets it.
    Fetched(Fetch),
}

/// An OCI image that holds a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelImage {
    /// Its name with tag or digest.
    pub reference: String,
    /// Where it is pulled from.
    pub registry: Host,
    /// The folder in it.
    pub path: Option<String>,
    /// When the kubelet pulls it.
    pub pull_policy: PullPolicy,
    /// Names of Secrets with registry credentials.
    pub pull_secrets: Vec<String>,
    /// Whether an init container gets it, since the cluster has image volumes switched off.
    pub is_fetched: bool,
}

/// A claim that holds a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelClaim {
    /// Its name.
    pub name: String,
    /// The folder in it.
    pub path: Option<String>,
}

/// What an init container gets, and where it keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// What.
    pub origin: Origin,
    /// Where it is kept.
    pub cache: ModelCache,
}

/// Where what is fetched is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelCache {
    /// In each pod, for as long as it is there.
    Pod,
    /// On a claim of the user's.
    Claim(String),
    /// On a claim that is made for the service.
    Made {
        /// How much it holds.
        size: Quantity,
        /// Its `StorageClass`; that of the cluster where it is `None`.
        class: Option<String>,
        /// Which nodes may have it.
        mode: AccessMode,
    },
}

impl Source {
    /// The server that it is got from, where it is got from one.
    #[must_use]
    pub fn host(&self) -> Option<Host> {
        match self {
            Self::Builtin | Self::Claim(_) => None,
            Self::Image(image) => Some(image.registry.clone()),
            Self::Fetched(fetch) => Some(fetch.origin.host()),
        }
    }

    /// How it comes to the pods.
    #[must_use]
    pub const fn delivery(&self) -> Delivery {
        match self {
            Self::Builtin => Delivery::Builtin,
            Self::Image(ModelImage { is_fetched: false, .. }) => Delivery::ImageVolume,
            Self::Claim(_) => Delivery::Claim,
            Self::Image(_) | Self::Fetched(_) => Delivery::Fetched,
        }
    }

    /// Has an init container get an image that the node would mount.
    pub const fn fetch_image(&mut self) {
        if let Self::Image(image) = self {
            image.is_fetched = true;
        }
    }

    /// The name of the claim of the user's that it needs, and the field that names it.
    #[must_use]
    pub fn claim(&self) -> Option<(&str, &'static str)> {
        match self {
            Self::Claim(claim) => Some((&claim.name, "spec.model.source.persistentVolumeClaim")),
            Self::Fetched(Fetch { cache: ModelCache::Claim(name), .. }) => Some((name, "spec.model.cache")),
            _ => None,
        }
    }
}

/// As the status has it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = |path: Option<&String>| path.map(|path| format!("/{path}")).unwrap_or_default();
        match self {
            Self::Builtin => f.write_str("builtin"),
            Self::Image(ModelImage { reference, path: None, .. }) => write!(f, "image {reference}"),
            Self::Image(ModelImage { reference, path: Some(path), .. }) => write!(f, "image {reference} /{path}"),
            Self::Claim(ModelClaim { name, path }) => write!(f, "persistentVolumeClaim {name}{}", below(path.as_ref())),
            Self::Fetched(fetch) => match &fetch.origin {
                Origin::HuggingFace { repository, revision, .. } => write!(f, "huggingFace {repository}@{revision}"),
                Origin::S3 { bucket, path, .. } => write!(f, "s3 {bucket}{}", below(path.as_ref())),
                Origin::Gcs { bucket, path, .. } => write!(f, "gcs {bucket}{}", below(path.as_ref())),
                Origin::AzureBlob { account, container, path, .. } => {
                    write!(f, "azureBlob {account}/{container}{}", below(path.as_ref()))
                }
                // A query may say who asks.
                Origin::Http { endpoint, .. } => write!(f, "http {}", endpoint.url),
            },
        }
    }
}

pub(super) fn source(model: &api::Model) -> Result<Source, Invalid> {
    let builtin = || ModelSource { builtin: Some(api::Builtin {}), ..ModelSource::default() };
    let given = model.source.clone().unwrap_or_else(builtin);
    let ModelSource { builtin, image, persistent_volume_claim, hugging_face, s3, gcs, azure_blob, http } = given;
    let is_set = [
        builtin.is_some(),
        image.is_some(),
        persistent_volume_claim.is_some(),
        hugging_face.is_some(),
        s3.is_some(),
        gcs.is_some(),
        azure_blob.is_some(),
        http.is_some(),
    ];
    if is_set.into_iter().filter(|is_set| *is_set).count() != 1 {
        return Err(Invalid::ModelSource);
    }
    let origin = [
        hugging_face.map(self::hugging_face),
        s3.map(self::s3),
        gcs.map(self::gcs),
        azure_blob.map(self::azure_blob),
        http.map(self::http),
    ];
    let source = match (origin.into_iter().flatten().next(), image, persistent_volume_claim) {
        (Some(origin), ..) => Source::Fetched(Fetch { origin: origin?, cache: cache(model.cache.as_ref())? }),
        (None, Some(image), _) => Source::Image(self::image(image)?),
        (None, None, Some(claim)) => Source::Claim(ModelClaim {
            name: claim.claim_name,
            path: path("model.source.persistentVolumeClaim.path", claim.path)?,
        }),
        (None, None, None) => Source::Builtin,
    };
    if model.cache.is_some() && !matches!(source, Source::Fetched(_)) {
        return Err(Invalid::CacheOfNothing);
    }
    match source.host().filter(Host::is_link_local) {
        Some(host) => Err(Invalid::LinkLocal(host.name)),
        None => Ok(source),
    }
}

fn image(image: api::ModelImage) -> Result<ModelImage, Invalid> {
    let reference = image.reference;
    let is_reference = !reference.is_empty()
        && reference.len() <= LONGEST
        && reference.starts_with(|first: char| first.is_ascii_alphanumeric())
        && reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte));
    let registry = Host::of_reference(&reference).filter(|_| is_reference);
    Ok(ModelImage {
        registry: registry.ok_or_else(|| Invalid::ModelReference(reference.clone()))?,
        path: path("model.source.image.path", image.path)?,
        pull_policy: image.pull_policy.unwrap_or_default(),
        pull_secrets: image.pull_secrets.into_iter().map(|secret| secret.name).collect(),
        is_fetched: false,
        reference,
    })
}

fn hugging_face(hub: api::HuggingFace) -> Result<Origin, Invalid> {
    let revision = path("model.source.huggingFace.revision", hub.revision)?;
    Ok(Origin::HuggingFace {
        repository: part("model.source.huggingFace.repository", hub.repository)?,
        revision: revision.unwrap_or_else(|| DEFAULT_REVISION.to_owned()),
        variant: path("model.source.huggingFace.variant", hub.variant)?,
        token: hub.token_secret_ref.as_ref().map(|reference| SecretKey::new(reference, "token")),
        endpoint: endpoint("model.source.huggingFace.endpoint", hub.endpoint)?,
    })
}

fn s3(bucket: api::S3) -> Result<Origin, Invalid> {
    Ok(Origin::S3 {
        bucket: part("model.source.s3.bucket", bucket.bucket)?,
        path: path("model.source.s3.path", bucket.path)?,
        region: path("model.source.s3.region", bucket.region)?,
        variant: path("model.source.s3.variant", bucket.variant)?,
        credentials: bucket.credentials_secret_ref.map(|secret| secret.name),
        endpoint: endpoint("model.source.s3.endpoint", bucket.endpoint)?,
    })
}

fn gcs(bucket: api::Gcs) -> Result<Origin, Invalid> {
    Ok(Origin::Gcs {
        bucket: part("model.source.gcs.bucket", bucket.bucket)?,
        path: path("model.source.gcs.path", bucket.path)?,
        variant: path("model.source.gcs.variant", bucket.variant)?,
        credentials: bucket.credentials_secret_ref.as_ref().map(|reference| SecretKey::new(reference, "key.json")),
        endpoint: endpoint("model.source.gcs.endpoint", bucket.endpoint)?,
    })
}

fn azure_blob(container: api::AzureBlob) -> Result<Origin, Invalid> {
    Ok(Origin::AzureBlob {
        account: part("model.source.azureBlob.account", container.account)?,
        container: part("model.source.azureBlob.container", container.container)?,
        path: path("model.source.azureBlob.path", container.path)?,
        variant: path("model.source.azureBlob.variant", container.variant)?,
        credentials: container.credentials_secret_ref.map(|secret| secret.name),
        endpoint: endpoint("model.source.azureBlob.endpoint", container.endpoint)?,
    })
}

fn http(source: api::HttpSource) -> Result<Origin, Invalid> {
    let address = source.url.split_once('?').map_or(&*source.url, |(address, _)| address);
    let endpoint = Endpoint::parse(address)
        .filter(|_| !source.url.contains('#'))
        .ok_or_else(|| Invalid::Url { field: "model.source.http.url", url: source.url.clone() })?;
    if let Some(sha256) = source.sha256.as_ref().filter(|sha256| !is_sha256(sha256)) {
        return Err(Invalid::Sha256(sha256.clone()));
    }
    let headers = source.headers_secret_ref.map(|secret| secret.name);
    Ok(Origin::Http { endpoint, url: source.url, sha256: source.sha256, headers })
}

fn cache(cache: Option<&api::ModelCache>) -> Result<ModelCache, Invalid> {
    let Some(cache) = cache else { return Ok(ModelCache::Pod) };
    let made = cache.storage_class_name.is_some() || cache.access_mode.is_some();
    match (&cache.claim_name, &cache.size) {
        (Some(claim), None) if !made => Ok(ModelCache::Claim(claim.clone())),
        (Some(_), None) => Err(Invalid::CacheSettings),
        (None, Some(size)) => {
            let bytes = size.nanos().map_err(Invalid::CacheSize)?;
            if bytes == 0 {
                return Err(Invalid::EmptyCache);
            }
            Ok(ModelCache::Made {
                size: size.clone(),
                class: cache.storage_class_name.clone(),
                mode: cache.access_mode.unwrap_or_default(),
            })
        }
        _ => Err(Invalid::CacheVolume),
    }
}

fn endpoint(field: &'static str, url: Option<EndpointUrl>) -> Result<Option<Endpoint>, Invalid> {
    let parse = |url: EndpointUrl| {
        Endpoint::parse(url.as_str()).ok_or_else(|| Invalid::Url { field, url: url.as_str().to_owned() })
    };
    url.map(parse).transpose()
}

/// A path, without the slash at its end.
fn path(field: &'static str, path: Option<String>) -> Result<Option<String>, Invalid> {
    let path = path.map(|path| path.strip_suffix('/').map(str::to_owned).unwrap_or(path));
    path.map(|path| part(field, path)).transpose()
}

/// What becomes an argument and a path: it leads nowhere else, and is no option.
fn part(field: &'static str, text: String) -> Result<String, Invalid> {
    let is_part = |part: &str| part.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    let is_printed = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.len() <= LONGEST && is_printed && text.split('/').all(is_part) {
        Ok(text)
    } else {
        Err(Invalid::ModelPath { field, path: text })
    }
}

/// A digest that the spec asks for.
pub(super) fn digest(model: &api::Model) -> Result<Option<String>, Invalid> {
    let is_digest = |digest: &&String| digest.strip_prefix("sha256:").is_some_and(is_sha256);
    match &model.digest {
        Some(digest) if !is_digest(&digest) => Err(Invalid::ModelDigest(digest.clone())),
        digest => Ok(digest.clone()),
    }
}

fn is_sha256(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests;
