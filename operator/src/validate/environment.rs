//! The user's environment variables.

use k8s_openapi::api::core::v1::EnvVar;

use super::Invalid;
use crate::api::SentimentServiceSpec;

/// Variables that would move the server away from its probes and its Service.
const OWN_VARIABLES: [&str; 4] = ["MLOPS_PORT", "MLOPS_GRPC_PORT", "MLOPS_MANAGEMENT_PORT", "MLOPS_HOST"];
/// The variable that takes the prefix off every path.
const DEBUG: &str = "MLOPS_DEBUG";

/// What the user set, which goes before what the operator sets. A blank `MLOPS_DEBUG` is left out: the server takes it
/// for one that isn't set, and looks into its files.
pub(super) fn env(spec: &SentimentServiceSpec) -> Result<Vec<EnvVar>, Invalid> {
    let env = &spec.env;
    for (index, variable) in env.iter().enumerate() {
        if env[..index].iter().any(|earlier| earlier.name == variable.name) {
            return Err(Invalid::DuplicateEnv(variable.name.clone()));
        }
        if OWN_VARIABLES.contains(&variable.name.as_str()) {
            return Err(Invalid::OwnVariable(variable.name.clone()));
        }
        if variable.name == DEBUG && variable.value_from.is_some() {
            return Err(Invalid::HiddenDebug);
        }
        check_model(spec, variable)?;
        check_secret(spec, variable)?;
    }
    let is_blank = |variable: &EnvVar| variable.value.as_deref().is_none_or(|value| value.trim().is_empty());
    Ok(env.iter().filter(|variable| variable.name != DEBUG || !is_blank(variable)).cloned().collect())
}

/// A variable must not take the place of the field for the same model.
fn check_model(spec: &SentimentServiceSpec, variable: &EnvVar) -> Result<(), Invalid> {
    let Some(model) = &spec.model else { return Ok(()) };
    let is_elsewhere = model.source.as_ref().is_some_and(|source| source.builtin.is_none());
    let (field, asked) = match variable.name.as_str() {
        "MLOPS_ONNX_MODEL_PATH" => ("model.source", is_elsewhere),
        "MLOPS_MODEL_DIGEST" => ("model.digest", model.digest.is_some()),
        _ => return Ok(()),
    };
    if asked { Err(Invalid::SetTwice { variable: variable.name.clone(), field }) } else { Ok(()) }
}

/// A variable of a secret must not take the place of the field that asks for it, and a key not be left out where its
/// Secret is missing: the server would serve whoever comes.
fn check_secret(spec: &SentimentServiceSpec, variable: &EnvVar) -> Result<(), Invalid> {
    let password = spec.cache.as_ref().and_then(|cache| cache.redis.as_ref()?.password_secret_ref.as_ref());
    let (field, asked) = match variable.name.as_str() {
        "MLOPS_API_KEY" | "MLOPS_API_KEY_FILE" => ("auth.apiKeySecretRef", spec.auth.is_some()),
        "MLOPS_REDIS_PASSWORD" | "MLOPS_REDIS_PASSWORD_FILE" => ("cache.redis.passwordSecretRef", password.is_some()),
        _ => return Ok(()),
    };
    if asked {
        return Err(Invalid::SetTwice { variable: variable.name.clone(), field });
    }
    let source = variable.value_from.as_ref();
    let secret = source.and_then(|source| source.secret_key_ref.as_ref()?.optional);
    let config_map = source.and_then(|source| source.config_map_key_ref.as_ref()?.optional);
    if variable.name == "MLOPS_API_KEY" && secret.or(config_map) == Some(true) {
        return Err(Invalid::OptionalKey);
    }
    Ok(())
}

/// The server leaves out the path prefix when `MLOPS_DEBUG` is true; the probes must follow. The spellings are the
/// server's.
pub(super) fn debug_routes(env: &[EnvVar]) -> bool {
    let value = env.iter().find(|variable| variable.name == DEBUG).and_then(|variable| variable.value.as_deref());
    value.is_some_and(|value| {
        matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on" | "t" | "y")
    })
}
