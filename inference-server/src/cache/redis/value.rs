//! What is kept in Redis: under which key, and how an answer is written.

use std::borrow::Cow;

use engine::Input;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::cache::{Kept, key::BETWEEN};
use model::digest::push_hex;
use model::{Digest, Head};

/// Longest value in bytes that is read back. The longest of ours is its label and some fifty more.
pub(super) const MOST_BYTES: isize = 4096;

/// Changes when an answer of the same model and settings would mean something else.
const VERSION: &str = "v2";

/// An output, as people can read it with `redis-cli`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    logits: Cow<'a, [f32]>,
    /// Left out where it is false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// What all keys of one model begin with: half of its identity is enough to tell it from any other.
pub(super) fn prefix(namespace: &str, outputs: Digest) -> String {
    format!("{namespace}:prediction:{VERSION}:{}:", outputs.half())
}

/// The key of a text. The text itself never gets to Redis, only its SHA-256.
pub(super) fn key(prefix: &str, input: &Input<'_>) -> String {
    let mut key = String::with_capacity(prefix.len() + 64);
    key.push_str(prefix);
    let mut hash = Context::new(&SHA256);
    hash.update(input.text.as_bytes());
    if let Some(pair) = &input.pair {
        hash.update(&[BETWEEN]);
        hash.update(pair.as_bytes());
    }
    push_hex(&mut key, hash.finish().as_ref());
    key
}

/// An output as it is kept; `None` for one of so many classes that it wouldn't be read back.
pub(super) fn write(kept: &Kept) -> Option<String> {
    let written = Written { logits: Cow::Borrowed(&kept.logits), truncated: kept.truncated };
    serde_json::to_string(&written).ok().filter(|value| value.len() < MOST_BYTES.unsigned_abs())
}

/// An output that was kept. `None` for what this head can't read: others may write to Redis.
pub(super) fn read(value: &[u8], head: &Head) -> Option<Kept> {
    let written: Written = serde_json::from_slice(value).ok()?;
    let kept = Kept { logits: written.logits.into_owned().into(), truncated: written.truncated };
    head.reads(&kept.logits).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head::single_label(&["NEGATIVE", "POSITIVE"])
    }

    #[test]
    fn an_output_comes_back_to_the_last_bit() {
        for logits in [[0.960_367_7_f32, -3.4e-20], [1.0, f32::MIN_POSITIVE], [f32::MAX, 0.1]] {
            for truncated in [false, true] {
                let kept = Kept { logits: logits.into(), truncated };
                let written = write(&kept).unwrap();
                assert_eq!(read(written.as_bytes(), &head()), Some(kept), "{written}");
            }
        }
        let mut kept = Kept { logits: [0.75, -1.5].into(), truncated: false };
        assert_eq!(write(&kept).unwrap(), r#"{"logits":[0.75,-1.5]}"#);
        kept.truncated = true;
        assert_eq!(write(&kept).unwrap(), r#"{"logits":[0.75,-1.5],"truncated":true}"#);
        assert_eq!(write(&Kept { logits: vec![0.123_456; 1000].into(), truncated: false }), None);
    }

    #[test]
    fn what_the_model_cannot_have_said_is_no_output() {
        for value in [
            "",
            "1",
            "{}",
            r#"{"logits":[]}"#,
            r#"{"logits":[0.5]}"#,
            r#"{"logits":[0.5,0.5,0.5]}"#,
            r#"{"logits":[0.5,null]}"#,
            r#"{"logits":[0.5,1e999]}"#,
            r#"{"logits":[0.5,0.5],"more":1}"#,
            r#"{"label":"NEGATIVE","score":0.5}"#,
            r#"{"logits":[0.5,0.5"#,
            "\u{0}\u{ffff}",
        ] {
            assert_eq!(read(value.as_bytes(), &head()), None, "{value}");
        }
        assert_eq!(read(b"\xff\xfe", &head()), None);
    }

    #[test]
    fn a_key_has_namespace_model_and_the_texts_hash_only() {
        let prefix = prefix("shop", Digest::from([0xab; 32]));
        assert_eq!(
            key(&prefix, &"abc".into()),
            "shop:prediction:v2:abababababababababababababababab:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_ne!(key(&prefix, &"abc".into()), key(&prefix, &"abd".into()));
        let pair = Input { text: "a".into(), pair: Some("bc".into()) };
        assert_ne!(key(&prefix, &"abc".into()), key(&prefix, &pair));
    }
}
