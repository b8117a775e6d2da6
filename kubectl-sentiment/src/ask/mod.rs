//! Asks the servers of a service, through the API server's proxy: no port-forward, and no way into the cluster's network.

mod bench;
mod explain;
mod key;
mod predict;
mod trial;

use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::BodyExt;
use k8s_openapi::jiff::Timestamp;
use kube::client::Body;
use kubesentiment_operator::{
    api::{Protocol, SentimentService},
    validate::ValidatedService,
};
use serde_json::{Value, json};

pub use self::{
    bench::{Bench, run as bench},
    explain::{Explain, run as explain},
    key::KeyFlags,
    predict::{Predict, run as predict},
    trial::{Trial, run as trial},
};
use crate::{cluster::Cluster, error::Error, settings::Settings, status};

/// The header with the key.
const KEY_HEADER: &str = "x-api-key";

/// The servers of a service, and how they are asked.
pub struct Target<'a> {
    cluster: &'a Cluster,
    name: String,
    /// Up to the server's own path.
    proxy: String,
    key: Option<key::Key>,
}

/// An answer, and how long it took, the way to the API server and back included.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the server said.
    pub body: Value,
    /// From the question to the last byte.
    pub took: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of HTTP; 0 where there is none.
    pub status: u16,
    /// In whose words ever.
    pub sentence: String,
}

impl<'a> Target<'a> {
    /// The servers of this service. Nothing is asked of them yet.
    pub async fn new(cluster: &'a Cluster, name: &str, flags: &KeyFlags) -> Result<Self, Error> {
        let service = cluster.service(name).await?;
        let valid = Settings::default().validated(&service);
        let valid = valid.map_err(|sentence| Error::Invalid { place: format!("SentimentService {name}"), sentence })?;
        check(&service, &valid)?;
        let key = key::find(cluster, &valid, flags).await?;
        Ok(Self { cluster, name: name.to_owned(), proxy: proxy(&valid), key })
    }

    /// Asks with this body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, Refusal> {
        let mut request = Request::builder().method(Method::POST).uri(format!("{}{path}", self.proxy));
        request = request.header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header(KEY_HEADER, key.value());
        }
        let unsent = |error: &dyn std::fmt::Display| Refusal { status: 0, sentence: error.to_string() };
        let request = request.body(Body::from(body.to_string().into_bytes())).map_err(|error| unsent(&error))?;
        let begin = Instant::now();
        let answer = self.cluster.client.send(request).await.map_err(|error| unsent(&error))?;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.map_err(|error| unsent(&error))?.to_bytes();
        let took = begin.elapsed();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        if (200..300).contains(&status) { Ok(Answer { body, took }) } else { Err(refusal(status, &body)) }
    }

    /// A refusal as an error that says what to do, and how the service does where that explains it.
    pub async fn explained(&self, refusal: Refusal) -> Error {
        let Refusal { status, sentence } = refusal;
        let name = &self.name;
        let advice = match status {
            401 if self.key.is_none() => "give the key by --api-key-file or KUBESENTIMENT_API_KEY".to_owned(),
            401 => "the key isn't one of those that are in force".to_owned(),
            403 => format!(
                "ask for the right to create services/proxy, or use kubectl port-forward service/{name} 8000:http and curl"
            ),
            404 => "the server doesn't have this route: see spec.protocols, and whether its image is of this release"
                .to_owned(),
            0 | 500.. => match status::look(self.cluster, name, Timestamp::now()).await {
                Ok(report) => report.why,
                Err(_) => format!("see kubectl sentiment status {name}"),
            },
            _ => return Error::Answer(format!("{name} refuses it: {sentence}")),
        };
        Error::Answer(format!("{name} gives no answer: {sentence}; {advice}"))
    }
}

/// What keeps the proxy from asking such a service.
fn check(service: &SentimentService, valid: &ValidatedService) -> Result<(), Error> {
    let name = &valid.name;
    if valid.suspended || valid.replicas() == Some(0) {
        return Err(Error::Answer(format!(
            "{name} is suspended: nothing would answer until spec.suspend is false and spec.replicas isn't 0"
        )));
    }
    if valid.tls.as_ref().is_some_and(|tls| tls.client_authority.is_some()) {
        return Err(Error::Answer(format!(
            "{name} asks callers for a certificate (spec.tls.clientCASecretRef), which the API server's proxy can't show: use kubectl port-forward service/{name} 8000:http and curl --cert"
        )));
    }
    if !valid.protocols.is_empty() && !valid.protocols.contains(&Protocol::Native) {
        let spoken = json!(service.spec.protocols);
        return Err(Error::Answer(format!("{name} speaks {spoken} only: add native to spec.protocols")));
    }
    Ok(())
}

/// The path of the API server below which a service's server is.
fn proxy(valid: &ValidatedService) -> String {
    let scheme = if valid.tls.is_some() { "https:" } else { "" };
    let ValidatedService { name, namespace, path_prefix, .. } = valid;
    format!("/api/v1/namespaces/{namespace}/services/{scheme}{name}:http/proxy{path_prefix}")
}

/// The words of the server or, on the way to it, of the API server.
fn refusal(status: u16, body: &Value) -> Refusal {
    let text = |field: &str| body[field].as_str().filter(|text| !text.is_empty());
    let sentence = match (text("detail").or_else(|| text("error_message")), text("error_code"), text("message")) {
        (Some(words), Some(code), _) => format!("{words} ({code})"),
        (_, _, Some(message)) => message.to_owned(),
        _ => body
            .as_str()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| format!("status {status}")),
    };
    Refusal { status, sentence }
}

/// The value below which this share of the sorted ones is, by nearest rank.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are small"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// As people read it: `4.3 ms`.
fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests;
