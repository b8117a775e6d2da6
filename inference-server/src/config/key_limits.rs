//! How much each API key may ask.

use std::{collections::BTreeMap, num::NonZeroU32};

use serde::Deserialize;

use crate::secrets::{ApiKeys, masked_sentence};

/// Name of the limits of each key that has none of its own.
const OTHERS: &str = "*";

const EXAMPLE: &str = r#"write [{"name": "shop", "requestsPerSecond": 10, "burst": 20, "concurrency": 4}]"#;

/// Requests a second; 0.001 is one in a quarter of an hour.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1e6;
const MOST_BURST: u32 = 1_000_000;
const MOST_CONCURRENCY: u32 = 100_000;

/// Limits of keys, by the keys' names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyLimits {
    by_name: BTreeMap<String, KeyLimit>,
    others: Option<KeyLimit>,
}

/// How much one key may ask. At least one of the two is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyLimit {
    /// Requests over time.
    pub rate: Option<Rate>,
    /// Requests that are answered at the same time.
    pub concurrency: Option<u32>,
}

/// Requests over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// In the long run.
    pub per_second: f64,
    /// At once, after a pause.
    pub burst: NonZeroU32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    requests_per_second: Option<f64>,
    burst: Option<u32>,
    concurrency: Option<u32>,
}

impl KeyLimits {
    /// Reads a JSON list. The error is the end of a sentence that begins with the setting.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let entries: Vec<Entry> = serde_json::from_str(text)
            .map_err(|error| format!("is not a list of limits: {}; {EXAMPLE}", masked_sentence(&error.to_string())))?;
        if entries.is_empty() {
            return Err(format!("holds no limit: {EXAMPLE}, or unset it"));
        }
        let mut limits = Self::default();
        for (number, entry) in (1..).zip(entries) {
            let limit = entry.limit(number)?;
            let earlier = match entry.name.as_str() {
                OTHERS => limits.others.replace(limit),
                _ => limits.by_name.insert(entry.name.clone(), limit),
            };
            if earlier.is_some() {
                return Err(format!("has two entries for {}: keep one", entry.name));
            }
        }
        Ok(limits)
    }

    /// The limits of the key of this name.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<KeyLimit> {
        self.by_name.get(name).copied().or(self.others)
    }

    /// The names that have limits of their own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

impl Entry {
    fn limit(&self, number: usize) -> Result<KeyLimit, String> {
        let Self { name, requests_per_second, burst, concurrency } = self;
        if name != OTHERS && !ApiKeys::is_name(name) {
            return Err(format!(
                "has a name in entry {number} that no key has: write that of a key, or * for every other"
            ));
        }
        let rate = match (requests_per_second, burst) {
            (Some(per_second), _) if !RATES.contains(per_second) => {
                let (least, most) = (RATES.start(), RATES.end());
                return Err(format!(
                    "has {per_second} as requestsPerSecond of {name}: write a number from {least} to {most}"
                ));
            }
            (Some(_), Some(burst)) if !(1..=MOST_BURST).contains(burst) => {
                return Err(format!("has {burst} as burst of {name}: write a whole number from 1 to {MOST_BURST}"));
            }
            (Some(per_second), burst) => Some(Rate { per_second: *per_second, burst: burst_of(*per_second, *burst) }),
            (None, Some(_)) => {
                return Err(format!("has a burst of {name} without requestsPerSecond: add that or leave it out"));
            }
            (None, None) => None,
        };
        match concurrency {
            Some(most) if !(1..=MOST_CONCURRENCY).contains(most) => {
                Err(format!("has {most} as concurrency of {name}: write a whole number from 1 to {MOST_CONCURRENCY}"))
            }
            None if rate.is_none() => Err(format!("limits nothing of {name}: add requestsPerSecond or concurrency")),
            concurrency => Ok(KeyLimit { rate, concurrency: *concurrency }),
        }
    }
}

/// What may come at once: unless it is said, what may come in a second.
fn burst_of(per_second: f64, burst: Option<u32>) -> NonZeroU32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0.001 to 1000000")]
    let of_a_second = per_second as u32;
    NonZeroU32::new(burst.unwrap_or(of_a_second)).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: f64, burst: u32) -> Rate {
        Rate { per_second, burst: NonZeroU32::new(burst).unwrap() }
    }

    #[test]
    fn each_key_has_its_own_or_those_of_every_other() {
        let limits = KeyLimits::parse(
            r#"[{"name":"shop","requestsPerSecond":10,"burst":20,"concurrency":4},
                {"name":"*","requestsPerSecond":2.5},{"name":"slow","requestsPerSecond":0.5},{"name":"few","concurrency":1}]"#,
        )
        .unwrap();
        assert_eq!(limits.of("shop"), Some(KeyLimit { rate: Some(rate(10.0, 20)), concurrency: Some(4) }));
        assert_eq!(limits.of("slow"), Some(KeyLimit { rate: Some(rate(0.5, 1)), concurrency: None }));
        assert_eq!(limits.of("few"), Some(KeyLimit { rate: None, concurrency: Some(1) }));
        assert_eq!(limits.of("another"), Some(KeyLimit { rate: Some(rate(2.5, 2)), concurrency: None }));
        assert_eq!(limits.names().collect::<Vec<_>>(), ["few", "shop", "slow"]);
        assert_eq!(KeyLimits::parse(r#"[{"name":"shop","concurrency":4}]"#).unwrap().of("another"), None);
    }

    #[test]
    fn nonsense_says_what_to_do() {
        for (text, problem) in [
            ("10", "is not a list of limits: invalid type: integer `10`, expected a sequence"),
            ("[{}]", "is not a list of limits: missing field `name`"),
            (
                r#"[{"name":"a","rate":1}]"#,
                "is not a list of limits: unknown field `rate`, expected one of `name`, `requestsPerSecond`",
            ),
            (r#"[{"name":"a","burst":-1}]"#, "is not a list of limits: invalid value: integer `-1`"),
            ("[]", "holds no limit: write [{"),
            (r#"[{"name":"a"}]"#, "limits nothing of a: add requestsPerSecond or concurrency"),
            (r#"[{"name":"a","burst":1,"concurrency":1}]"#, "has a burst of a without requestsPerSecond: "),
            (
                r#"[{"name":"a","requestsPerSecond":0}]"#,
                "has 0 as requestsPerSecond of a: write a number from 0.001 to 1000000",
            ),
            (r#"[{"name":"a","requestsPerSecond":-3}]"#, "has -3 as requestsPerSecond of a: "),
            (r#"[{"name":"a","requestsPerSecond":1,"burst":0}]"#, "has 0 as burst of a: "),
            (r#"[{"name":"*","concurrency":0}]"#, "has 0 as concurrency of *: "),
            (r#"[{"name":"a b","concurrency":1}]"#, "has a name in entry 1 that no key has: "),
            (r#"[{"name":"a","concurrency":1},{"name":"a","concurrency":2}]"#, "has two entries for a: keep one"),
            (r#"[{"name":"*","concurrency":1},{"name":"*","concurrency":2}]"#, "has two entries for *: keep one"),
        ] {
            let found = KeyLimits::parse(text).unwrap_err();
            assert!(found.starts_with(problem), "{text}: {found}");
        }
    }
}
