//! The size of a claim: it grows by whoever asks for more, and never shrinks.

use serde_json::Value;

use crate::{api::Quantity, facts};

const STORAGE: &str = "/spec/resources/requests/storage";

/// The claim as it is to be written where there is one already. Who has made it larger, an administrator or a program
/// that does so when a volume fills up, is followed: the API server lets no claim shrink, and two would go on for ever.
pub(super) fn with_live_size(mut body: Value, live: Option<&facts::Claim>) -> Value {
    let storage = live.and_then(|live| live.storage.as_ref());
    if let Some(asked) = body.pointer_mut(STORAGE)
        && let Some(live) = storage.filter(|live| is_larger(live, asked))
    {
        *asked = Value::from(live.as_str());
    }
    body
}

fn is_larger(live: &Quantity, asked: &Value) -> bool {
    let asked = asked.as_str().map(|asked| Quantity::new(asked).nanos());
    matches!((live.nanos(), asked), (Ok(live), Some(Ok(asked))) if live > asked)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(asked: &str, live: Option<&str>) -> Value {
        let live = facts::Claim { storage: live.map(Quantity::new) };
        let body = json!({"spec": {"resources": {"requests": {"storage": asked}}}});
        with_live_size(body, Some(&live)).pointer(STORAGE).cloned().unwrap()
    }

    #[test]
    fn a_claim_that_somebody_made_larger_stays_as_large() {
        assert_eq!(written("5Gi", Some("10Gi")), "10Gi");
        assert_eq!(written("5Gi", Some("5120Mi")), "5Gi", "as much in other words");
        assert_eq!(written("20Gi", Some("10Gi")), "20Gi", "the spec asks for more");
        assert_eq!(written("5Gi", None), "5Gi");
        assert_eq!(written("5Gi", Some("much")), "5Gi");
        let body = json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}});
        assert_eq!(with_live_size(body.clone(), None), body);
    }
}
