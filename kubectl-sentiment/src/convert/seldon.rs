//! Seldon's SeldonDeployment (Core 1) and Model (Core 2).

use serde_json::{Value, json};

use super::{Draft, Fields, kserve, pods, source};

/// Takes a SeldonDeployment apart.
pub fn deployment(draft: &mut Draft, object: &mut Fields) -> Result<(), String> {
    let mut spec = object.object("spec");
    let mut predictors = spec.objects("predictors").into_iter();
    let Some(mut predictor) = predictors.next() else { return Err("has no spec.predictors".to_owned()) };
    for other in predictors {
        draft.left_out(
            other.place(),
            "one service has one model: two services, and weights in an HTTPRoute of your own",
        );
    }
    spec.take("name");
    spec.take("transport");
    match spec.text("protocol").as_deref() {
        Some("v2" | "kfserving" | "tensorflow") => {}
        _ => draft
            .left_out("spec.protocol", "seldon's own isn't spoken: callers change to version 2, or to /api/v1/predict"),
    }
    if spec.text("serverType").is_some_and(|kind| kind == "kafka") {
        draft.left_out("spec.serverType", "no Kafka");
    }
    for name in ["oauth_key", "oauth_secret"] {
        draft.leave(&mut spec, name, "auth.apiKeySecretRef names a Secret with keys");
    }
    settings(draft, spec.object("annotations"));
    let replicas = [predictor.take("replicas"), spec.take("replicas")];
    draft.rest(spec);
    for name in ["name", "traffic"] {
        predictor.take(name);
    }
    draft.leave(&mut predictor, "shadow", "there is no shadow traffic");
    graph(draft, predictor.object("graph"));
    let mut components = predictor.objects("componentSpecs").into_iter();
    let own = components.next().and_then(|component| self::component(draft, component));
    for other in components {
        draft.left_out(other.place(), "pods have one container, and a service one kind of pod");
    }
    if !draft.has("autoscaling") {
        let replicas = own.into_iter().chain(replicas.into_iter().flatten()).next();
        draft.set("replicas", replicas.unwrap_or_else(|| json!(1)));
    }
    let mut tls = predictor.object("ssl");
    draft.put("tls.secretName", tls.take("certSecretName"));
    draft.rest(tls);
    for (name, ours) in [("labels", "podMetadata.labels"), ("annotations", "podMetadata.annotations")] {
        draft.put(ours, predictor.take(name));
    }
    if predictor.take("explainer").is_some() {
        draft.by_hand("callers of the explainer ask POST /explain, which explains by another method");
    }
    for name in ["svcOrchSpec", "engineResources"] {
        draft.leave(&mut predictor, name, "no orchestrator stands between the Service and the model");
    }
    draft.leave(&mut predictor, "progressDeadlineSeconds", "ten minutes");
    draft.rest(predictor);
    Ok(())
}

/// Annotations of the spec that are settings.
fn settings(draft: &mut Draft, mut annotations: Fields) {
    let timeouts = ["seldon.io/rest-timeout", "seldon.io/grpc-timeout"].map(|name| annotations.text(name));
    let longest = timeouts.iter().flatten().filter_map(|milliseconds| milliseconds.parse::<u64>().ok()).max();
    draft.put("server.requestTimeout", longest.map(|milliseconds| json!(milliseconds.div_ceil(1000))));
    draft.leave(&mut annotations, "seldon.io/grpc-max-message-size", "6 MiB");
    draft.rest(annotations);
}

fn graph(draft: &mut Draft, mut graph: Fields) {
    draft.put("model.name", graph.take("name"));
    graph.take("implementation");
    source::onnx(draft);
    let path = graph.path("modelUri");
    if let Some(uri) = graph.text("modelUri") {
        source::by_uri(draft, &path, &uri);
    }
    for mut parameter in graph.objects("parameters") {
        let (name, value) = (parameter.text("name").unwrap_or_default(), parameter.text("value").unwrap_or_default());
        let path = format!("{}: {name}", parameter.place());
        match name.as_str() {
            "task" => draft.left_out(path, "config.json and the graph say what the numbers are"),
            "pretrained_model" if !draft.has("model.source") => draft.set("model.source.huggingFace.repository", value),
            // The tokenizer stands beside the model.
            "pretrained_tokenizer" => {}
            "optimum_model" => draft.left_out(path, "the model is an ONNX file always"),
            _ => draft.left_out(path, "has no counterpart"),
        }
    }
    let path = graph.path("envSecretRefName");
    if let Some(name) = graph.text("envSecretRefName") {
        source::secret(draft, &path, &name);
    }
    draft.put("serviceAccountName", graph.take("serviceAccountName"));
    draft.leave(&mut graph, "storageInitializerImage", "the fetcher is in the server's image");
    kserve::logger(draft, graph.object("logger"));
    graph.take("type");
    graph.take("endpoint");
    for name in ["children", "methods"] {
        if !graph.list(name).is_empty() {
            draft.left_out(graph.path(name), "one model, no graph");
        }
    }
    draft.rest(graph);
}

/// What a componentSpec says; its number of pods is handed back.
fn component(draft: &mut Draft, mut component: Fields) -> Option<Value> {
    let mut metadata = component.object("metadata");
    for (name, ours) in [("labels", "podMetadata.labels"), ("annotations", "podMetadata.annotations")] {
        draft.put(ours, metadata.take(name));
    }
    metadata.take("name");
    draft.rest(metadata);
    let mut pod = component.object("spec");
    let mut containers = pod.objects("containers").into_iter();
    if let Some(mut container) = containers.next() {
        pods::container(draft, &mut container, &[]);
        draft.rest(container);
    }
    for other in containers {
        draft.left_out(other.place(), "pods have one container");
    }
    pods::pod(draft, &mut pod);
    draft.rest(pod);
    let mut hpa = component.object("hpaSpec");
    if !hpa.is_empty() {
        draft.set("autoscaling.minReplicas", hpa.take("minReplicas").unwrap_or_else(|| json!(1)));
        draft.put("autoscaling.maxReplicas", hpa.take("maxReplicas"));
        for mut metric in hpa.objects("metrics") {
            let mut resource = metric.object("resource");
            let path = resource.text("name").as_deref().and_then(pods::target);
            match (path, resource.take("targetAverageUtilization")) {
                (Some(path), Some(percentage)) => draft.set(path, percentage),
                _ => draft.left_out(metric.place(), "write it in the form of autoscaling/v2 into autoscaling.metrics"),
            }
        }
        draft.put("autoscaling.metrics", hpa.take("metricsv2"));
    }
    draft.rest(hpa);
    if component.take("kedaSpec").is_some() {
        draft.set("autoscaling", json!({"external": {}}));
        draft.by_hand("make a ScaledObject of your own: docs/resource.md, KEDA");
    }
    let mut budget = component.object("pdbSpec");
    for name in ["minAvailable", "maxUnavailable"] {
        draft.put(&format!("disruptionBudget.{name}"), budget.take(name));
    }
    draft.rest(budget);
    let replicas = component.take("replicas");
    draft.rest(component);
    replicas
}

/// Takes a Model of Core 2 apart.
pub fn model(draft: &mut Draft, object: &mut Fields) {
    let mut spec = object.object("spec");
    let name = draft.name();
    draft.set("model.name", name);
    source::onnx(draft);
    let version = spec.text("artifactVersion");
    if let Some(uri) = spec.text("storageUri") {
        // A folder of the storage that Core 2 picks by its name.
        let uri = version.map_or_else(|| uri.clone(), |version| format!("{}/{version}", uri.trim_end_matches('/')));
        source::by_uri(draft, "spec.storageUri", &uri);
    }
    if let Some(name) = spec.text("secretName") {
        source::secret(draft, "spec.secretName", &name);
    }
    for name in ["modelType", "requirements", "server", "dedicated", "preloaded"] {
        spec.take(name);
    }
    draft.leave(&mut spec, "schemaUri", "GET /v2/models/NAME says the shapes");
    if let Some(memory) = spec.take("memory") {
        draft.set("resources.requests.memory", memory);
        draft.by_hand("the memory is that of another server: docs/sizing.md has what this one takes");
    }
    let [least, most] = ["minReplicas", "maxReplicas"].map(|name| spec.take(name));
    let replicas = spec.take("replicas");
    if let Some(most) = most {
        draft.set("autoscaling.minReplicas", least.unwrap_or_else(|| json!(1)));
        draft.set("autoscaling.maxReplicas", most);
    } else {
        draft.set("replicas", replicas.or(least).unwrap_or_else(|| json!(1)));
    }
    let mut logger = spec.object("logger");
    if let Some(percent) = logger.text("percent").and_then(|percent| percent.parse::<f64>().ok()) {
        draft.set("inferenceLog", json!({"stdout": true, "sampleRatio": percent / 100.0}));
        draft.by_hand("set inferenceLog.url where records go: a Model names no receiver");
    }
    draft.rest(logger);
    if spec.take("explainer").is_some() {
        draft.by_hand("callers of the explainer ask POST /explain, which explains by another method");
    }
    for parameter in spec.objects("parameters") {
        draft.left_out(
            parameter.place(),
            "is for another server: docs/settings.md has the variables of this one, for env",
        );
    }
    draft.rest(spec);
}
