//! Labels and annotations that users give to what the operator makes.

use std::collections::BTreeMap;

use super::Invalid;

/// The most labels, or annotations, of one field.
const MOST: usize = 64;
/// A prefix of 253 characters, a slash, and a name of 63.
const LONGEST_KEY: usize = 317;
const LONGEST_LABEL: usize = 63;
const LONGEST_ANNOTATION: usize = 4096;
/// The most characters of all annotations of one field, keys included.
const MOST_TOGETHER: usize = 65_536;

pub(super) fn check_labels(field: &'static str, labels: &BTreeMap<String, String>) -> Result<(), Invalid> {
    if let Some(key) = labels.keys().find(|key| is_reserved(key)) {
        return Err(Invalid::ReservedLabel { field, key: key.clone() });
    }
    check(field, labels, LONGEST_LABEL)
}

pub(super) fn check_annotations(field: &'static str, annotations: &BTreeMap<String, String>) -> Result<(), Invalid> {
    check(field, annotations, LONGEST_ANNOTATION)?;
    let together: usize = annotations.iter().map(|(key, value)| length(key) + length(value)).sum();
    if together > MOST_TOGETHER {
        return Err(Invalid::TooMuch { field, most: MOST_TOGETHER });
    }
    Ok(())
}

fn check(field: &'static str, pairs: &BTreeMap<String, String>, longest: usize) -> Result<(), Invalid> {
    if pairs.len() > MOST {
        return Err(Invalid::TooMany { field, most: MOST });
    }
    for (key, value) in pairs {
        if length(key) > LONGEST_KEY {
            return Err(Invalid::LongKey { field, most: LONGEST_KEY });
        }
        if length(value) > longest {
            return Err(Invalid::LongValue { field, key: key.clone(), most: longest });
        }
    }
    Ok(())
}

/// As the API server counts.
fn length(text: &str) -> usize {
    text.chars().count()
}

fn is_reserved(label: &str) -> bool {
    label == "kubesentiment.io/track"
        || matches!(label.strip_prefix("app.kubernetes.io/"), Some("name" | "instance" | "managed-by" | "version"))
}
