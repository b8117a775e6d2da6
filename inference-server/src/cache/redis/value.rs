//! What is kept in Redis: under which key, and how an answer is written.

use std::borrow::Cow;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::cache::Kept;
use model::digest::push_hex;
use model::{Identity, Labels, Verdict};

/// Longest value in bytes that is read back. The longest of ours is its label and some fifty more.
pub(super) const MOST_BYTES: isize = 4096;

/// Changes when an answer of the same model and settings would mean something else.
const VERSION: &str = "v1";

/// An answer, as people can read it with `redis-cli`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow)]
    label: Cow<'a, str>,
    score: f32,
    /// Left out where it is false, as every server before this field wrote it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// What all keys of one model begin with: half of its identity is enough to tell it from any other.
pub(super) fn prefix(namespace: &str, identity: Identity) -> String {
    format!("{namespace}:prediction:{VERSION}:{:.32}:", identity.to_string())
}

/// The key of a text. The text itself never gets to Redis, only its SHA-256.
pub(super) fn key(prefix: &str, text: &str) -> String {
    let mut key = String::with_capacity(prefix.len() + 64);
    key.push_str(prefix);
    push_hex(&mut key, digest(&SHA256, text.as_bytes()).as_ref());
    key
}

/// An answer as it is kept.
pub(super) fn write(kept: &Kept) -> Option<String> {
    let Kept { verdict: Verdict { label, score }, truncated } = kept;
    serde_json::to_string(&Written { label: (&**label).into(), score: *score, truncated: *truncated }).ok()
}

/// An answer that was kept. `None` for what this model can't have said: others may write to Redis.
pub(super) fn read(value: &[u8], labels: &Labels) -> Option<Kept> {
    let written: Written = serde_json::from_slice(value).ok()?;
    let label = labels.find(&written.label)?;
    let verdict = Verdict { label, score: written.score };
    (0.0..=1.0).contains(&written.score).then_some(Kept { verdict, truncated: written.truncated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels::new(vec!["NEGATIVE".to_owned(), "\"odd\" é".to_owned()], 0.6)
    }

    #[test]
    fn an_answer_comes_back_to_the_last_bit() {
        for (label, score) in [("NEGATIVE", 0.960_367_7_f32), ("\"odd\" é", 1.0), ("NEUTRAL", f32::MIN_POSITIVE)] {
            let verdict = Verdict { label: label.into(), score };
            for truncated in [false, true] {
                let kept = Kept { verdict: verdict.clone(), truncated };
                let written = write(&kept).unwrap();
                assert_eq!(read(written.as_bytes(), &labels()), Some(kept), "{written}");
            }
        }
        let mut kept = Kept { verdict: Verdict { label: "NEGATIVE".into(), score: 0.75 }, truncated: false };
        assert_eq!(write(&kept).unwrap(), r#"{"label":"NEGATIVE","score":0.75}"#);
        kept.truncated = true;
        assert_eq!(write(&kept).unwrap(), r#"{"label":"NEGATIVE","score":0.75,"truncated":true}"#);
    }

    #[test]
    fn what_the_model_cannot_have_said_is_no_answer() {
        for value in [
            "",
            "1",
            "{}",
            r#"{"label":"NEGATIVE"}"#,
            r#"{"label":"HACKED","score":0.5}"#,
            r#"{"label":"NEGATIVE","score":1.5}"#,
            r#"{"label":"NEGATIVE","score":-0.1}"#,
            r#"{"label":"NEGATIVE","score":null}"#,
            r#"{"label":"NEGATIVE","score":1e999}"#,
            r#"{"label":"NEGATIVE","score":0.5,"more":1}"#,
            r#"{"label":"NEGATIVE","score":0.5"#,
            "\u{0}\u{ffff}",
        ] {
            assert_eq!(read(value.as_bytes(), &labels()), None, "{value}");
        }
        assert_eq!(read(b"\xff\xfe", &labels()), None);
    }

    #[test]
    fn a_key_has_namespace_model_and_the_texts_hash_only() {
        let prefix = prefix("shop", Identity::from([0xab; 32]));
        assert_eq!(
            key(&prefix, "abc"),
            "shop:prediction:v1:abababababababababababababababab:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_ne!(key(&prefix, "abc"), key(&prefix, "abd"));
    }
}
