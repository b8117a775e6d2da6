//! One request, from what it asks for to its answer.

use std::collections::HashMap;

use axum::{body::Bytes, extract::Query};
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

use super::{
    Service, key,
    refusal::Refusal,
    store::{CREATED, Key, Selection, Store},
    watching,
    writing::{self, Writer},
};
use crate::{
    lock::lock,
    runtime::request_info::RequestInfo,
    testing::{AnswerBody, boxed},
};

/// What a request says beside its path.
struct Said {
    query: HashMap<String, String>,
    content_type: String,
    /// Only metadata is wanted.
    partial: bool,
    body: Value,
}

impl Said {
    fn text(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    fn manager(&self) -> &str {
        match self.text("fieldManager") {
            "" => "unknown",
            manager => manager,
        }
    }
}

pub(super) async fn answer(service: Service, request: Request<Body>) -> Result<Response<AnswerBody>, BoxError> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let Query(query) = Query::<HashMap<String, String>>::try_from_uri(&head.uri)?;
    let header = |name| header_of(&head.headers, name);
    let said = Said {
        query,
        content_type: header(header::CONTENT_TYPE),
        partial: header(header::ACCEPT).contains("as=PartialObjectMetadata"),
        body: if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? },
    };
    let Some(info) = RequestInfo::of(&head.method, &head.uri) else {
        return whole(404, &Refusal::no_such_api().into_status());
    };
    let selection = Selection {
        group: info.group.to_owned(),
        resource: info.resource.to_owned(),
        namespace: info.namespace.map(str::to_owned),
        labels: said.text("labelSelector").to_owned(),
        fields: said.text("fieldSelector").to_owned(),
    };
    if lock(&service.store).missing.contains(info.resource) {
        return whole(404, &Refusal::no_such_api().into_status());
    }
    if info.verb == "watch" {
        let body = watching::watch(&service, selection, &said.query, said.partial);
        return Ok(Response::new(body));
    }
    let answered = {
        let mut store = lock(&service.store);
        let answered = handle(&mut store, &info, &said, &selection);
        service.tell(&store);
        answered
    };
    match answered {
        Ok((code, object)) => whole(code, &object),
        Err(refusal) => whole(refusal.code, &refusal.into_status()),
    }
}

fn header_of(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn whole(code: u16, object: &Value) -> Result<Response<AnswerBody>, BoxError> {
    let body = boxed(Full::new(Bytes::from(object.to_string())));
    Ok(Response::builder().status(code).header(header::CONTENT_TYPE, "application/json").body(body)?)
}

type Answered = Result<(u16, Value), Refusal>;

fn handle(store: &mut Store, info: &RequestInfo<'_>, said: &Said, selection: &Selection) -> Answered {
    let namespace = info.namespace.unwrap_or_default();
    let Some(name) = info.name else {
        return match info.verb {
            "list" => Ok((200, list(store, said, selection)?)),
            "create" => create(store, info, said),
            _ => Err(Refusal::bad_request("this server does not do that to a collection")),
        };
    };
    let key = key(info.group, info.resource, namespace, name);
    let live = store.objects.get(&key).cloned();
    let subresource = info.subresource.unwrap_or_default();
    match (info.verb, subresource) {
        ("get", "" | "status") => {
            let live = live.ok_or_else(|| Refusal::not_found(info.resource, name))?;
            Ok((200, if said.partial { watching::metadata_of(&live) } else { live }))
        }
        ("get", "scale") => live.map(|live| (200, scale(&live))).ok_or_else(|| Refusal::not_found(info.resource, name)),
        ("create", "eviction") => {
            let preconditions = &said.body["deleteOptions"]["preconditions"];
            delete(store, &key, live, preconditions).map(|_| (201, success()))
        }
        ("delete", "") => delete(store, &key, live, &said.body["preconditions"]),
        ("patch" | "update", "" | "status" | "scale") => write(store, &key, live.as_ref(), info, said),
        _ => Err(Refusal::no_such_api()),
    }
}

fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
}

fn scale(object: &Value) -> Value {
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": object["metadata"],
        "spec": {"replicas": object["spec"]["replicas"].as_i64().unwrap_or(0)},
        "status": {"replicas": object["status"]["replicas"].as_i64().unwrap_or(0)},
    })
}

fn list(store: &Store, said: &Said, selection: &Selection) -> Result<Value, Refusal> {
    // The version of the first page, and the place to go on from.
    let (version, from) = match said.text("continue").split_once(' ') {
        Some((version, from)) => (version.parse().unwrap_or(0), Some(from)),
        None => (store.version, None),
    };
    if from.is_some() && version < store.forgotten {
        return Err(Refusal::expired());
    }
    let place = |key: &Key| format!("{}/{}", key.namespace, key.name);
    let rest = store.objects.iter().filter(|(key, object)| selection.has(key, object));
    let mut rest = rest.filter(|(key, _)| from.is_none_or(|from| place(key).as_str() > from)).peekable();
    let limit = said.text("limit").parse().ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let (mut items, mut last) = (Vec::new(), String::new());
    while items.len() < limit
        && let Some((key, object)) = rest.next()
    {
        last = place(key);
        items.push(if said.partial { watching::metadata_of(object) } else { object.clone() });
    }
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if rest.peek().is_some() {
        metadata["continue"] = json!(format!("{version} {last}"));
    }
    Ok(json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}))
}

fn create(store: &mut Store, info: &RequestInfo<'_>, said: &Said) -> Answered {
    let mut object = said.body.clone();
    let metadata = &object["metadata"];
    let name = match (metadata["name"].as_str(), metadata["generateName"].as_str()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(prefix)) => format!("{prefix}{:05}", store.version),
        (None, None) => return Err(Refusal::invalid(&object, "metadata.name: Required value")),
    };
    let key = key(info.group, info.resource, info.namespace.unwrap_or_default(), &name);
    if store.objects.contains_key(&key) {
        return Err(Refusal::exists(info.resource, &name));
    }
    if store.terminating.contains(&key.namespace) {
        return Err(Refusal::terminating(&key.namespace));
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    let writer = Writer { manager: said.manager(), subresource: "" };
    let made = writing::updated(None, object, writer)?;
    Ok((201, store.write(key, made)))
}

fn delete(store: &mut Store, key: &Key, live: Option<Value>, preconditions: &Value) -> Answered {
    let mut live = live.ok_or_else(|| Refusal::not_found(&key.resource, &key.name))?;
    for (wanted, field) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let wanted_value = &preconditions[wanted];
        if !wanted_value.is_null() && *wanted_value != live["metadata"][wanted] {
            return Err(Refusal::conflict(
                &key.resource,
                &key.name,
                &format!("Precondition failed: {field} in precondition"),
            ));
        }
    }
    let has_finalizers = live["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
    // The kubelet ends a pod that it runs.
    let has_a_node = key.resource == "pods" && live["spec"]["nodeName"].is_string();
    if has_finalizers || has_a_node {
        live["metadata"]["deletionTimestamp"] = json!(CREATED);
        return Ok((200, store.write(key.clone(), live)));
    }
    store.remove(key).map(|gone| (200, gone)).ok_or_else(|| Refusal::not_found(&key.resource, &key.name))
}

fn write(store: &mut Store, key: &Key, live: Option<&Value>, info: &RequestInfo<'_>, said: &Said) -> Answered {
    let is_apply = said.content_type.starts_with("application/apply-patch");
    let subresource = info.subresource.unwrap_or_default();
    if live.is_none() && !(is_apply && subresource.is_empty()) {
        return Err(Refusal::not_found(info.resource, &key.name));
    }
    if live.is_none() && store.terminating.contains(&key.namespace) {
        return Err(Refusal::terminating(&key.namespace));
    }
    let writer = Writer { manager: said.manager(), subresource };
    // On the subresource that it changes, what is asked for is of another form.
    let asked = if subresource == "scale" && !is_apply {
        json!({"spec": {"replicas": said.body["spec"]["replicas"]}})
    } else {
        said.body.clone()
    };
    let is_new = live.is_none();
    let old = live.cloned().unwrap_or_default();
    let mut after = if info.verb == "update" && subresource != "scale" {
        asked
    } else if is_apply {
        let mut asked = asked;
        limit_to(&mut asked, subresource);
        writing::applied(live, &asked, writer, said.text("force") == "true")?
    } else if said.content_type.starts_with("application/json-patch") {
        let mut after = old.clone();
        let patch: json_patch::Patch =
            serde_json::from_value(asked).map_err(|error| Refusal::bad_request(&error.to_string()))?;
        json_patch::patch(&mut after, &patch).map_err(|error| Refusal::invalid(&old, &error.to_string()))?;
        after
    } else {
        let mut after = old.clone();
        json_patch::merge(&mut after, &asked);
        after
    };
    let based_on = &after["metadata"]["resourceVersion"];
    let wanted = if is_apply { &said.body["metadata"]["resourceVersion"] } else { based_on };
    if !wanted.is_null() && live.is_some_and(|live| live["metadata"]["resourceVersion"] != *wanted) {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Refusal::conflict(info.resource, &key.name, why));
    }
    check_uid(info, key, live, &said.body)?;
    if !is_new {
        let kept = after["status"].take();
        let mut both = if subresource == "status" { old.clone() } else { after.clone() };
        set(&mut both, "status", if subresource == "status" { kept } else { old["status"].clone() });
        both["metadata"]["managedFields"] = after["metadata"]["managedFields"].clone();
        after = both;
    } else if let Some(after) = after.as_object_mut() {
        after.remove("status");
    }
    if !is_apply {
        after = writing::updated(live, after, writer)?;
    }
    if store.drops_image_volumes {
        drop_image_volumes(&mut after);
    }
    if said.text("dryRun") == "All" {
        return Ok((if is_new { 201 } else { 200 }, after));
    }
    let written = store.write(key.clone(), after);
    let is_done = written["metadata"]["deletionTimestamp"].is_string()
        && written["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
        && !written["spec"]["nodeName"].is_string();
    if is_done {
        store.remove(key);
    }
    Ok((if is_new { 201 } else { 200 }, if subresource == "scale" { scale(&written) } else { written }))
}

/// As `dropImageVolumes` of `k8s.io/kubernetes/pkg/api/pod/util.go` does it: without a word, and with the mounts.
fn drop_image_volumes(object: &mut Value) {
    let Some(pod) = object.pointer_mut("/spec/template/spec") else { return };
    let is_image = |volume: &Value| volume.get("image").is_some();
    let name = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
    let volumes = pod["volumes"].as_array().into_iter().flatten();
    let dropped: Vec<String> = volumes.filter(|volume| is_image(volume)).map(name).collect();
    for item in pod["containers"].as_array_mut().into_iter().flatten() {
        if let Some(mounts) = item.get_mut("volumeMounts").and_then(Value::as_array_mut) {
            mounts.retain(|mount| !dropped.contains(&name(mount)));
        }
    }
    if let Some(volumes) = pod["volumes"].as_array_mut() {
        volumes.retain(|volume| !is_image(volume));
    }
}

/// Who names a uid means no other object, and makes none.
fn check_uid(info: &RequestInfo<'_>, key: &Key, live: Option<&Value>, asked: &Value) -> Result<(), Refusal> {
    let wanted = &asked["metadata"]["uid"];
    match live {
        _ if wanted.is_null() => Ok(()),
        None => Err(Refusal::conflict(info.resource, &key.name, "uid mismatch: no existing object was found")),
        Some(live) if live["metadata"]["uid"] == *wanted => Ok(()),
        Some(_) if info.verb == "update" => {
            Err(Refusal::conflict(info.resource, &key.name, "Precondition failed: UID in precondition"))
        }
        Some(live) => Err(Refusal::invalid(live, "metadata.uid: Invalid value: field is immutable")),
    }
}

/// Keeps what a subresource takes.
fn limit_to(applied: &mut Value, subresource: &str) {
    if let (Some(object), "status") = (applied.as_object_mut(), subresource) {
        object.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "status"));
    } else if let Some(object) = applied.as_object_mut() {
        object.remove("status");
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.to_owned(), value);
        }
    }
}
