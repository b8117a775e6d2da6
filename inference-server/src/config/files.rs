//! Settings from YAML files, as a `ConfigMap` is mounted at `/app/config`.
//!
//! A key is a variable's name in lower case without `MLOPS_`. Keys may be nested: `redis: {host: a}`
//! is `redis_host: a`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_yaml::{Mapping, Value};

use super::{
    ConfigError,
    setting::{Secrecy, Variable},
    variables,
};
use crate::text_file;

/// Largest file, in bytes: far more than settings take, and little enough to be parsed at once,
/// whatever it holds.
const MOST_BYTES: u64 = 64 * 1024;

/// Longest key in bytes, the keys around it included; bounds what deep nesting can cost.
const LONGEST_KEY: usize = 100;

/// Files of one folder.
const MOST_FILES: usize = 100;

/// What a folder of settings holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// The `*.yaml` and `*.yml` files in name order.
    pub(super) files: Vec<PathBuf>,
    /// What was probably meant to be read, but has no ending.
    pub(super) without_ending: Vec<PathBuf>,
}

/// Looks into a folder. Names that begin with a dot are left
/// out: Kubernetes keeps the versions of a `ConfigMap` in such folders, and links to them.
///
/// `named` is the setting that names the folder, if any does: only then the folder must exist.
pub(super) fn list(folder: &Path, named: Option<&str>) -> Result<Listing, ConfigError> {
    let error = |problem| ConfigError::File { file: folder.to_owned(), problem };
    let entries = match (fs::read_dir(folder), named) {
        (Ok(entries), _) => entries,
        (Err(problem), None) if problem.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
        (Err(problem), None) => return Err(error(format!("the folder of settings can't be read: {problem}"))),
        (Err(problem), Some(setting)) => {
            return Err(error(format!("the folder that {setting} names can't be read: {problem}")));
        }
    };
    let mut listing = Listing::default();
    for entry in entries {
        let name = entry.map_err(|problem| error(format!("the folder can't be read: {problem}")))?.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = folder.join(&name);
        match path.extension() {
            Some(extension) if extension == "yaml" || extension == "yml" => listing.files.push(path),
            None if path.is_file() => listing.without_ending.push(path),
            _ => {}
        }
    }
    let count = listing.files.len();
    if count > MOST_FILES {
        return Err(error(format!("{count} files are too many, merge them into {MOST_FILES} at most")));
    }
    listing.files.sort();
    listing.without_ending.sort();
    Ok(listing)
}

/// The settings of one file.
pub(super) fn read(file: &Path) -> Result<Vec<(&'static Variable, String)>, ConfigError> {
    text_file::read(file, MOST_BYTES)
        .and_then(|text| parse(&text))
        .map_err(|problem| ConfigError::File { file: file.to_owned(), problem })
}

/// The settings of a YAML text. The error is what is wrong, as it follows a file's name.
///
/// Nesting and aliases are bounded by the YAML library: it refuses more than 128 levels, and a text
/// whose aliases stand for far more than it holds.
pub fn parse(text: &str) -> Result<Vec<(&'static Variable, String)>, String> {
    let value: Value = serde_yaml::from_str(text).map_err(|error| format!("is not usable YAML: {error}"))?;
    let mut settings = Vec::new();
    match value {
        Value::Null => {}
        Value::Mapping(mapping) => flatten("", mapping, &mut settings)?,
        _ => return Err("must hold keys with values, such as log_level: INFO".to_owned()),
    }
    Ok(settings)
}

/// Adds the settings of a mapping whose keys follow `path`, which ends with an underscore or is empty.
fn flatten(path: &str, mapping: Mapping, settings: &mut Vec<(&'static Variable, String)>) -> Result<(), String> {
    for (key, value) in mapping {
        let Value::String(name) = key else {
            return Err(format!("holds a key that is not text; {}", variables::KEY_RULE));
        };
        let key = format!("{path}{name}");
        if key.len() > LONGEST_KEY {
            return Err(format!("holds a key of more than {LONGEST_KEY} bytes; {}", variables::KEY_RULE));
        }
        if let Value::Mapping(inner) = value {
            flatten(&format!("{key}_"), inner, settings)?;
            continue;
        }
        let variable = variables::find_key(&key).ok_or_else(|| unknown(path, &key))?;
        if settings.iter().any(|(known, _)| known.name == variable.name) {
            return Err(format!("{key} is there twice; keep one"));
        }
        let value = match variable.secrecy {
            Secrecy::Secret => secret(value).ok_or_else(|| format!("{key} must be text; put it in quotes"))?,
            _ => text(variable, value).ok_or_else(|| format!("{key} must be {}", variable.allowed()))?,
        };
        settings.push((variable, value));
    }
    Ok(())
}

/// What is said of a key that isn't known, whose first part is `path`.
fn unknown(path: &str, key: &str) -> String {
    // What stands below the key of a secret may be the secret, and so may be what is no key at all.
    if let Some(above) = variables::secret_keys().find(|secret| path.starts_with(&format!("{secret}_"))) {
        return format!("{above} holds a key that is not known; it must be text");
    }
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')) {
        return format!("holds a key that is not known; {}", variables::KEY_RULE);
    }
    match variables::nearest_key(key) {
        Some(near) => format!("{key} is not a known key; did you mean {near}?"),
        None => format!("{key} is not a known key; {}", variables::KEY_RULE),
    }
}

/// A secret as it is written: a number would lose its zeros, and a list is no secret.
fn secret(value: Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(value) => Some(value),
        _ => None,
    }
}

/// A value as an environment variable would spell it. `None` for what the variable can't hold.
fn text(variable: &Variable, value: Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value),
        Value::Sequence(values) => {
            let list: Option<Vec<serde_json::Value>> =
                values.into_iter().map(|value| element(variable, value)).collect();
            serde_json::to_string(&list?).ok()
        }
        Value::Mapping(_) | Value::Tagged(_) => None,
    }
}

/// One of a list: text, or an object with what is in it.
fn element(variable: &Variable, value: Value) -> Option<serde_json::Value> {
    match value {
        Value::Sequence(_) => None,
        Value::Mapping(_) if variable.holds_objects => serde_json::to_value(value).ok(),
        _ => text(variable, value).map(Into::into),
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
