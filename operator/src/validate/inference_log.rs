//! The record of answers, defaults included.

use super::{Endpoint, Invalid, SecretKey, in_range};
use crate::api;

/// Where a record of each answer goes.
#[derive(Clone, Debug, PartialEq)]
pub struct InferenceLog {
    /// Where it is sent.
    pub endpoint: Option<Endpoint>,
    /// Whether it is written to the standard output.
    pub stdout: bool,
    /// The share of answers that is recorded, where that was given.
    pub sample_ratio: Option<f64>,
    /// Whether it has the text.
    pub text: bool,
    /// Records that may wait, where that was given.
    pub capacity: Option<i32>,
    /// The headers of each request.
    pub headers: Option<SecretKey>,
    /// The authority of the endpoint's certificate.
    pub authority: Option<SecretKey>,
}

pub(super) fn inference_log(spec: &api::InferenceLog) -> Result<InferenceLog, Invalid> {
    let parse =
        |url: &String| Endpoint::parse(url).ok_or_else(|| Invalid::Url { field: "inferenceLog.url", url: url.clone() });
    let endpoint = spec.url.as_ref().map(parse).transpose()?;
    if endpoint.is_none() && !spec.stdout {
        return Err(Invalid::LogNowhere);
    }
    if spec.headers_secret_ref.is_some() && endpoint.is_none() {
        return Err(Invalid::HeadersOfNothing);
    }
    if spec.ca_secret_ref.is_some() && !endpoint.as_ref().is_some_and(|endpoint| endpoint.tls) {
        return Err(Invalid::AuthorityOfNothing);
    }
    if let Some(ratio) = spec.sample_ratio.filter(|ratio| !(0.0..=1.0).contains(ratio)) {
        return Err(Invalid::SampleRatio(ratio));
    }
    if let Some(capacity) = spec.capacity {
        in_range("inferenceLog.capacity", capacity, 1, 1_000_000)?;
    }
    Ok(InferenceLog {
        endpoint,
        stdout: spec.stdout,
        sample_ratio: spec.sample_ratio,
        text: spec.include_text,
        capacity: spec.capacity,
        headers: spec.headers_secret_ref.as_ref().map(|reference| SecretKey::new(reference, "headers")),
        authority: spec.ca_secret_ref.as_ref().map(|reference| SecretKey::new(reference, "ca.crt")),
    })
}
