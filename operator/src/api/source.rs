//! Where a model comes from.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{EndpointUrl, PullPolicy, PullSecret, SecretKeyRef};

/// A path below a folder, a bucket or the root of a volume: no part of it begins with a dot.
const PATH: &str = r"^\w[\w.=+@-]*(/\w[\w.=+@-]*)*/?$";
/// A name of Kubernetes'.
const NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// Where a model comes from: exactly one of its fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.builtin), has(self.image), has(self.persistentVolumeClaim), has(self.huggingFace), has(self.s3), has(self.gcs), has(self.azureBlob), has(self.http)].filter(is, is).size() == 1"
).message(
    "set exactly one model source: builtin: {}, image, persistentVolumeClaim, huggingFace, s3, gcs, azureBlob or http"
))]
pub struct ModelSource {
    /// The model that the server image carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<Builtin>,
    /// An OCI image or artifact that holds the model's files. The node pulls and keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ModelImage>,
    /// A claim of the same namespace that holds the model's files. It is only read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ModelClaim>,
    /// A repository of the Hugging Face Hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugging_face: Option<HuggingFace>,
    /// A bucket of S3, or of a server that speaks its API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// A bucket of Google Cloud Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcs: Option<Gcs>,
    /// A container of Azure Blob Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_blob: Option<AzureBlob>,
    /// An archive or a file behind a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,
}

/// The model that the server image carries. It has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Builtin {}

/// An OCI image or artifact that holds a model's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelImage {
    /// Its name with tag or digest, such as `registry.example.com/models/reviews:3`. With a digest it can't change.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[a-zA-Z0-9]([a-zA-Z0-9._:/@-]*[a-zA-Z0-9])?$"))]
    pub reference: String,
    /// The folder in it. Default: its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = PATH))]
    pub path: Option<String>,
    /// When the kubelet pulls. Default: `IfNotPresent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Secrets of type `kubernetes.io/dockerconfigjson` in the same namespace, beside those of `image`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pull_secrets: Vec<PullSecret>,
}

/// A claim that holds a model's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelClaim {
    /// Name of the `PersistentVolumeClaim`.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub claim_name: String,
    /// The folder in it. Default: its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = PATH))]
    pub path: Option<String>,
}

/// A repository of the Hugging Face Hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HuggingFace {
    /// Its name, such as `organisation/model`.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^\w[\w.-]*(/\w[\w.-]*)?$"))]
    pub repository: String,
    /// A commit, a branch or a tag. Only a commit can't change. Default: `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^\w[\w.-]*(/\w[\w.-]*)*$"))]
    pub revision: Option<String>,
    /// Which ONNX file: its name, its path, or `fp32`, `fp16` or `int8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = PATH))]
    pub variant: Option<String>,
    /// The access token, in a Secret of the same namespace. Default key: `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// Another server that speaks its API, such as `https://hub.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointUrl>,
}

/// A folder of a bucket of S3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// Name of the bucket.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub bucket: String,
    /// The folder in it. Default: its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = PATH))]
    pub path: Option<String>,
    /// The region of the bucket. Default: `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"))]
    pub region: Option<String>,
    /// Another server that speaks its API, such as `https://minio.storage.svc:9000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointUrl>,
    /// Which ONNX file: its name, its path, or `fp32`, `fp16` or `int8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = PATH))]
    pub variant: Option<String>,
    /// A Secret with `accessKeyId`, `secretAccessKey` and perhaps `sessionToken`. Default: the pod's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,
}

/// A folder of a bucket of Google Cloud Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gcs {
    /// Name of the bucket.
    #[schemars(length(min = 3, max = 222), regex(pattern = r"^[a-z0-9][a-z0-9._-]*$"))]
    pub bucket: String,
    /// The folder in it. Default: its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = PATH))]
    pub path: Option<String>,
    /// Another server that speaks its API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointUrl>,
    /// Which ONNX file: its name, its path, or `fp32`, `fp16` or `int8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = PATH))]
    pub variant: Option<String>,
    /// The JSON key of a service account. Default key: `key.json`. Default: the pod's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretKeyRef>,
}

/// A folder of a container of Azure Blob Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureBlob {
    /// Name of the storage account.
    #[schemars(length(min = 3, max = 24), regex(pattern = r"^[a-z0-9]+$"))]
    pub account: String,
    /// Name of the container.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9-]*$"))]
    pub container: String,
    /// The folder in it. Default: its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = PATH))]
    pub path: Option<String>,
    /// Another server that speaks its API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointUrl>,
    /// Which ONNX file: its name, its path, or `fp32`, `fp16` or `int8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = PATH))]
    pub variant: Option<String>,
    /// A Secret with `accountKey` or `sasToken`. Default: the pod's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,
}

/// An archive or a file behind a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpSource {
    /// Where it is: a `.tar`, `.tar.gz`, `.tgz`, `.tar.zst` or `.zip`.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(
        r"self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?(/[-A-Za-z0-9._~%!$&*+,;=:@/]*)?([?][-A-Za-z0-9._~%!$&*+,;=:@/?]*)?$')"
    ).message(
        "http.url is a URL of HTTP, such as https://models.example.com/reviews.tar.gz: no user and no '#'; what is secret belongs in headersSecretRef"
    ))]
    pub url: String,
    /// The SHA-256 of what the URL answers with, in 64 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// A Secret of which each key is a header of the request, such as `authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_secret_ref: Option<SecretRef>,
}

/// A Secret of the same namespace. The kubelet reads it; the operator never does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
}
