//! `traceparent`, as <https://www.w3.org/TR/trace-context/> has it.

use std::fmt;

use axum::http::{HeaderMap, HeaderName};

/// Header in which a caller passes its context on.
pub const PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Header in which tracing systems pass on what is their own.
pub const STATE: HeaderName = HeaderName::from_static("tracestate");

/// Where a request is in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace; never 0.
    pub trace_id: u128,
    /// The caller's span; `None` where the trace begins here.
    pub parent: Option<u64>,
    /// The request's own span; never 0.
    pub span_id: u64,
    /// Whether the trace is being recorded.
    pub sampled: bool,
}

impl TraceContext {
    /// The context of a request: its caller's trace, or a new one when the caller sends none or one
    /// that is malformed. `sample` decides whether a new one is recorded.
    #[must_use]
    pub fn of(headers: &HeaderMap, sample: impl FnOnce() -> bool) -> Self {
        let span_id = fastrand::u64(1..);
        let mut parents = headers.get_all(PARENT).iter();
        let parent = match (parents.next(), parents.next()) {
            (Some(parent), None) => parse(parent.as_bytes()),
            _ => None,
        };
        match parent {
            Some((trace_id, parent, sampled)) => Self { trace_id, parent: Some(parent), span_id, sampled },
            None => Self { trace_id: fastrand::u128(1..), parent: None, span_id, sampled: sample() },
        }
    }
}

/// In the form of `traceparent` and `traceresponse`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Trace id, span id and the sampled flag.
fn parse(header: &[u8]) -> Option<(u128, u64, bool)> {
    let [v1, v2, b'-', trace @ .., b'-', f1, f2] = header.get(..55)? else { return None };
    let version = hex(&[*v1, *v2])?;
    // A later version may append fields, but version 0 has none.
    let ends = match version {
        0 => header.len() == 55,
        0xff => false,
        _ => header.len() == 55 || header[55] == b'-',
    };
    let (trace_id, rest) = trace.split_at_checked(32)?;
    let span_id = rest.strip_prefix(b"-")?;
    let (trace_id, span_id) = (hex(trace_id)?, u64::try_from(hex(span_id)?).ok()?);
    let flags = hex(&[*f1, *f2])?;
    (ends && trace_id != 0 && span_id != 0).then_some((trace_id, span_id, flags & 1 == 1))
}

/// The value of hexadecimal digits, of which the standard allows the lowercase ones only.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parents: &[&str]) -> TraceContext {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(PARENT, parent.parse().unwrap());
        }
        TraceContext::of(&headers, || true)
    }

    #[test]
    fn a_caller_s_trace_goes_on() {
        let context = of(&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"]);
        assert_eq!(context.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((context.parent, context.sampled), (Some(0x00f0_67aa_0ba9_02b7), false));
        let sampled = of(&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03"]);
        assert!(sampled.sampled);
        assert_eq!(sampled.to_string(), format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{:016x}-01", sampled.span_id));
        let later = of(&["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes"]);
        assert_eq!(later.parent, Some(0x00f0_67aa_0ba9_02b7));
    }

    #[test]
    fn a_malformed_one_is_replaced() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for bad in [
            &[][..],
            &[""],
            &["00"],
            &[good, good],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"],
            &["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more"],
            &["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            &["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
            &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x"],
            &["00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        ] {
            let context = of(bad);
            assert_eq!((context.parent, context.sampled), (None, true), "{bad:?}");
            assert!(context.trace_id != 0 && context.trace_id != 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, "{bad:?}");
            assert_ne!(context.trace_id, of(bad).trace_id);
        }
    }
}
