//! Buckets of object stores: Amazon's S3 and what speaks as it does, Google's, Azure's.

use std::{collections::BTreeMap, env, fs, path, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue};
use object_store::{
    ClientOptions, Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::AmazonS3Builder,
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::GoogleCloudStorageBuilder,
    path::Path as Key,
};
use url::Url;

use super::{
    Source, Work,
    connector::{Connector, NoIdentity, Refused, Seen},
    folder,
};
use crate::{
    checks::{Checksum, hex},
    client::{self, Hints, Http, Identity, Subject},
    download::{Opened, Part, Remote},
    error::{Failure, FetchError, root_cause, short},
    names::FileName,
};

/// Objects below a path.
const MOST_OBJECTS: usize = 10_000;

/// What is looked at for archives by name: an object's content isn't known before it is fetched.
const ARCHIVES: [&str; 5] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".zip"];

/// Which of the stores, and the settings that only it has.
#[derive(Clone, Debug)]
pub enum Store {
    /// Amazon's S3, or what speaks as it does.
    S3 {
        /// Where the bucket is.
        region: Option<String>,
    },
    /// Google's Cloud Storage.
    Gcs,
    /// Azure's Blob Storage, where a bucket is called a container.
    Azure {
        /// The storage account.
        account: String,
    },
}

impl Store {
    fn hints(&self) -> Hints {
        match self {
            Self::S3 { .. } => Hints {
                credentials: "check that the Secret of spec.model.source.s3.credentialsSecretRef (AWS_ACCESS_KEY_ID and \
                              AWS_SECRET_ACCESS_KEY), or the pod's identity, may list and read the bucket, and that the region \
                              is right",
                name: "check spec.model.source.s3.bucket, .path, .region and .endpoint",
                often: "try again later, or set spec.model.cache, so that fewer pods ask",
            },
            Self::Gcs => Hints {
                credentials: "check that the Secret of spec.model.source.gcs.credentialsSecretRef \
                              (GOOGLE_APPLICATION_CREDENTIALS), or the pod's identity, may list and read the bucket",
                name: "check spec.model.source.gcs.bucket and .path",
                often: "try again later, or set spec.model.cache, so that fewer pods ask",
            },
            Self::Azure { .. } => Hints {
                credentials: "check that the Secret of spec.model.source.azureBlob.credentialsSecretRef \
                              (AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN), or the pod's identity, may list and read \
                              the container",
                name: "check spec.model.source.azureBlob.account, .container and .path",
                often: "try again later, or set spec.model.cache, so that fewer pods ask",
            },
        }
    }

    fn default_endpoint(&self) -> String {
        match self {
            Self::S3 { region } => format!("https://s3.{}.amazonaws.com", region.as_deref().unwrap_or("us-east-1")),
            Self::Gcs => "https://storage.googleapis.com".to_owned(),
            Self::Azure { account } => format!("https://{account}.blob.core.windows.net"),
        }
    }
}

/// A path of a bucket.
#[derive(Debug)]
pub struct Bucket {
    store: Store,
    name: String,
    path: String,
    endpoint: Url,
    is_endpoint_given: bool,
}

impl Bucket {
    /// A folder of a bucket, or an archive in it.
    pub fn new(store: Store, bucket: &str, path: Option<&str>, endpoint: Option<&str>) -> Result<Self, FetchError> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$'))
                && name.chars().any(|c| c.is_ascii_alphanumeric())
        };
        let named = [
            ("the bucket", Some(bucket)),
            ("the storage account", account_of(&store)),
            ("--region", region_of(&store)),
        ];
        for (what, name) in named {
            let Some(name) = name.filter(|name| !is_name(name)) else { continue };
            let problem = "is no name; write it without slashes and spaces".to_owned();
            return Err(FetchError::BadSource { what, given: short(name), problem });
        }
        let is_endpoint_given = endpoint.is_some();
        let endpoint = endpoint.map_or_else(|| store.default_endpoint(), str::to_owned);
        let endpoint = client::parse("--endpoint", endpoint.trim_end_matches('/'))?;
        client::refuse_link_local(&endpoint)?;
        let path = folder("--path", path)?;
        Ok(Self { store, name: bucket.to_owned(), path, endpoint, is_endpoint_given })
    }

    /// Makes the store's client.
    fn open(&self, http: &Http) -> Result<Arc<dyn ObjectStore>, FetchError> {
        let has = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_open = self.endpoint.scheme() == "http";
        let options = ClientOptions::new().with_allow_http(is_open);
        // Tries are counted in one place, and what servers say of pauses is heard there.
        let retry = RetryConfig { max_retries: 0, retry_timeout: Duration::from_mins(1), ..RetryConfig::default() };
        let connector = |identity: Identity| {
            if identity.is_at(&self.endpoint) {
                return Err(FetchError::LinkLocal(client::server(&self.endpoint)));
            }
            Ok(Connector::new(http.clone(), identity))
        };
        let endpoint = self.endpoint.as_str().trim_end_matches('/');
        let built: Result<Arc<dyn ObjectStore>, StoreError> = match &self.store {
            Store::S3 { region } => {
                let identity = if has("AWS_ACCESS_KEY_ID") { Identity::none() } else { Identity::aws() };
                // What the pod's identity needs is in the environment. An endpoint there isn't the one that was allowed.
                let mut builder = AmazonS3Builder::from_env()
                    .with_bucket_name(&self.name)
                    .with_endpoint(self.s3_endpoint(region.as_deref()))
                    .with_virtual_hosted_style_request(false)
                    .with_client_options(options)
                    .with_retry(retry)
                    .with_allow_http(is_open)
                    .with_http_connector(connector(identity)?);
                if let Some(region) = region {
                    builder = builder.with_region(region);
                }
                builder.build().map(|store| Arc::new(store) as _)
            }
            Store::Gcs => {
                let file = env::var("GOOGLE_APPLICATION_CREDENTIALS").ok().filter(|file| !file.is_empty());
                let identity = if file.is_some() { Identity::none() } else { Identity::google() };
                let mut builder = GoogleCloudStorageBuilder::new()
                    .with_bucket_name(&self.name)
                    .with_base_url(endpoint)
                    .with_client_options(options)
                    .with_retry(retry)
                    .with_http_connector(connector(identity)?);
                if let Some(file) = file {
                    builder = match kind_of(&file)?.as_deref() {
                        Some("authorized_user") => builder.with_application_credentials(file),
                        _ => builder.with_service_account_path(file),
                    };
                }
                builder.build().map(|store| Arc::new(store) as _)
            }
            Store::Azure { account } => {
                let key = env::var("AZURE_STORAGE_ACCOUNT_KEY").ok().filter(|key| !key.is_empty());
                let sas = env::var("AZURE_STORAGE_SAS_TOKEN").ok().filter(|sas| !sas.is_empty());
                let is_known = key.is_some() || sas.is_some();
                let identity = if is_known { Identity::none() } else { Identity::azure() };
                let mut builder =
                    if is_known { MicrosoftAzureBuilder::new() } else { MicrosoftAzureBuilder::from_env() };
                builder = builder
                    .with_account(account)
                    .with_container_name(&self.name)
                    .with_endpoint(endpoint.to_owned())
                    .with_client_options(options)
                    .with_allow_http(is_open)
                    .with_retry(retry)
                    .with_http_connector(connector(identity)?);
                if let Some(key) = key {
                    builder = builder.with_access_key(key.trim());
                } else if let Some(sas) = sas {
                    let sas = sas.trim().trim_start_matches('?').to_owned();
                    builder = builder.with_config(AzureConfigKey::SasKey, sas);
                }
                builder.build().map(|store| Arc::new(store) as _)
            }
        };
        built.map_err(|error| {
            let problem = short(&root_cause(&error));
            FetchError::BadSettings(format!(
                "the credentials or settings of {} can't be used ({problem}); correct the Secret that the source names",
                self.shown()
            ))
        })
    }

    /// Where the bucket is: as it is said, else Amazon's own, in the region that is said or that the pod is in.
    fn s3_endpoint(&self, region: Option<&str>) -> String {
        let of_pod = || ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| env::var(name).ok());
        if !self.is_endpoint_given
            && region.is_none()
            && let Some(region) = of_pod()
        {
            return Store::S3 { region: Some(region) }.default_endpoint();
        }
        self.endpoint.as_str().trim_end_matches('/').to_owned()
    }

    fn subject(&self, what: impl Into<String>) -> Subject {
        Subject { what: what.into(), hints: self.store.hints() }
    }

    fn server(&self) -> String {
        client::server(&self.endpoint)
    }

    /// The objects below the path, or the one that it names.
    async fn list(&self, store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>, Failure> {
        let subject = self.subject(self.shown());
        let failed = |error: StoreError| failure(&error, &self.server(), &subject);
        let prefix = Key::parse(&self.path).map_err(|error| failed(error.into()))?;
        if ARCHIVES.iter().any(|ending| self.path.ends_with(ending)) {
            return Ok(vec![store.head(&prefix).await.map_err(failed)?]);
        }
        let objects = store.list(Some(&prefix).filter(|_| !self.path.is_empty()));
        let objects: Vec<ObjectMeta> = objects.take(MOST_OBJECTS + 1).try_collect().await.map_err(failed)?;
        if objects.len() > MOST_OBJECTS {
            return Err(FetchError::TooManyFiles { what: self.shown(), most: MOST_OBJECTS }.into());
        }
        if objects.is_empty() {
            let path = if self.path.is_empty() { "/".to_owned() } else { self.path.clone() };
            return Err(FetchError::NothingAtPath { what: self.shown(), path }.into());
        }
        Ok(objects)
    }

    fn part(&self, object: &ObjectMeta, name: &FileName) -> Part {
        let version = object.e_tag.as_deref().or(object.version.as_deref()).unwrap_or_default();
        let (bucket, modified) = (&self.name, object.last_modified.timestamp_millis());
        Part {
            what: name.to_string(),
            identity: format!(
                "bucket {} {bucket} {} {version} {modified} {}",
                self.server(),
                object.location,
                object.size
            ),
            size: Some(object.size),
            checks: Vec::new(),
        }
    }
}

fn account_of(store: &Store) -> Option<&str> {
    if let Store::Azure { account } = store { Some(account) } else { None }
}

fn region_of(store: &Store) -> Option<&str> {
    if let Store::S3 { region } = store { region.as_deref() } else { None }
}

/// What a file of Google's credentials says that it is.
fn kind_of(file: &str) -> Result<Option<String>, FetchError> {
    #[derive(serde::Deserialize)]
    struct Kind {
        r#type: Option<String>,
    }
    let path = path::Path::new(file);
    let text = fs::read(path).map_err(|problem| FetchError::io(path, problem))?;
    let kind: Kind = serde_json::from_slice(&text).map_err(|_| {
        let problem = "isn't the JSON of a service account; correct the Secret of gcs.credentialsSecretRef".to_owned();
        FetchError::BadSource { what: "the file of GOOGLE_APPLICATION_CREDENTIALS", given: file.to_owned(), problem }
    })?;
    Ok(kind.r#type)
}

/// Objects of a bucket.
struct Objects<'a> {
    bucket: &'a Bucket,
    store: Arc<dyn ObjectStore>,
    by_identity: BTreeMap<String, ObjectMeta>,
}

#[async_trait]
impl Remote for Objects<'_> {
    async fn open(&self, part: &Part, from: u64, _: Option<&str>) -> Result<Opened, Failure> {
        let subject = self.bucket.subject(&part.what);
        let server = self.bucket.server();
        let Some(object) = self.by_identity.get(&part.identity) else {
            return Err(FetchError::BadSettings(format!("{} is no object", part.what)).into());
        };
        let seen = Seen::default();
        let mut options = GetOptions {
            if_match: object.e_tag.clone(),
            range: (from > 0).then_some(GetRange::Offset(from)),
            ..GetOptions::default()
        };
        options.extensions.insert(seen.clone());
        let got = self.store.get_opts(&object.location, options).await;
        let headers = seen.take();
        let got = got.map_err(|error| failure(&error, &server, &subject))?;
        let (start, size) = (got.range.start, got.meta.size);
        let body = got.into_stream().map(|bytes| bytes.map_err(|error| root_cause(&error))).boxed();
        let validator = object.e_tag.clone();
        Ok(Opened { server, start, size: Some(size), validator, checks: checks_of(&headers), body })
    }
}

#[async_trait]
impl Source for Bucket {
    fn shown(&self) -> String {
        let path = if self.path.is_empty() { String::new() } else { format!("/{}", self.path) };
        match &self.store {
            Store::S3 { .. } => format!("s3://{}{path}", self.name),
            Store::Gcs => format!("gs://{}{path}", self.name),
            Store::Azure { account } => format!("container {} of {account}{path}", self.name),
        }
    }

    async fn fetch(&self, work: &Work) -> Result<String, FetchError> {
        let what = self.shown();
        let store = self.open(&work.http)?;
        let objects = work.downloads.patience().retry(&what, || self.list(&*store)).await?;
        let mut listing = BTreeMap::new();
        let mut by_identity = BTreeMap::new();
        for object in objects {
            let location = object.location.to_string();
            let name = FileName::parse(location.as_bytes()).map_err(|problem| FetchError::BadName {
                archive: what.clone(),
                name: short(&location),
                problem,
            })?;
            let is_archive = name.as_str() == self.path;
            let name = if is_archive { name.within(name.folder()) } else { name.within(&self.path) };
            // A marker for a folder, as consoles leave them, is no file.
            let Some(name) = name.filter(|_| object.size > 0 || !location.ends_with('/')) else { continue };
            let part = self.part(&object, &name);
            by_identity.insert(part.identity.clone(), object);
            if is_archive {
                work.downloads.keep([&part].into_iter())?;
                let remote = Objects { bucket: self, store, by_identity };
                let files = work.downloads.fetch(&remote, std::slice::from_ref(&part)).await?;
                for file in files {
                    work.place(&file, &part.what, true)?;
                }
                return Ok(what);
            }
            listing.insert(name, part);
        }
        let remote = Objects { bucket: self, store, by_identity };
        work.fetch_needed(&remote, &listing, &what).await?;
        Ok(what)
    }
}

/// What a store keeps of the whole object's content.
fn checks_of(headers: &HeaderMap) -> Vec<Checksum> {
    let mut checks = Vec::new();
    let decoded = |text: &str, length| {
        STANDARD.decode(text.trim()).ok().filter(|bytes| bytes.len() == length).map(|bytes| hex(&bytes))
    };
    for value in headers.get_all("x-goog-hash").iter().filter_map(|value| value.to_str().ok()) {
        for (name, hash) in value.split(',').filter_map(|part| part.trim().split_once('=')) {
            match name {
                "md5" => checks.extend(decoded(hash, 16).map(Checksum::Md5)),
                "crc32c" => checks.extend(decoded(hash, 4).map(Checksum::Crc32c)),
                _ => {}
            }
        }
    }
    // Content-MD5 is of what is sent, which may be a part; this one is always of the blob.
    let is_part = headers.contains_key("content-range");
    let md5 = headers.get("x-ms-blob-content-md5").or_else(|| headers.get("content-md5").filter(|_| !is_part));
    checks.extend(md5.and_then(|md5| decoded(md5.to_str().ok()?, 16)).map(Checksum::Md5));
    // What is decompressed on the way isn't what is kept.
    if headers.contains_key("x-goog-stored-content-encoding")
        && headers.get("x-goog-stored-content-encoding") != Some(&HeaderValue::from_static("identity"))
    {
        checks.clear();
    }
    checks
}

/// What an error of the store means.
fn failure(error: &StoreError, server: &str, subject: &Subject) -> Failure {
    if let StoreError::Precondition { .. } = error {
        let (server, what) = (server.to_owned(), subject.what.clone());
        let problem = "it was replaced while it was fetched".to_owned();
        return FetchError::BadAnswer { server, what, problem }.into();
    }
    for cause in client::causes(error) {
        if let Some(refusal) = cause.downcast_ref::<Refused>() {
            return subject.refused(&refusal.server, refusal.status, &refusal.headers);
        }
        if let Some(NoIdentity(problem)) = cause.downcast_ref() {
            let (what, problem, hint) = (subject.what.clone(), problem.clone(), subject.hints.credentials);
            // The node's service may be up later than the pod.
            return Failure::transient(FetchError::NoIdentity { what, problem, hint });
        }
    }
    client::failure(error, server, subject)
}
