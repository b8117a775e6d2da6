//! A Deployment of text-embeddings-inference.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Draft, Fields, kserve::number, pods, source};
use crate::input::Document;

/// Flags without a counterpart, and why.
const WITHOUT: [(&str, &str); 9] = [
    ("pooling", "of embeddings"),
    ("dense-path", "of embeddings"),
    ("default-prompt", "of embeddings"),
    ("default-prompt-name", "of embeddings"),
    ("tokenization-workers", "by the number of CPUs"),
    ("max-client-batch-size", "1000 texts"),
    ("payload-limit", "6 MiB"),
    ("device-id", "the server runs on CPUs"),
    ("uds-path", "there is no second process"),
];
/// Flags that change nothing here.
const WITHOUT_EFFECT: [&str; 3] = ["hostname", "json-output", "disable-spans"];
/// Flags that are numbers of a field.
const NUMBERS: [(&str, &str); 3] = [
    ("max-concurrent-requests", "server.batching.queueCapacity"),
    ("max-batch-tokens", "server.batching.maxBatchTokens"),
    ("max-batch-requests", "server.batching.maxBatchSize"),
];
/// The other flags that have one.
const OTHERS: [&str; 14] = [
    "model-id",
    "revision",
    "dtype",
    "served-model-name",
    "hf-token",
    "hf-api-token",
    "huggingface-hub-cache",
    "auto-truncate",
    "port",
    "api-key",
    "otlp-endpoint",
    "otlp-service-name",
    "prometheus-port",
    "cors-allow-origin",
];

/// Whether a Deployment runs TEI, by its image or its arguments.
pub fn is_one(object: &Value) -> bool {
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap_or_default();
    image.contains("text-embeddings-inference") || container["command"][0] == "text-embeddings-router"
}

/// What the container is told: a flag's value, or the variable in its place.
enum Told {
    Literal(String),
    Variable(Value),
}

impl Told {
    fn text(&self) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Variable(variable) => variable["value"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

/// Takes a Deployment apart. Of a Service for it, in the same file, port and type stay.
pub fn convert(draft: &mut Draft, object: &mut Fields, others: &[Document]) {
    let mut spec = object.object("spec");
    draft.set("replicas", spec.take("replicas").unwrap_or_else(|| json!(1)));
    pods::strategy(draft, spec.object("strategy"));
    let selector = spec.object("selector").take("matchLabels").unwrap_or_default();
    for name in ["revisionHistoryLimit", "progressDeadlineSeconds", "minReadySeconds", "paused"] {
        spec.take(name);
    }
    let mut template = spec.object("template");
    draft.rest(spec);
    let mut metadata = template.object("metadata");
    let labels = metadata.take("labels").unwrap_or_default();
    // Those that the Deployment finds its pods by are the operator's.
    let own = labels.as_object().into_iter().flatten().filter(|(name, _)| selector[name.as_str()].is_null());
    for (name, value) in own {
        if let Some(labels) = draft.entries("podMetadata.labels") {
            labels.insert(name.clone(), value.clone());
        }
    }
    draft.put("podMetadata.annotations", metadata.take("annotations"));
    draft.rest(metadata);
    let mut pod = template.object("spec");
    draft.rest(template);
    let mut containers = pod.objects("containers").into_iter();
    if let Some(container) = containers.next() {
        let told = told(draft, container);
        flags(draft, &told);
        service(draft, &labels, others);
    }
    for other in containers {
        draft.left_out(other.place(), "pods have one container");
    }
    pods::pod(draft, &mut pod);
    draft.rest(pod);
}

/// Flags by their names, from the arguments and from the variables, which count less.
fn told(draft: &mut Draft, mut container: Fields) -> BTreeMap<String, Told> {
    let names: Vec<&str> = WITHOUT
        .iter()
        .map(|(name, _)| *name)
        .chain(WITHOUT_EFFECT)
        .chain(NUMBERS.iter().map(|(name, _)| *name))
        .chain(OTHERS)
        .collect();
    let variables: Vec<String> = names.iter().map(|name| name.to_uppercase().replace('-', "_")).collect();
    let arguments = container.list("args");
    let mut command = container.list("command").into_iter();
    command.next();
    let words: Vec<Value> = command.chain(arguments).collect();
    let path = container.path("args");
    // TEI itself.
    container.take("image");
    let known = pods::container(draft, &mut container, &variables.iter().map(String::as_str).collect::<Vec<_>>());
    draft.rest(container);
    let mut told = BTreeMap::new();
    for (variable, value) in known {
        told.insert(variable.to_lowercase().replace('_', "-"), Told::Variable(value));
    }
    for (flag, value) in pods::flags(&words) {
        let name = if flag == "-p" { "port" } else { flag.trim_start_matches('-') };
        if names.contains(&name) {
            told.insert(name.to_owned(), Told::Literal(value.unwrap_or_default()));
        } else {
            draft.left_out(format!("{path}: {flag}"), "has no counterpart");
        }
    }
    told
}

fn flags(draft: &mut Draft, told: &BTreeMap<String, Told>) {
    let text = |name: &str| told.get(name).map(Told::text);
    source::onnx(draft);
    let model = text("model-id").unwrap_or_default();
    if model.starts_with(['/', '.']) {
        draft.left_out("--model-id", "a folder of the pod: put the model where model.source can name it");
    } else if !model.is_empty() {
        draft.set("model.source.huggingFace.repository", model.as_str());
        draft.put("model.source.huggingFace.revision", text("revision").map(Value::from));
    }
    if let Some(name) = text("served-model-name").or_else(|| Some(model).filter(|model| !model.starts_with(['/', '.'])))
    {
        draft.set("model.name", name);
    }
    if let Some(dtype) = text("dtype") {
        source::variant(draft, "--dtype", &dtype);
    }
    for (flag, path) in NUMBERS {
        draft.put(path, text(flag).map(|value| number(&value)));
    }
    for (flag, why) in WITHOUT {
        if told.contains_key(flag) {
            draft.left_out(format!("--{flag}"), why);
        }
    }
    secrets(draft, told);
    if told.contains_key("huggingface-hub-cache") {
        draft.by_hand("set model.cache.size or .claimName, if a model is to be kept from pod to pod");
    }
    if text("auto-truncate").is_some_and(|value| value == "false") {
        variable(draft, json!({"name": "MLOPS_LONG_TEXTS", "value": "refuse"}));
    }
    if let Some(endpoint) = text("otlp-endpoint") {
        // That of OTLP over gRPC and over HTTP, where nobody has chosen another.
        variable(draft, json!({"name": "MLOPS_OTLP_ENDPOINT", "value": endpoint.replace(":4317", ":4318")}));
        draft.by_hand("see that the collector takes OTLP over HTTP, by default on port 4318");
    }
    if let Some(name) = text("otlp-service-name") {
        variable(draft, json!({"name": "OTEL_SERVICE_NAME", "value": name}));
    }
    if told.contains_key("prometheus-port") {
        draft.set("monitoring", json!({}));
    }
    if let Some(origins) = text("cors-allow-origin") {
        let origins: Vec<&str> = origins.split(',').map(str::trim).collect();
        if origins.contains(&"*") {
            draft.left_out("--cors-allow-origin", "* isn't taken: name the origins in server.allowedOrigins");
        } else {
            draft.set("server.allowedOrigins", origins);
        }
    }
    draft.put("service.port", text("port").map(|port| number(&port)));
    draft.by_hand("callers ask port 8000, unless service.port says otherwise, and try again at 503 as they do at 429");
}

/// Keys and tokens: references stay, and what stands in plain sight is never repeated.
fn secrets(draft: &mut Draft, told: &BTreeMap<String, Told>) {
    let name = draft.name();
    let token = told.get("hf-token").or_else(|| told.get("hf-api-token"));
    for (path, key, found) in [
        ("auth.apiKeySecretRef", "api-key", told.get("api-key")),
        ("model.source.huggingFace.tokenSecretRef", "token", token.filter(|_| draft.has("model.source"))),
    ] {
        let Some(found) = found else { continue };
        let reference = if let Told::Variable(variable) = found { pods::secret_of(variable) } else { None };
        draft.set(path, reference.clone().unwrap_or_else(|| json!({"name": format!("{name}-{key}"), "key": key})));
        if reference.is_none() {
            draft.by_hand(format!(
                "make the Secret {name}-{key} with the key {key}, and put there what stands in the Deployment"
            ));
        }
    }
}

fn variable(draft: &mut Draft, variable: Value) {
    let mut variables = draft.get("env").as_array().cloned().unwrap_or_default();
    variables.push(variable);
    draft.set("env", variables);
}

/// What the first Service says that finds these pods.
fn service(draft: &mut Draft, labels: &Value, others: &[Document]) {
    let finds = |object: &Value| {
        object["kind"] == "Service"
            && object["spec"]["selector"].as_object().is_some_and(|selector| {
                !selector.is_empty() && selector.iter().all(|(name, value)| labels[name.as_str()] == *value)
            })
    };
    let Some(service) = others.iter().filter_map(|other| other.object.as_ref().ok()).find(|object| finds(object))
    else {
        return;
    };
    let spec = &service["spec"];
    draft.put("service.port", Some(spec["ports"][0]["port"].clone()).filter(|port| !port.is_null()));
    draft.put("service.type", spec["type"].as_str().map(Value::from));
    let theirs = service["metadata"]["name"].as_str().unwrap_or_default();
    if theirs != draft.name() {
        let ours = draft.name();
        draft.by_hand(format!("callers of the Service {theirs} ask {ours}"));
    }
}
