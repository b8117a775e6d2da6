//! What the operator reports of a `SentimentService`.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The generation of a status that nobody has reported yet. kstatus takes an object whose observed generation isn't its
/// own for one in progress.
pub(super) const UNREPORTED: i64 = -1;

/// What was observed of the service. Written by the operator only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentimentServiceStatus {
    /// The `metadata.generation` that this status describes; -1 until the operator has seen the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = UNREPORTED))]
    pub observed_generation: Option<i64>,
    /// `Ready`: every replica of the current spec serves. `Available`: at least one replica
    /// serves, be it of an older spec. `Reconciling`: a change is under way. `Stalled`: nothing
    /// will improve until somebody acts; the message says on what. `Scaling`, with `autoscaling`: the
    /// autoscaler does its work. `Published`, with `route`: a Gateway has accepted each of its routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that pass their readiness probe.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Pods of the current spec.
    #[serde(default)]
    pub updated_replicas: i32,
    /// Pods that take traffic.
    #[serde(default)]
    pub available_replicas: i32,
    /// Label selector of the pods, for the scale subresource and `kubectl get pods -l`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Base URL of the service inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// URL of the service outside the cluster, from the first host name and the path of `route`. The
    /// scheme is a guess: `https` where `route` names port 443 or a listener whose name begins with `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
    /// The image that the pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The model that the pods serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelStatus>,
}

impl SentimentServiceStatus {
    /// Whether it is what a service has before any operator has seen it.
    #[must_use]
    pub fn is_unreported(&self) -> bool {
        self.observed_generation.is_none_or(|generation| generation == UNREPORTED)
    }
}

/// The model that the pods serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// Its name in predictions and metrics.
    pub name: String,
    /// Where it comes from, such as `builtin` or `huggingFace organisation/model@main`.
    pub source: String,
    /// How it comes to the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// What identifies the model beyond doubt, as a pod of the current spec has loaded it: `sha256:` and 64 digits.
    /// Absent until one has told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The ReplicaSet of the pod that was asked for `digest`. Another is asked when another takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_set: Option<String>,
}

/// How a model comes to the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Delivery {
    /// In the server image.
    Builtin,
    /// By the node, which pulls an OCI image and mounts it.
    ImageVolume,
    /// On a claim of the user's.
    Claim,
    /// By the init container `fetch-model`.
    Fetched,
}

/// The condition types of a `SentimentService`. They follow kstatus, so `kubectl wait`, Flux and
/// Argo CD understand them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// Every replica of the current spec serves.
    Ready,
    /// At least one replica serves, be it of an older spec.
    Available,
    /// A change is under way.
    Reconciling,
    /// Nothing will improve until somebody acts.
    Stalled,
    /// The autoscaler does its work.
    Scaling,
    /// A Gateway has accepted the route.
    Published,
}

impl ConditionType {
    /// The types that every service has, in the order in which the status lists them.
    pub const ALWAYS: [Self; 4] = [Self::Ready, Self::Available, Self::Reconciling, Self::Stalled];

    /// The types of parts that not every service has. They come last.
    pub const OF_PARTS: [Self; 2] = [Self::Scaling, Self::Published];

    /// The name as it stands in `status.conditions[].type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Available => "Available",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Scaling => "Scaling",
            Self::Published => "Published",
        }
    }
}

/// Why `Scaling` or `Published` is as it is: the closed set of their reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartReason {
    /// The autoscaler knows how many pods are right.
    Active,
    /// The autoscaler can't do its work.
    Inactive,
    /// A Gateway sends requests to the service.
    Accepted,
    /// A Gateway has looked at the route, and doesn't send requests to the service.
    Refused,
    /// No Gateway has looked at the route.
    NoGateway,
    /// The API of the route isn't there.
    DependencyMissing,
    /// It is too early to tell.
    Waiting,
}

impl PartReason {
    /// The name as it stands in `status.conditions[].reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
            Self::Accepted => "Accepted",
            Self::Refused => "Refused",
            Self::NoGateway => "NoGateway",
            Self::DependencyMissing => "DependencyMissing",
            Self::Waiting => "Waiting",
        }
    }
}

/// Why a service is in the state it is in: the closed set of condition reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Every replica of the current spec serves.
    Serving,
    /// Replicas of the current spec are being started.
    RollingOut,
    /// `spec.suspend` is true.
    Suspended,
    /// The spec breaks a rule.
    InvalidSpec,
    /// The API server refused a child, or another manager owns a field of it.
    ApplyFailed,
    /// A resource quota leaves no room.
    QuotaExceeded,
    /// No node takes a pod.
    Unschedulable,
    /// The kubelet can't get the image.
    ImagePullFailed,
    /// The model could not be fetched.
    ModelFetchFailed,
    /// The server could not load the model.
    ModelLoadFailed,
    /// The server ends again and again.
    CrashLooping,
    /// The server took more memory than its limit.
    OutOfMemory,
    /// Something that the spec refers to doesn't exist.
    DependencyMissing,
}

impl SentimentServiceStatus {
    /// A condition by type.
    #[must_use]
    pub fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_.as_str())
    }

    /// The reason of `Ready`.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        Reason::named(&self.condition(ConditionType::Ready)?.reason)
    }
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::Serving,
        Self::RollingOut,
        Self::Suspended,
        Self::InvalidSpec,
        Self::ApplyFailed,
        Self::QuotaExceeded,
        Self::Unschedulable,
        Self::ImagePullFailed,
        Self::ModelFetchFailed,
        Self::ModelLoadFailed,
        Self::CrashLooping,
        Self::OutOfMemory,
        Self::DependencyMissing,
    ];

    /// The name as it stands in `status.conditions[].reason` and in Events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "Serving",
            Self::RollingOut => "RollingOut",
            Self::Suspended => "Suspended",
            Self::InvalidSpec => "InvalidSpec",
            Self::ApplyFailed => "ApplyFailed",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::Unschedulable => "Unschedulable",
            Self::ImagePullFailed => "ImagePullFailed",
            Self::ModelFetchFailed => "ModelFetchFailed",
            Self::ModelLoadFailed => "ModelLoadFailed",
            Self::CrashLooping => "CrashLooping",
            Self::OutOfMemory => "OutOfMemory",
            Self::DependencyMissing => "DependencyMissing",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// Whether the cluster may get over it without anybody's help (a rollout goes on, an
    /// autoscaler adds a node), so that waiting makes sense.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::RollingOut | Self::Unschedulable | Self::QuotaExceeded)
    }

    /// Whether this is a state that was asked for, not a failure or a step towards one.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Serving | Self::Suspended)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
