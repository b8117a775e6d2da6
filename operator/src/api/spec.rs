//! What a user asks for. `spec: {}` is a working, hardened service.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Auth, Autoscaling, Cache, ConfigMapRef, DisruptionBudget, Image, InferenceLog, Model, Monitoring, NetworkPolicy,
    PodMetadata, Probes, Protocol, Resources, Rollout, Route, Scheduling, Security, SentimentServiceStatus, Server,
    Service, Tls,
};

/// A sentiment analysis service: texts go in over HTTP, labels and scores come out.
/// `spec: {}` is a working, hardened service of two replicas; every field refines it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))").message(
    "set replicas or autoscaling, not both: with autoscaling, the number of pods is another's to choose"
))]
#[x_kube(validation = Rule::new(
    "!has(self.auth) || !has(self.env) || self.env.all(variable, !(variable.name in ['MLOPS_API_KEY', 'MLOPS_API_KEY_FILE']))"
).message("set auth.apiKeySecretRef or MLOPS_API_KEY in env, not both: the variable would take the Secret's place"))]
#[x_kube(validation = Rule::new(
    "!has(self.cache) || !has(self.cache.redis) || !has(self.cache.redis.passwordSecretRef) || !has(self.env) || self.env.all(variable, !(variable.name in ['MLOPS_REDIS_PASSWORD', 'MLOPS_REDIS_PASSWORD_FILE']))"
).message("set cache.redis.passwordSecretRef or MLOPS_REDIS_PASSWORD in env, not both: the variable would take the Secret's place"))]
#[x_kube(validation = Rule::new(
    "!has(self.model) || !has(self.model.source) || has(self.model.source.builtin) || !has(self.env) || self.env.all(variable, variable.name != 'MLOPS_ONNX_MODEL_PATH')"
).message("set model.source or MLOPS_ONNX_MODEL_PATH in env, not both: the variable would take the source's place"))]
#[x_kube(validation = Rule::new(
    "!has(self.model) || !has(self.model.digest) || !has(self.env) || self.env.all(variable, variable.name != 'MLOPS_MODEL_DIGEST')"
).message("set model.digest or MLOPS_MODEL_DIGEST in env, not both: the variable would take the field's place"))]
#[x_kube(validation = Rule::new(
    "!has(self.route) || !has(self.route.grpc) || !has(self.protocols) || 'grpc' in self.protocols"
).message("route.grpc publishes gRPC, which isn't served: add grpc to protocols, or leave route.grpc out"))]
#[kube(
    group = "kubesentiment.io",
    version = "v1alpha1",
    kind = "SentimentService",
    plural = "sentimentservices",
    shortname = "ssvc",
    category = "all",
    namespaced,
    status = "SentimentServiceStatus",
    doc = "A sentiment analysis service: texts go in over HTTP, labels and scores come out. `spec: {}` is a working, hardened service; every field refines it.",
    derive = "PartialEq",
    derive = "Default",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether every replica of the current spec serves"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why the service is in this state"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.replicas",
        description = "Pods that exist"
    ),
    printcolumn(
        name = "Available",
        type_ = "integer",
        json_path = ".status.availableReplicas",
        description = "Pods that take traffic"
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        json_path = ".status.url",
        description = "Base URL inside the cluster"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since creation"
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".status.image",
        description = "The image that the pods run",
        priority = 1
    ),
    printcolumn(
        name = "Model",
        type_ = "string",
        json_path = ".status.model.name",
        description = "The model that the pods serve",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        description = "The cause, in the failing part's own words",
        priority = 1
    ),
    validation = Rule::new(r"self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')").message(
        "metadata.name becomes the name of the Service: use at most 63 lower case letters, digits and '-', and begin with a letter"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SentimentServiceSpec {
    /// The server image. Default: the server image of the operator's own release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Sets the server's defaults for a kind of environment; becomes `MLOPS_PROFILE`.
    #[serde(default)]
    pub profile: Profile,
    /// The model to serve. Default: the model that the image carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// How many pods serve. Default: 2, so that the loss of a node or a rollout interrupts nobody.
    /// Not together with `autoscaling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// Lets the number of pods follow the load, in place of `replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// How a rollout goes. Default: a pod more comes first, and none goes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// CPU and memory of each pod. Default: requests of 250m and 512Mi, limits of 500m and 1Gi.
    /// Requests or limits that you give stand as they are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Settings of the server: batching, threads, limits, logs, and how it stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// What the server speaks. Default: all of it. Without `grpc`, port 8001 is closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 6))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub protocols: Vec<Protocol>,
    /// TLS between callers and pods. Default: none; a Gateway in front may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The response cache. Default: 1000 answers in each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Who may call. Default: everybody who reaches the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// A record of each answer. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_log: Option<InferenceLog>,
    /// Changes to the timing of the probes. Their paths are the server's own and stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// Environment variables of the server container, added to those that the operator sets. One
    /// of the same name as the operator's wins, but for the ports and the address that the probes need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(variable, !(variable.name in ['MLOPS_PORT', 'MLOPS_GRPC_PORT', 'MLOPS_MANAGEMENT_PORT', 'MLOPS_HOST']))").message(
            "MLOPS_PORT, MLOPS_GRPC_PORT, MLOPS_MANAGEMENT_PORT and MLOPS_HOST are the operator's: the Service and the probes expect ports 8000, 8001 and 8081 on every address; set service.port for another port of the Service"
        ),
        validation = Rule::new("self.all(variable, variable.name != 'MLOPS_DEBUG' || !has(variable.valueFrom))").message(
            "MLOPS_DEBUG moves the paths that the probes ask, so the operator must know it: give it a value, not a valueFrom"
        ),
        validation = Rule::new(
            "self.all(variable, variable.name != 'MLOPS_API_KEY' || !has(variable.valueFrom) || !((has(variable.valueFrom.secretKeyRef) && has(variable.valueFrom.secretKeyRef.optional) && variable.valueFrom.secretKeyRef.optional) || (has(variable.valueFrom.configMapKeyRef) && has(variable.valueFrom.configMapKeyRef.optional) && variable.valueFrom.configMapKeyRef.optional)))"
        ).message(
            "MLOPS_API_KEY must not be optional: without its Secret the pods would serve everybody"
        )
    )]
    pub env: Vec<EnvVar>,
    /// ConfigMaps and Secrets whose keys become environment variables, as in
    /// `container.envFrom`. One in `env` wins, and one that the operator sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub env_from: Vec<EnvFromSource>,
    /// A ConfigMap with the server's settings as YAML files, mounted at `/app/config`. A change of
    /// it rolls the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapRef>,
    /// The Service in front of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Publishes the service through a Gateway, where the Gateway API is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// Which traffic the pods take part in. Default: ports 8000, 8001 and 8081 in, and DNS out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
    /// How many pods a drain of nodes may take at a time. Default: one, where more than one can run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption_budget: Option<DisruptionBudget>,
    /// Lets Prometheus scrape the pods, where the Prometheus Operator is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// As whom the pods run. Default: as user and group 65532.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// Where the pods run. Default: spread over hosts where that is possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// A ServiceAccount of your own for the pods. Default: one of the service's name, which is made.
    /// No token of it is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,
    /// Labels and annotations for the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_metadata: Option<PodMetadata>,
    /// Scales to zero pods and keeps everything else, until it is false again.
    #[serde(default)]
    pub suspend: bool,
}

/// The kind of environment that a service runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names say it all")]
pub enum Profile {
    Local,
    Development,
    Staging,
    #[default]
    Production,
}

impl Profile {
    /// The value of `MLOPS_PROFILE`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}
