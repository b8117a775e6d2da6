//! Series on who calls and how they are let in: API keys, the files of secrets, the certificate.

use std::{
    collections::HashSet,
    fmt::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Why a request has no right to an answer.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum KeyFailure {
    /// It carries no key.
    Missing,
    /// It carries one that isn't among those in force.
    Wrong,
}

impl KeyFailure {
    const ALL: [Self; 2] = [Self::Missing, Self::Wrong];
}

impl EncodeLabelValue for KeyFailure {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        })
    }
}

/// Which limit of its key a request exceeds.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum LimitReason {
    /// Requests over time.
    Rate,
    /// Requests at once.
    Concurrency,
}

impl EncodeLabelValue for LimitReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
        })
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LimitLabels {
    key: Arc<str>,
    reason: LimitReason,
}

/// Of a series that is there or not, without labels.
type NoLabels = [(&'static str, &'static str); 0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FailureLabels {
    reason: KeyFailure,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KeyLabels {
    key: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FileLabels {
    variable: &'static str,
}

/// API keys, and the files of secrets.
#[derive(Debug, Default)]
pub struct Access {
    requests: Family<KeyLabels, Counter>,
    limited: Family<LimitLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    unusable: Family<FileLabels, Gauge>,
    /// Without a series where there is no certificate: one at 0 would have expired in 1970.
    expiry: Family<NoLabels, Gauge>,
    /// The names that have a series, which a family doesn't tell.
    names: Mutex<HashSet<Arc<str>>>,
}

impl Access {
    pub(super) fn register(&self, all: &mut Registry) {
        for reason in KeyFailure::ALL {
            drop(self.failures.get_or_create(&FailureLabels { reason }));
        }
        all.register(
            "sentiment_api_key_requests",
            "Requests let pass, by the name of their key",
            self.requests.clone(),
        );
        let limited = self.limited.clone();
        all.register("sentiment_api_key_limited", "Requests refused by the limits of their key", limited);
        let failures = self.failures.clone();
        all.register("sentiment_api_key_failures", "Requests refused for want of a key", failures);
        let unusable = self.unusable.clone();
        all.register("sentiment_secret_file_unusable", "1 while a secret's file can't be used", unusable);
        all.register(
            "sentiment_tls_certificate_expiry_timestamp_seconds",
            "When the certificate in force expires, in seconds since 1970",
            self.expiry.clone(),
        );
    }

    /// Has series for each of these names and its limits, and none for others: they are the user's, and a renewed
    /// file has new ones.
    pub fn set_keys<'a, L: Iterator<Item = LimitReason>>(&self, keys: impl Iterator<Item = (&'a Arc<str>, L)>) {
        let mut names = HashSet::new();
        for (key, limits) in keys {
            drop(self.requests.get_or_create(&KeyLabels { key: Arc::clone(key) }));
            for reason in limits {
                drop(self.limited.get_or_create(&LimitLabels { key: Arc::clone(key), reason }));
            }
            names.insert(Arc::clone(key));
        }
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for key in known.difference(&names).cloned() {
            for reason in [LimitReason::Rate, LimitReason::Concurrency] {
                self.limited.remove(&LimitLabels { key: Arc::clone(&key), reason });
            }
            self.requests.remove(&KeyLabels { key });
        }
        *known = names;
    }

    /// Counts a request that a limit of the key of this name refuses.
    pub fn limit(&self, name: &Arc<str>, reason: LimitReason) {
        self.limited.get_or_create(&LimitLabels { key: Arc::clone(name), reason }).inc();
    }

    /// Counts a request with the key of this name.
    pub fn let_pass(&self, name: &Arc<str>) {
        self.requests.get_or_create(&KeyLabels { key: Arc::clone(name) }).inc();
    }

    /// Counts a request without a right one.
    pub fn refuse(&self, reason: KeyFailure) {
        self.failures.get_or_create(&FailureLabels { reason }).inc();
    }

    /// Says whether the file that this variable names can be used.
    pub fn set_file(&self, variable: &'static str, usable: bool) {
        self.unusable.get_or_create(&FileLabels { variable }).set(i64::from(!usable));
    }

    /// Says when the certificate in force expires, in seconds since 1970.
    pub fn set_certificate_expiry(&self, seconds: i64) {
        self.expiry.get_or_create(&[]).set(seconds);
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    fn render(access: &Access) -> String {
        let mut registry = Registry::default();
        access.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::prometheus_text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn a_name_has_its_series_for_as_long_as_the_file_has_it() {
        let access = Access::default();
        let [shop, billing, app] = ["shop", "billing", "app"].map(Arc::<str>::from);
        let set = |names: [&Arc<str>; 2]| {
            access.set_keys(names.into_iter().map(|name| (name, iter::once(LimitReason::Rate))));
        };
        set([&shop, &billing]);
        access.limit(&billing, LimitReason::Rate);
        access.set_certificate_expiry(1_800_000_000);
        access.let_pass(&shop);
        access.let_pass(&billing);
        set([&shop, &app]);
        access.refuse(KeyFailure::Wrong);
        access.set_file("MLOPS_API_KEY_FILE", false);
        let text = render(&access);
        for line in [
            r#"sentiment_api_key_requests_total{key="shop"} 1"#,
            r#"sentiment_api_key_requests_total{key="app"} 0"#,
            r#"sentiment_api_key_failures_total{reason="missing"} 0"#,
            r#"sentiment_api_key_failures_total{reason="wrong"} 1"#,
            r#"sentiment_api_key_limited_total{key="app",reason="rate"} 0"#,
            "sentiment_tls_certificate_expiry_timestamp_seconds 1800000000",
            r#"sentiment_secret_file_unusable{variable="MLOPS_API_KEY_FILE"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("billing"), "{text}");
        assert!(!render(&Access::default()).contains("\nsentiment_tls_certificate_expiry"));
    }
}
