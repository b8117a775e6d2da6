//! Settings of the server.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the server. What is left out keeps the server's own default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// How texts are grouped for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching: Option<Batching>,
    /// Inference threads. Default: the usable CPUs, which the server finds from its CPU limit; without one, the CPU
    /// request rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub threads: Option<i32>,
    /// Seconds after which a request is answered with an error. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub request_timeout: Option<i32>,
    /// The longest text that is accepted, in characters. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_text_length: Option<i32>,
    /// How much the server logs. Default: `info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// Origins that browsers may call from, such as `https://shop.example.com`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 255)))]
    #[x_kube(validation = Rule::new("self.all(origin, origin.matches('^https?://[^/*]+$'))").message(
        "an origin is a scheme and a host, such as https://shop.example.com: no path, and no '*'"
    ))]
    pub allowed_origins: Vec<String>,
    /// Seconds for which a stopping pod goes on serving, so that load balancers notice. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 600))]
    pub drain_seconds: Option<i32>,
}

/// How texts are grouped for the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batching {
    /// The most tokens in one run of the model, padding included. The server needs 16 at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 1_048_576))]
    pub max_batch_tokens: Option<i32>,
    /// The most texts in one run of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub max_batch_size: Option<i32>,
    /// Texts that can wait; more are refused with 503 and `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub queue_capacity: Option<i32>,
}

/// How much the server logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it all")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// The value of `MLOPS_LOG_LEVEL`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A protocol that the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The service's own.
    Native,
    /// The Open Inference Protocol over HTTP.
    Oip,
    /// Version 1 of KServe's.
    Kserve,
    /// That of text-embeddings-inference.
    Tei,
    /// That of vLLM's classification.
    Vllm,
    /// The Open Inference Protocol over gRPC.
    Grpc,
}

impl Protocol {
    /// The name in `MLOPS_PROTOCOLS`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Oip => "oip",
            Self::Kserve => "kserve",
            Self::Tei => "tei",
            Self::Vllm => "vllm",
            Self::Grpc => "grpc",
        }
    }
}
