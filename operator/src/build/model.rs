//! How the model comes to the pods: by an image volume, on a claim, or by an init container that fetches it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvFromSource, EnvVar, EnvVarSource, ImageVolumeSource,
    PersistentVolumeClaimVolumeSource, SecretEnvSource, SecretKeySelector, Volume, VolumeMount,
};

use super::{non_empty, persistent_volume_claim};
use crate::{
    api::Profile,
    hash::fnv1a,
    validate::{Fetch, ModelCache, ModelImage, Origin, SecretKey, Source, ValidatedService},
};

/// Name of the init container that fetches a model.
pub const FETCHER: &str = "fetch-model";
/// The program in the server image that does.
const PROGRAM: &str = "/app/model-fetch";
/// Name of the volume with the model.
pub const VOLUME: &str = "model";
/// Where it is mounted.
const FOLDER: &str = "/model";
/// Where the files of Secrets are that only the fetcher reads.
const SECRETS: &str = "/app/secrets";
/// The key of a Secret with credentials of registries.
const DOCKER_CONFIG: &str = ".dockerconfigjson";
/// What of the server's environment the fetcher needs too: how to get out of the network, and whom to trust there.
const SHARED: [&str; 12] = [
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "MODEL_FETCH_LOG",
    "MODEL_FETCH_LOG_FORMAT",
];

/// What the pods have of a model that isn't the image's own.
#[derive(Default)]
pub(super) struct Delivered {
    /// Where the model is, to the server.
    pub path: Option<String>,
    /// The volume with the model, and those of Secrets for who fetches it.
    pub volumes: Vec<Volume>,
    /// How the server has the model.
    pub mount: Option<VolumeMount>,
    /// Names of Secrets by which the node pulls the model.
    pub pull_secrets: Vec<String>,
    /// Who fetches the model.
    pub fetcher: Option<Fetcher>,
    /// Whether the volume is lost with the pod, and nothing with it.
    pub is_expendable: bool,
    /// Whether the volume outlives the pods and is written to.
    pub is_kept: bool,
}

/// What the init container has that the server's has not.
pub(super) struct Fetcher {
    pub args: Vec<String>,
    pub env: Vec<EnvVar>,
    pub env_from: Vec<EnvFromSource>,
    pub mounts: Vec<VolumeMount>,
}

pub(super) fn deliver(service: &ValidatedService) -> Delivered {
    match &service.source {
        Source::Builtin => Delivered::default(),
        Source::Image(image) if image.is_fetched => fetched_image(service, image),
        Source::Image(image) => Delivered {
            path: Some(below(image.path.as_ref())),
            volumes: vec![Volume {
                image: Some(ImageVolumeSource {
                    reference: Some(image.reference.clone()),
                    pull_policy: Some(image.pull_policy.as_str().to_owned()),
                }),
                ..volume()
            }],
            mount: Some(mount(true)),
            pull_secrets: image.pull_secrets.clone(),
            ..Delivered::default()
        },
        Source::Claim(claim) => Delivered {
            path: Some(below(claim.path.as_ref())),
            volumes: vec![Volume { persistent_volume_claim: Some(of_claim(&claim.name, true)), ..volume() }],
            mount: Some(mount(true)),
            ..Delivered::default()
        },
        Source::Fetched(fetch) => fetched(service, fetch),
    }
}

/// The variables of the server's container.
pub(super) fn variables(service: &ValidatedService, delivered: &Delivered) -> [(&'static str, Option<String>); 2] {
    [("MLOPS_ONNX_MODEL_PATH", delivered.path.clone()), ("MLOPS_MODEL_DIGEST", service.digest.clone())]
}

/// The init container, of which the rest is as the server's is.
pub(super) fn init_container(service: &ValidatedService, fetcher: Fetcher, server: &Container) -> Container {
    let level = service.server.log_level.map(|level| plain("MODEL_FETCH_LOG", level.as_str()));
    // As the server logs in that profile.
    let format = (service.profile == Profile::Local).then(|| plain("MODEL_FETCH_LOG_FORMAT", "text"));
    let shared = service.env.iter().filter(|variable| SHARED.contains(&variable.name.as_str())).cloned();
    let mut env: Vec<EnvVar> = level.into_iter().chain(format).chain(fetcher.env).collect();
    for variable in shared {
        env.retain(|ours| ours.name != variable.name);
        env.push(variable);
    }
    Container {
        name: FETCHER.to_owned(),
        image: server.image.clone(),
        image_pull_policy: server.image_pull_policy.clone(),
        command: Some(vec![PROGRAM.to_owned()]),
        args: Some(fetcher.args),
        env: non_empty(env),
        env_from: non_empty(service.env_from.iter().cloned().chain(fetcher.env_from).collect()),
        // A pod takes what its most demanding init container or all others together take: this adds nothing.
        resources: server.resources.clone(),
        security_context: server.security_context.clone(),
        termination_message_policy: server.termination_message_policy.clone(),
        volume_mounts: Some(fetcher.mounts),
        ..Container::default()
    }
}

/// A source as arguments of the program, and the options that stand before it.
struct Arguments {
    source: Vec<String>,
    variant: Option<String>,
}

fn fetched(service: &ValidatedService, fetch: &Fetch) -> Delivered {
    let mut secrets = Secrets::default();
    let arguments = arguments(&fetch.origin);
    let mut options = Vec::new();
    match &fetch.origin {
        Origin::HuggingFace { token, .. } => secrets.env.extend(token.iter().map(|key| variable("HF_TOKEN", key))),
        Origin::S3 { credentials, .. } => {
            for (name, key, optional) in [
                ("AWS_ACCESS_KEY_ID", "accessKeyId", false),
                ("AWS_SECRET_ACCESS_KEY", "secretAccessKey", false),
                ("AWS_SESSION_TOKEN", "sessionToken", true),
            ] {
                secrets.env.extend(credentials.iter().map(|secret| reference(name, secret, key, optional)));
            }
        }
        Origin::Gcs { credentials, .. } => {
            if let Some(SecretKey { name, key }) = credentials {
                let folder = secrets.mount("model-credentials", name, Some((key, "key.json")));
                secrets.env.push(plain("GOOGLE_APPLICATION_CREDENTIALS", &format!("{folder}/key.json")));
            }
        }
        Origin::AzureBlob { credentials, .. } => {
            for (name, key) in [("AZURE_STORAGE_ACCOUNT_KEY", "accountKey"), ("AZURE_STORAGE_SAS_TOKEN", "sasToken")] {
                secrets.env.extend(credentials.iter().map(|secret| reference(name, secret, key, true)));
            }
            // Either key may be missing, but not the Secret: the pod would ask by an identity that nobody meant.
            secrets.env_from.extend(credentials.iter().map(|secret| EnvFromSource {
                secret_ref: Some(SecretEnvSource { name: secret.clone(), optional: Some(false) }),
                ..EnvFromSource::default()
            }));
        }
        Origin::Http { headers, .. } => {
            if let Some(secret) = headers {
                options.extend(["--headers".to_owned(), secrets.mount("model-headers", secret, None)]);
            }
        }
    }
    let model = match &fetch.cache {
        ModelCache::Pod => Volume { empty_dir: Some(EmptyDirVolumeSource::default()), ..volume() },
        ModelCache::Claim(name) => Volume { persistent_volume_claim: Some(of_claim(name, false)), ..volume() },
        ModelCache::Made { .. } => {
            let name = persistent_volume_claim::name(service);
            Volume { persistent_volume_claim: Some(of_claim(&name, false)), ..volume() }
        }
    };
    with_fetcher(service, model, arguments, options, secrets)
}

/// As the node would pull it, with the Secrets that the node would have used.
fn fetched_image(service: &ValidatedService, image: &ModelImage) -> Delivered {
    let mut secrets = Secrets::default();
    let mut source = vec!["oci".to_owned(), image.reference.clone()];
    source.extend(option("--path", image.path.as_ref()));
    let mut options = Vec::new();
    let names: BTreeSet<&String> = image.pull_secrets.iter().chain(&service.pull_secrets).collect();
    for (number, name) in names.into_iter().enumerate() {
        let folder = secrets.mount(&format!("model-registry-{number}"), name, Some((DOCKER_CONFIG, "config.json")));
        options.extend(["--docker-config".to_owned(), format!("{folder}/config.json")]);
    }
    let model = Volume { empty_dir: Some(EmptyDirVolumeSource::default()), ..volume() };
    with_fetcher(service, model, Arguments { source, variant: None }, options, secrets)
}

fn with_fetcher(
    service: &ValidatedService,
    model: Volume,
    arguments: Arguments,
    options: Vec<String>,
    secrets: Secrets,
) -> Delivered {
    let Arguments { source, variant } = arguments;
    // What is fetched decides, and not by whose leave: new credentials are no other model.
    let said = [service.digest.as_slice(), variant.as_slice(), source.as_slice()].concat().join("\n");
    let path = format!("{FOLDER}/{:016x}", fnv1a(said.as_bytes()));
    let mut args = vec!["--into".to_owned(), path.clone()];
    args.extend(option("--digest", service.digest.as_ref()));
    args.extend(option("--variant", variant.as_ref()));
    args.extend(source);
    args.extend(options);
    let config = service.config_map.iter().map(|_| super::volumes::config_mount());
    let mounts = [mount(false)].into_iter().chain(config).chain(secrets.mounts).collect();
    let is_kept = model.persistent_volume_claim.is_some();
    Delivered {
        path: Some(path),
        volumes: [model].into_iter().chain(secrets.folders.into_iter().map(|folder| folder.volume(service))).collect(),
        mount: Some(mount(true)),
        pull_secrets: Vec::new(),
        fetcher: Some(Fetcher { args, env: secrets.env, env_from: secrets.env_from, mounts }),
        is_expendable: !is_kept,
        is_kept,
    }
}

fn arguments(origin: &Origin) -> Arguments {
    let endpoint = origin.endpoint().map(|endpoint| &endpoint.url);
    let (source, variant) = match origin {
        Origin::HuggingFace { repository, revision, variant, .. } => {
            let source = [words(["huggingface", repository, "--revision", revision]), option("--endpoint", endpoint)];
            (source.concat(), variant)
        }
        Origin::S3 { bucket, path, region, variant, .. } => {
            let region = option("--region", region.as_ref());
            let options = [option("--path", path.as_ref()), region, option("--endpoint", endpoint)].concat();
            ([words(["s3", bucket]), options].concat(), variant)
        }
        Origin::Gcs { bucket, path, variant, .. } => {
            let options = [option("--path", path.as_ref()), option("--endpoint", endpoint)].concat();
            ([words(["gcs", bucket]), options].concat(), variant)
        }
        Origin::AzureBlob { account, container, path, variant, .. } => {
            let options = [option("--path", path.as_ref()), option("--endpoint", endpoint)].concat();
            ([words(["azure", account, container]), options].concat(), variant)
        }
        Origin::Http { url, sha256, .. } => {
            ([words(["http", url]), option("--sha256", sha256.as_ref())].concat(), &None)
        }
    };
    Arguments { source, variant: variant.clone() }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn option(name: &str, value: Option<&String>) -> Vec<String> {
    value.map(|value| vec![name.to_owned(), value.clone()]).unwrap_or_default()
}

/// Secrets of the fetcher, which the kubelet resolves.
#[derive(Default)]
struct Secrets {
    env: Vec<EnvVar>,
    env_from: Vec<EnvFromSource>,
    folders: Vec<Folder>,
    mounts: Vec<VolumeMount>,
}

/// A Secret that is mounted: a key of it under another name, or all of it.
struct Folder {
    volume: String,
    secret: String,
    file: Option<(String, String)>,
}

impl Secrets {
    /// Mounts a Secret, and returns where.
    fn mount(&mut self, volume: &str, secret: &str, file: Option<(&str, &str)>) -> String {
        let path = format!("{SECRETS}/{volume}");
        self.folders.push(Folder {
            volume: volume.to_owned(),
            secret: secret.to_owned(),
            file: file.map(|(key, name)| (key.to_owned(), name.to_owned())),
        });
        self.mounts.push(VolumeMount {
            name: volume.to_owned(),
            mount_path: path.clone(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
        path
    }
}

impl Folder {
    fn volume(self, service: &ValidatedService) -> Volume {
        let items = self.file.map(|(key, path)| vec![super::volumes::item(&key, &path)]);
        super::volumes::of_secret(service, &self.volume, &self.secret, items)
    }
}

fn variable(name: &str, key: &SecretKey) -> EnvVar {
    reference(name, &key.name, &key.key, false)
}

fn reference(name: &str, secret: &str, key: &str, optional: bool) -> EnvVar {
    let key = SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: Some(optional) };
    let value_from = EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(value_from) }
}

fn plain(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn below(path: Option<&String>) -> String {
    path.map_or_else(|| FOLDER.to_owned(), |path| format!("{FOLDER}/{path}"))
}

fn volume() -> Volume {
    Volume { name: VOLUME.to_owned(), ..Volume::default() }
}

fn of_claim(name: &str, read_only: bool) -> PersistentVolumeClaimVolumeSource {
    PersistentVolumeClaimVolumeSource { claim_name: name.to_owned(), read_only: read_only.then_some(true) }
}

fn mount(read_only: bool) -> VolumeMount {
    VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: FOLDER.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// Name of the volume, where a node may be emptied in spite of it.
pub(super) fn expendable(delivered: &Delivered) -> Option<&'static str> {
    delivered.is_expendable.then_some(VOLUME)
}
