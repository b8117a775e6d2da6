//! What Argo CD makes of a service, by the script in `config/argocd` and the interpreter that Argo CD has built in.

use std::{fs, path::PathBuf, process::Command};

use kubesentiment_operator::api::Reason;
use serde_json::{Map, Value, json};

use crate::{Failure, ensure, failure, repository};

/// Set, it makes the tests on the node write down the statuses that they see; see [`recorded`].
const RECORD: &str = "KUBESENTIMENT_RECORD_STATUSES";

/// What Argo CD shows of an object.
#[derive(Debug, PartialEq, Eq)]
pub struct Health {
    /// `Healthy`, `Progressing`, `Suspended` or `Degraded`.
    pub status: String,
    /// The sentence beside it.
    pub message: String,
}

/// Runs the health script on an object. Needs glua: `e2e/cluster/build-tools.sh lua`.
pub fn health(object: &Value) -> Result<Health, Failure> {
    let script = fs::read_to_string(repository().join("config/argocd/health.lua")).map_err(failure)?;
    // Argo CD gives a script no library unless it is told to.
    let program = format!(
        "local print = print\n\
         string, table, os, io, math, coroutine, package, require, debug, channel = nil\n\
         obj = {}\n\
         local health = (function()\n{script}\nend)()\n\
         print(health.status)\n\
         print(health.message)",
        literal(object)
    );
    let glua = repository().join(".cluster/bin/glua");
    let output =
        Command::new(&glua).arg("-e").arg(program).output().map_err(|error| format!("{}: {error}", glua.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && complaint.is_empty(), "the health script: {text}{complaint}");
    let (status, message) = text.trim_end().split_once('\n').ok_or_else(|| format!("only {text}"))?;
    Ok(Health { status: status.to_owned(), message: message.to_owned() })
}

/// What Argo CD should show for a reason.
#[must_use]
pub const fn expected(reason: Reason) -> &'static str {
    match reason {
        Reason::Serving => "Healthy",
        Reason::Suspended => "Suspended",
        Reason::RollingOut | Reason::Unschedulable | Reason::QuotaExceeded => "Progressing",
        Reason::InvalidSpec
        | Reason::ApplyFailed
        | Reason::ImagePullFailed
        | Reason::ModelFetchFailed
        | Reason::ModelLoadFailed
        | Reason::CrashLooping
        | Reason::OutOfMemory
        | Reason::DependencyMissing => "Degraded",
    }
}

/// Checks what Argo CD would show of a live object whose `Ready` condition has this reason.
pub fn agrees(object: &Value, reason: &str) -> Result<(), Failure> {
    let reason = Reason::ALL.into_iter().find(|known| known.as_str() == reason).ok_or("an unknown reason")?;
    let health = health(object)?;
    ensure!(health.status == expected(reason), "Argo CD shows {health:?} for {reason}");
    if std::env::var_os(RECORD).is_some() {
        let text = serde_json::to_string_pretty(&recording(object)).map_err(failure)?;
        fs::write(recorded(reason), text + "\n").map_err(failure)?;
    }
    Ok(())
}

/// The file with a status that a node has shown for a reason.
#[must_use]
pub fn recorded(reason: Reason) -> PathBuf {
    repository().join(format!("e2e/tests/argocd/{reason}.json"))
}

/// The part of an object that its health depends on.
fn recording(object: &Value) -> Value {
    let metadata: Map<String, Value> = ["name", "namespace", "generation"]
        .into_iter()
        .map(|key| (key.to_owned(), object["metadata"][key].clone()))
        .collect();
    json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "metadata": metadata,
        "spec": object["spec"],
        "status": object["status"],
    })
}

/// A JSON value as Lua source.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("{{{}}}", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| format!("[{}] = {}", quoted(key), literal(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        // Three digits, or a digit that follows would be taken for part of it.
        _ => format!("\\{byte:03}"),
    });
    format!("\"{}\"", bytes.collect::<String>())
}
