//! Why a spec can't be built, and what to do about it.

use thiserror::Error;

use crate::{
    api::{InvalidQuantity, Quantity},
    image::InvalidImage,
};

/// Why a spec can't be built.
#[derive(Debug, Error, PartialEq)]
pub enum Invalid {
    /// The object has no uid or namespace: it never came from an API server.
    #[error("metadata.{0} is missing")]
    Metadata(&'static str),
    /// The name is no DNS label.
    #[error(
        "metadata.name \"{0}\" can't be the name of a Service: use at most 63 lower case letters, digits and '-', and begin with a letter"
    )]
    Name(String),
    /// A number is out of its range.
    #[error("spec.{field} is {value}; set it to a number from {min} to {max}")]
    OutOfRange {
        /// Path below `spec`.
        field: &'static str,
        /// What it is.
        value: i32,
        /// Smallest value that is allowed.
        min: i32,
        /// Largest value that is allowed.
        max: i32,
    },
    /// Not exactly one model source is set.
    #[error(
        "spec.model.source: set exactly one source: builtin: {{}}, image, persistentVolumeClaim, huggingFace, s3, gcs, azureBlob or http"
    )]
    ModelSource,
    /// An image that can't be named.
    #[error(
        "spec.model.source.image.reference \"{0}\" names no image: write one such as registry.example.com/models/reviews:3"
    )]
    ModelReference(String),
    /// A path that leads elsewhere, or that is no path.
    #[error(
        "spec.{field} \"{path}\" can't be used: write letters, digits and '/', and begin each part with a letter, a digit or '_'"
    )]
    ModelPath {
        /// Path below `spec`.
        field: &'static str,
        /// What it is.
        path: String,
    },
    /// A server where nodes and clouds hand out their secrets.
    #[error(
        "spec.model.source names {0}, an address at which nodes and clouds hand out credentials: name a server that has models"
    )]
    LinkLocal(String),
    /// A server that the operator's settings leave out.
    #[error(
        "spec.model.source names {host}, and this operator lets models come from {allowed} only: use one of these, or have it added to the operator's --model-hosts"
    )]
    HostNotAllowed {
        /// The server.
        host: String,
        /// What is allowed.
        allowed: String,
    },
    /// No digest.
    #[error(
        "spec.model.digest \"{0}\" is no digest: write sha256: and 64 digits, as sentiment-server model digest prints it"
    )]
    ModelDigest(String),
    /// No SHA-256.
    #[error("spec.model.source.http.sha256 \"{0}\" is no SHA-256: write its 64 digits, as sha256sum prints them")]
    Sha256(String),
    /// A cache of what isn't fetched.
    #[error(
        "spec.model.cache keeps what is fetched, and this source isn't: leave it out, or use huggingFace, s3, gcs, azureBlob or http"
    )]
    CacheOfNothing,
    /// Not exactly one volume for the cache.
    #[error("spec.model.cache: set claimName, for a claim of yours, or size, for one that is made: one of the two")]
    CacheVolume,
    /// Settings of a claim that isn't made.
    #[error(
        "spec.model.cache.storageClassName and accessMode are of a claim that is made: leave them out beside claimName"
    )]
    CacheSettings,
    /// A size that can't be read.
    #[error("spec.model.cache.size: {0}")]
    CacheSize(InvalidQuantity),
    /// A claim of no size.
    #[error("spec.model.cache.size is 0: write how much the models take, such as 2Gi")]
    EmptyCache,
    /// The image can't be named.
    #[error("spec.image: {0}")]
    Image(#[from] InvalidImage),
    /// A quantity can't be read.
    #[error("spec.resources.{list}.{name}: {source}")]
    Quantity {
        /// `requests` or `limits`.
        list: &'static str,
        /// Resource name.
        name: String,
        /// What is wrong with it.
        source: InvalidQuantity,
    },
    /// A request is larger than its limit.
    #[error(
        "spec.resources.requests.{name} {request} exceeds spec.resources.limits.{name} {limit}: lower the request or raise the limit"
    )]
    RequestOverLimit {
        /// Resource name.
        name: String,
        /// The request.
        request: Quantity,
        /// The limit.
        limit: Quantity,
    },
    /// A label would collide with the operator's own.
    #[error("spec.{field}: {key} is the operator's own label: choose another key")]
    ReservedLabel {
        /// Path below `spec`.
        field: &'static str,
        /// Key of the label.
        key: String,
    },
    /// More labels or annotations than an object should carry.
    #[error("spec.{field} has more than {most} entries: remove some")]
    TooMany {
        /// Path below `spec`.
        field: &'static str,
        /// The most that are allowed.
        most: usize,
    },
    /// No key of a label or annotation is that long.
    #[error("spec.{field} has a key of more than {most} characters: shorten it")]
    LongKey {
        /// Path below `spec`.
        field: &'static str,
        /// The most characters.
        most: usize,
    },
    /// The value of a label or annotation is too long.
    #[error("spec.{field}: the value of {key} has more than {most} characters: shorten it")]
    LongValue {
        /// Path below `spec`.
        field: &'static str,
        /// Its key.
        key: String,
        /// The most characters.
        most: usize,
    },
    /// Annotations take too much together.
    #[error("spec.{field} takes more than {most} characters together: keep what is long in a ConfigMap")]
    TooMuch {
        /// Path below `spec`.
        field: &'static str,
        /// The most characters.
        most: usize,
    },
    /// An environment variable is listed twice.
    #[error("spec.env lists {0} twice: keep one")]
    DuplicateEnv(String),
    /// An origin isn't one.
    #[error(
        "spec.server.allowedOrigins: \"{0}\" is not an origin: write a scheme and a host, such as https://shop.example.com, without a path and without '*'"
    )]
    Origin(String),
    /// Both ways to say how many pods run.
    #[error("spec.replicas and spec.autoscaling are both set: remove one of them")]
    TwoScales,
    /// The bounds of the autoscaler contradict each other.
    #[error("spec.autoscaling.minReplicas {min} exceeds maxReplicas {max}: lower the one or raise the other")]
    InvertedBounds {
        /// `minReplicas`.
        min: i32,
        /// `maxReplicas`.
        max: i32,
    },
    /// Neither or both ways to autoscale.
    #[error(
        "spec.autoscaling: set exactly one of maxReplicas, for an autoscaler of the operator's, and external, where something else chooses the number of pods"
    )]
    AutoscalerOrExternal,
    /// Settings of an autoscaler that there isn't.
    #[error(
        "spec.autoscaling.external leaves the number of pods to something else: leave minReplicas, the targets, metrics and behavior out, and set them there"
    )]
    ExternalSettings,
    /// Nothing would bring the pods back.
    #[error(
        "spec.autoscaling.minReplicas is 0, and there may be no pod left to measure: add a metric of type External or Object, or set it to 1"
    )]
    NothingToMeasure,
    /// Neither a pod more nor a pod less.
    #[error("spec.rollout: maxSurge and maxUnavailable are both 0, so that no rollout could ever begin: raise one")]
    NoRollout,
    /// A bound of a rollout is no number of pods.
    #[error(
        "spec.rollout.{field}: \"{amount}\" is neither a number of pods from 0 to 1000, nor a percentage from 0% to 100%, such as 25%"
    )]
    RolloutAmount {
        /// `maxSurge` or `maxUnavailable`.
        field: &'static str,
        /// What it is.
        amount: String,
    },
    /// Not exactly one bound of the budget is set.
    #[error("spec.disruptionBudget: set exactly one of minAvailable and maxUnavailable")]
    BudgetBounds,
    /// A bound of the budget is no number of pods.
    #[error("spec.disruptionBudget: \"{0}\" is neither a number of pods, such as 1, nor a percentage, such as 50%")]
    BudgetAmount(String),
    /// A peer says too much or nothing.
    #[error(
        "spec.networkPolicy.{list}[{index}]: set an ipBlock, or a podSelector, a namespaceSelector, or the last two together"
    )]
    Peer {
        /// `ingressFrom`, `egressTo` or `dnsTo`.
        list: &'static str,
        /// Place in the list.
        index: usize,
    },
    /// One class alone.
    #[error("spec.model.labels names a single class: name every class of the model by index, or leave it out")]
    SingleLabel,
    /// Not a probability below 1.
    #[error("spec.model.neutralBand is {0}: set it to a number from 0 to below 1")]
    NeutralBand(f64),
    /// A parent of the route is no Gateway.
    #[error(
        "spec.route.parentRefs[{index}] is no Gateway: leave group and kind out, or set gateway.networking.k8s.io and Gateway"
    )]
    Parent {
        /// Place in the list.
        index: usize,
    },
    /// A variable that would move the server away from its probes.
    #[error("spec.env: {0} is the operator's: set spec.service.port for another port of the Service")]
    OwnVariable(String),
    /// A variable that moves the probes, from where the operator doesn't look.
    #[error("spec.env: MLOPS_DEBUG moves the paths that the probes ask: give it a value, not a valueFrom")]
    HiddenDebug,
    /// A variable beside the field for the same.
    #[error("spec.env: {variable} and spec.{field} are both set: keep one")]
    SetTwice {
        /// Name of the variable.
        variable: String,
        /// Path of the field below `spec`.
        field: &'static str,
    },
    /// A key that the pods would do without.
    #[error(
        "spec.env: MLOPS_API_KEY is optional, and without its Secret the pods would serve everybody: remove optional"
    )]
    OptionalKey,
    /// One port for two.
    #[error("spec.service.grpcPort is {0}, which is the port of the Service for HTTP: give gRPC another")]
    SamePort(i32),
    /// A route to what isn't served.
    #[error(
        "spec.route.grpc publishes gRPC, which isn't served: add grpc to spec.protocols, or remove spec.route.grpc"
    )]
    RouteOfNothing,
    /// A limit has a name that no key can have.
    #[error(
        "spec.auth.limits: \"{0}\" can't be the name of a key: use up to 63 letters, digits, '-', '_' and '.', or '*'"
    )]
    LimitName(String),
    /// Two limits for one key.
    #[error("spec.auth.limits lists {0} twice: keep one")]
    DuplicateLimit(String),
    /// A limit without a number.
    #[error("spec.auth.limits: that of {0} limits nothing: set requestsPerSecond, concurrency or both")]
    NoLimit(String),
    /// A burst of no rate.
    #[error("spec.auth.limits: that of {0} has a burst and no requestsPerSecond: set both, or leave burst out")]
    BurstOfNothing(String),
    /// A URL that can't be called.
    #[error(
        "spec.{field}: \"{url}\" is no URL that can be called: write a scheme and a host, such as https://records.example.com/sentiment, without a user and without '#'"
    )]
    Url {
        /// Path below `spec`.
        field: &'static str,
        /// What it is.
        url: String,
    },
    /// Records that go nowhere.
    #[error("spec.inferenceLog leads nowhere: set url, stdout or both")]
    LogNowhere,
    /// Headers of requests that aren't made.
    #[error("spec.inferenceLog.headersSecretRef has the headers of requests to url: set url, or leave it out")]
    HeadersOfNothing,
    /// An authority for a certificate that there isn't.
    #[error("spec.inferenceLog.caSecretRef has the authority of an https url: set such a url, or leave it out")]
    AuthorityOfNothing,
    /// Not a share.
    #[error("spec.inferenceLog.sampleRatio is {0}: set it to a number from 0 to 1")]
    SampleRatio(f64),
}
