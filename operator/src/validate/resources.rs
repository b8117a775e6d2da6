//! Requests and limits, defaults included.

use super::Invalid;
use crate::api::{Quantity, QuantityMap, Resources};

/// Request and limit by resource name, from the predecessor's deployment guide.
const DEFAULT_RESOURCES: [(&str, &str, &str); 2] = [("cpu", "250m", "500m"), ("memory", "512Mi", "1Gi")];

/// Fills in requests and limits. A default gives way to what was set: it's lowered to a given
/// limit, or raised to a given request, so that the two never contradict each other.
pub(super) fn resources(spec: Option<&Resources>) -> Result<(QuantityMap, QuantityMap), Invalid> {
    let Resources { mut requests, mut limits } = spec.cloned().unwrap_or_default();
    for (list, map) in [("requests", &requests), ("limits", &limits)] {
        for (name, quantity) in map {
            quantity.nanos().map_err(|source| Invalid::Quantity { list, name: name.clone(), source })?;
        }
    }
    // Every given quantity parses by now, so an order always exists.
    let exceeds = |a: &Quantity, b: &Quantity| a.nanos().ok() > b.nanos().ok();
    for (name, request) in &requests {
        if let Some(limit) = limits.get(name).filter(|limit| exceeds(request, limit)) {
            return Err(Invalid::RequestOverLimit {
                name: name.clone(),
                request: request.clone(),
                limit: limit.clone(),
            });
        }
    }
    for (name, request, limit) in DEFAULT_RESOURCES {
        let (mut request, mut limit) = (Quantity::new(request), Quantity::new(limit));
        if let Some(given) = limits.get(name).filter(|given| exceeds(&request, given)) {
            request = given.clone();
        }
        if let Some(given) = requests.get(name).filter(|given| exceeds(given, &limit)) {
            limit = given.clone();
        }
        requests.entry(name.to_owned()).or_insert(request);
        limits.entry(name.to_owned()).or_insert(limit);
    }
    Ok((requests, limits))
}
