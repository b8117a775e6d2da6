//! The variables of all settings: what `--help` and `--print-config` show, and what a file may set.

use super::{
    Secrecy, Variable, access, cache, connections, drift, engine, inference_log, jobs, model, playground, redis,
    settings::CONFIG_DIR, tls, tracing,
};

/// Those of each part, in the order of `--help`.
static PARTS: [&[&Variable]; 15] = [
    &[&CONFIG_DIR.variable],
    &super::SETTINGS,
    &playground::SETTINGS,
    &tls::SETTINGS,
    &access::SETTINGS,
    &connections::SETTINGS,
    &model::SETTINGS,
    &engine::SETTINGS,
    &cache::SETTINGS,
    &redis::SETTINGS,
    &jobs::SETTINGS,
    &drift::SETTINGS,
    &inference_log::SETTINGS,
    &tracing::SETTINGS,
    &[&super::FEEDBACK_LOG_CONTENT.variable],
];

/// Every variable, in the order of `--help`.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    PARTS.iter().flat_map(|part| part.iter().copied())
}

pub(super) const PREFIX: &str = "MLOPS_";

/// How keys are made of variables, as the end of a sentence.
pub(super) const KEY_RULE: &str = "a key is the name of a variable in lower case without MLOPS_, and \
    sentiment-server --help lists the variables";

/// The entry for a name.
pub(super) fn find(name: &str) -> Option<&'static Variable> {
    variables().find(|variable| variable.name == name || variable.also == Some(name))
}

/// The entry for a key of a file.
pub(super) fn find_key(key: &str) -> Option<&'static Variable> {
    in_files().find(|variable| variable.key() == key)
}

/// The keys of secrets and of their files.
pub(super) fn secret_keys() -> impl Iterator<Item = String> {
    variables().filter(|variable| variable.secrecy != Secrecy::Open).map(Variable::key)
}

/// Variables that a file may set.
fn in_files() -> impl Iterator<Item = &'static Variable> {
    variables().filter(|variable| variable.name != CONFIG_DIR.variable.name)
}

/// The known key that one is probably meant to be: the variable's own or other name, another
/// spelling of it, the part of a group that stands for the whole, or one that resembles it.
pub(super) fn nearest_key(key: &str) -> Option<String> {
    let upper = key.replace(['-', '.'], "_").to_ascii_uppercase();
    let name = format!("{PREFIX}{}", upper.trim_start_matches(PREFIX));
    if let Some(variable) = find(&name).filter(|variable| variable.name != CONFIG_DIR.variable.name) {
        return Some(variable.key());
    }
    let group = format!("{name}_");
    let member = in_files().find(|variable| variable.name.starts_with(&group));
    member.map(Variable::key).or_else(|| {
        let near = find(nearest(&name)?).filter(|variable| variable.name != CONFIG_DIR.variable.name);
        near.map(Variable::key)
    })
}

/// The known name that a mistyped one most resembles, if any is near.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    variables()
        .map(|variable| (strsim::jaro_winkler(name, variable.name), variable.name))
        .filter(|(likeness, _)| *likeness > 0.93)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, near)| near)
}
