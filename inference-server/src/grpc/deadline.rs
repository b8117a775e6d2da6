//! Until when an answer is of use to a caller: the header `grpc-timeout`.

use std::time::Duration;

use axum::http::HeaderMap;

const TIMEOUT: &str = "grpc-timeout";

/// The time that a caller gives, unless it gives none or one that is malformed.
pub(super) fn given(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(TIMEOUT)?.to_str().ok()?;
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    // Eight digits by the protocol.
    let is_number = (1..=8).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &'static str) -> Option<Duration> {
        given(&[(TIMEOUT.parse().unwrap(), value.parse().unwrap())].into_iter().collect())
    }

    #[test]
    fn units_as_the_protocol_has_them() {
        for (value, expected) in [
            ("1H", Duration::from_hours(1)),
            ("99999999M", Duration::from_mins(99_999_999)),
            ("5S", Duration::from_secs(5)),
            ("250m", Duration::from_millis(250)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(of(value), Some(expected), "{value}");
        }
        for malformed in ["", "S", "5", "5s", "+5S", "-5S", "100000000S", "5.5S"] {
            assert_eq!(of(malformed), None, "{malformed}");
        }
        assert_eq!(given(&HeaderMap::new()), None);
    }
}
