//! Requests and limits, defaults included, and the threads that follow from them.

use k8s_openapi::api::core::v1::EnvVar;

use super::Invalid;
use crate::api::{Quantity, QuantityMap, Resources, Server};

/// Request and limit by resource name, from the predecessor's deployment guide.
const DEFAULT_RESOURCES: [(&str, &str, &str); 2] = [("cpu", "250m", "500m"), ("memory", "512Mi", "1Gi")];
/// Billionths in one CPU.
const NANOS: i128 = 1_000_000_000;
/// The most threads that the server takes.
const MOST_THREADS: i128 = 256;
/// Variables that tell the server how many threads to run.
const THREADS: [&str; 2] = ["MLOPS_THREADS", "MLOPS_ONNX_INTRA_OP_NUM_THREADS"];

/// Fills in requests and limits. A map that was given stands as it is written. The default of the other one gives way
/// to it: it's lowered to a given limit, or raised to a given request, so that the two never contradict each other.
pub(super) fn resources(spec: Option<&Resources>) -> Result<(QuantityMap, QuantityMap), Invalid> {
    let Resources { requests, limits } = spec.cloned().unwrap_or_default();
    for (list, map) in [("requests", &requests), ("limits", &limits)] {
        for (name, quantity) in map.iter().flatten() {
            quantity.nanos().map_err(|source| Invalid::Quantity { list, name: name.clone(), source })?;
        }
    }
    // Every given quantity parses by now, so an order always exists.
    let exceeds = |a: &Quantity, b: &Quantity| a.nanos().ok() > b.nanos().ok();
    for (name, request) in requests.iter().flatten() {
        let limit = limits.as_ref().and_then(|limits| limits.get(name));
        if let Some(limit) = limit.filter(|limit| exceeds(request, limit)) {
            return Err(Invalid::RequestOverLimit {
                name: name.clone(),
                request: request.clone(),
                limit: limit.clone(),
            });
        }
    }
    let default_requests = || {
        let each = DEFAULT_RESOURCES.into_iter().map(|(name, request, _)| {
            let request = Quantity::new(request);
            let limit = limits.as_ref().and_then(|limits| limits.get(name));
            (name.to_owned(), limit.filter(|limit| exceeds(&request, limit)).cloned().unwrap_or(request))
        });
        each.collect()
    };
    let default_limits = || {
        let each = DEFAULT_RESOURCES.into_iter().map(|(name, _, limit)| {
            let limit = Quantity::new(limit);
            let request = requests.as_ref().and_then(|requests| requests.get(name));
            (name.to_owned(), request.filter(|request| exceeds(request, &limit)).cloned().unwrap_or(limit))
        });
        each.collect()
    };
    Ok((requests.clone().unwrap_or_else(default_requests), limits.clone().unwrap_or_else(default_limits)))
}

/// The threads that the server is told to run, where it can't find the number itself: without a CPU limit it sees the
/// whole node.
pub(super) fn threads(server: &Server, env: &[EnvVar], requests: &QuantityMap, limits: &QuantityMap) -> Option<i32> {
    let told = env.iter().any(|variable| THREADS.contains(&variable.name.as_str()));
    // A limit of 0 is none to the kubelet.
    if server.threads.is_some() || told || nanos(limits) > 0 {
        return server.threads;
    }
    let whole = (nanos(requests) + NANOS - 1) / NANOS;
    i32::try_from(whole.clamp(1, MOST_THREADS)).ok()
}

fn nanos(map: &QuantityMap) -> i128 {
    map.get("cpu").and_then(|quantity| quantity.nanos().ok()).unwrap_or(0)
}
