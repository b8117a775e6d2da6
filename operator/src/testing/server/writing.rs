//! How an object becomes another: by update, by merge, by apply.

use serde_json::{Value, json};

use super::{
    ownership::{self, Manager, Step, fields, get, managers, set_managers},
    refusal::Refusal,
};

/// Who writes, and by which door.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer<'a> {
    pub(super) manager: &'a str,
    pub(super) subresource: &'a str,
}

/// The object after somebody has written it whole: who owns a field that has changed is the writer now.
pub(super) fn updated(before: Option<&Value>, mut after: Value, writer: Writer<'_>) -> Result<Value, Refusal> {
    let nothing = json!({});
    let before = before.unwrap_or(&nothing);
    let given = after.pointer("/metadata/managedFields").and_then(Value::as_array);
    let mut all = match given.map(Vec::as_slice) {
        None | Some([]) => managers(before),
        // The way to be rid of them: a list of one empty entry.
        Some([entry]) if entry.as_object().is_some_and(serde_json::Map::is_empty) => Vec::new(),
        Some(_) => managers(&after),
    };
    let present = fields(&after);
    let changed = |path: &[Step]| get(before, path) != get(&after, path);
    let written = present.iter().filter(|path| !matches!(path.last(), Some(Step::Item(_))) && changed(path));
    let mut written: ownership::Fields = written.cloned().collect();
    // Items that are new.
    written.extend(present.iter().filter(|path| get(before, path).is_none()).cloned());
    for manager in &mut all {
        let own = manager.is(writer.manager, "Update", writer.subresource);
        manager.fields.retain(|path| get(&after, path).is_some() && (own || !written.contains(path)));
    }
    add(&mut all, writer, "Update", &after, written);
    set_managers(&mut after, &all);
    check(before, &after)?;
    Ok(after)
}

/// The object after a server-side apply.
pub(super) fn applied(
    before: Option<&Value>,
    applied: &Value,
    writer: Writer<'_>,
    force: bool,
) -> Result<Value, Refusal> {
    let nothing = json!({});
    let live = before.unwrap_or(&nothing);
    let wanted = fields(applied);
    let mut all = managers(live);
    let mut conflicts = Vec::new();
    for manager in all.iter_mut().filter(|manager| !manager.is(writer.manager, "Apply", writer.subresource)) {
        let contested = |path: &&ownership::Path| {
            let is_item = matches!(path.last(), Some(Step::Item(_)));
            !is_item && wanted.contains(*path) && get(live, path) != get(applied, path)
        };
        let contested: Vec<_> = manager.fields.iter().filter(contested).cloned().collect();
        for path in contested {
            conflicts.push((described(manager), ownership::text(&path)));
            manager.fields.remove(&path);
        }
    }
    if !conflicts.is_empty() && !force {
        return Err(Refusal::apply_conflict(conflicts));
    }
    let mut after = live.clone();
    ownership::merge("", &mut after, applied);
    let own = all.iter().position(|manager| manager.is(writer.manager, "Apply", writer.subresource));
    let old = own.map(|place| all.remove(place).fields).unwrap_or_default();
    for path in old.difference(&wanted) {
        let others = all.iter().any(|manager| manager.fields.iter().any(|other| other.starts_with(path)));
        let still = wanted.iter().any(|other| other.starts_with(path));
        if !others && !still {
            ownership::remove(&mut after, path);
        }
    }
    for manager in &mut all {
        manager.fields.retain(|path| get(&after, path).is_some());
    }
    add(&mut all, writer, "Apply", &after, wanted);
    set_managers(&mut after, &all);
    check(live, &after)?;
    Ok(after)
}

fn add(all: &mut Vec<Manager>, writer: Writer<'_>, operation: &'static str, object: &Value, fields: ownership::Fields) {
    if let Some(manager) = all.iter_mut().find(|manager| manager.is(writer.manager, operation, writer.subresource)) {
        manager.fields.extend(fields);
        return;
    }
    all.push(Manager {
        name: writer.manager.to_owned(),
        operation,
        subresource: writer.subresource.to_owned(),
        api_version: object["apiVersion"].as_str().unwrap_or_default().to_owned(),
        fields,
    });
}

/// A manager in the words of `k8s.io/apimachinery/pkg/util/managedfields/internal/conflict.go`.
fn described(manager: &Manager) -> String {
    let mut text = format!("conflict with {:?}", manager.name);
    if !manager.subresource.is_empty() {
        text += &format!(" with subresource {:?}", manager.subresource);
    }
    if manager.operation == "Update" {
        text += &format!(" using {} at {}", manager.api_version, super::store::CREATED);
    }
    text
}

/// The few rules that decide what a controller has to do.
fn check(before: &Value, after: &Value) -> Result<(), Refusal> {
    let containers = after.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    for container in containers.into_iter().flatten() {
        for entry in container["env"].as_array().into_iter().flatten() {
            let is_given = entry["value"].as_str().is_some_and(|value| !value.is_empty());
            if is_given && entry.get("valueFrom").is_some() {
                return Err(Refusal::invalid(after, "valueFrom: may not be specified when `value` is not empty"));
            }
        }
    }
    let ports = after.pointer("/spec/ports").and_then(Value::as_array);
    let names: Vec<&str> = ports.into_iter().flatten().filter_map(|port| port["name"].as_str()).collect();
    if let Some(name) = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
        return Err(Refusal::invalid(after, &format!("spec.ports: Duplicate value: {:?}", name.1)));
    }
    let selector = |object: &Value| object.pointer("/spec/selector").cloned();
    if after["kind"] == "Deployment" && selector(before).is_some() && selector(before) != selector(after) {
        return Err(Refusal::invalid(after, "spec.selector: field is immutable"));
    }
    Ok(())
}
