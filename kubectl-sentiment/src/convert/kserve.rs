//! KServe's InferenceService.

use serde_json::{Value, json};

use super::{Draft, Fields, pods, source};

const ANNOTATIONS: [(&str, &str); 4] = [
    ("mode", "serving.kserve.io/deploymentMode"),
    ("class", "serving.kserve.io/autoscalerClass"),
    ("target", "serving.kserve.io/targetUtilizationPercentage"),
    ("scrape", "serving.kserve.io/enable-prometheus-scraping"),
];
/// Where a predictor has its model: one for any framework, and one for each as in earlier releases.
const MODELS: [&str; 4] = ["model", "huggingface", "triton", "onnx"];

/// Takes an InferenceService apart.
pub fn convert(draft: &mut Draft, object: &mut Fields) -> Result<(), String> {
    let mut spec = object.object("spec");
    let mut predictor = spec.object("predictor");
    let Some(model) = MODELS.iter().map(|name| predictor.object(name)).find(|model| !model.is_empty()) else {
        return Err("has no model, huggingface, triton or onnx in spec.predictor, and so no text classifier".to_owned());
    };
    let name = draft.name();
    draft.set("model.name", name);
    self::model(draft, model);
    scaling(draft, &mut predictor);
    annotations(draft);
    draft.put("server.requestTimeout", predictor.take("timeout"));
    let mut batcher = predictor.object("batcher");
    draft.put("server.batching.maxBatchSize", batcher.take("maxBatchSize"));
    for name in ["maxLatency", "timeout"] {
        draft.leave(&mut batcher, name, "batches are made of what waits, without a timer");
    }
    draft.rest(batcher);
    logger(draft, predictor.object("logger"));
    draft.leave(
        &mut predictor,
        "containerConcurrency",
        "admission goes by what a text would wait; server.batching.queueCapacity and auth.limits bound it",
    );
    draft.leave(&mut predictor, "canaryTrafficPercent", "two services, and weights in an HTTPRoute of your own");
    draft.put("podMetadata.labels", predictor.take("labels"));
    draft.put("podMetadata.annotations", predictor.take("annotations"));
    pods::strategy(draft, predictor.object("deploymentStrategy"));
    pods::pod(draft, &mut predictor);
    draft.leave(&mut predictor, "workerSpec", "one pod holds the model");
    draft.leave(&mut predictor, "containers", "pods have one container");
    draft.rest(predictor);
    draft.leave(&mut spec, "transformer", "the server tokenizes");
    if spec.take("explainer").is_some() {
        draft.by_hand("callers of the explainer ask POST /explain, which explains by another method");
    }
    draft.rest(spec);
    draft.by_hand("callers read labels where they read class numbers: docs/from-kserve.md, Requests");
    Ok(())
}

fn model(draft: &mut Draft, mut model: Fields) {
    for name in ["modelFormat", "runtime", "runtimeVersion", "protocolVersion"] {
        model.take(name);
    }
    source::onnx(draft);
    let path = model.path("storageUri");
    if let Some(uri) = model.text("storageUri") {
        source::by_uri(draft, &path, &uri);
    }
    storage(draft, model.object("storage"));
    let (path, arguments) = (model.path("args"), model.list("args"));
    for (flag, value) in pods::flags(&arguments) {
        argument(draft, &format!("{path}: {flag}"), flag.trim_start_matches('-'), value.unwrap_or_default());
    }
    let known = pods::container(draft, &mut model, &["HF_TOKEN"]);
    if let Some(token) = known.get("HF_TOKEN") {
        match pods::secret_of(token).filter(|_| source::kind(draft).as_deref() == Some("huggingFace")) {
            Some(reference) => draft.set("model.source.huggingFace.tokenSecretRef", reference),
            None => draft.by_hand("the Hub's token goes into a Secret: model.source.huggingFace.tokenSecretRef"),
        }
    }
    draft.rest(model);
}

fn storage(draft: &mut Draft, mut storage: Fields) {
    if storage.is_empty() {
        return;
    }
    let mut parameters = storage.object("parameters");
    let folder = storage.text("path").unwrap_or_default();
    match (parameters.text("type").as_deref(), parameters.text("bucket")) {
        (Some("s3"), Some(bucket)) => source::by_uri(draft, "", &format!("s3://{bucket}/{folder}")),
        _ if draft.has("model.source") => {}
        _ => draft.left_out(storage.path("path"), "its bucket is in a Secret: set model.source by hand"),
    }
    for (theirs, ours) in [("region", "region"), ("endpoint_url", "endpoint")] {
        if let Some(value) = parameters.take(theirs).filter(|_| draft.has("model.source.s3")) {
            draft.set(&format!("model.source.s3.{ours}"), value);
        }
    }
    if let Some(key) = storage.text("key") {
        draft.by_hand(format!(
            "make a Secret of {key} in storage-config, and name it in credentialsSecretRef of the source"
        ));
    }
    draft.rest(parameters);
    draft.rest(storage);
}

fn argument(draft: &mut Draft, path: &str, name: &str, value: String) {
    match name {
        "model_name" => draft.set("model.name", value),
        "model_id" if draft.has("model.source") => draft.left_out(path, "storageUri says where the model is"),
        "model_id" => draft.set("model.source.huggingFace.repository", value),
        "model_revision" if source::kind(draft).as_deref() == Some("huggingFace") => {
            draft.set("model.source.huggingFace.revision", value);
        }
        "max_length" | "max_model_len" => draft.set("model.maxTokens", number(&value)),
        "dtype" => source::variant(draft, path, &value),
        "task" => draft.left_out(path, "config.json and the graph say what the numbers are"),
        "return_probabilities" => draft.by_hand("callers ask for the output probabilities in each request"),
        "return_raw_logits" => draft.by_hand("callers ask for the output logits in each request"),
        "backend" => draft.left_out(path, "there is one backend"),
        _ => draft.left_out(path, "has no counterpart"),
    }
}

/// A number where it is one, so that what isn't is refused by its own words.
pub fn number(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
}

fn scaling(draft: &mut Draft, predictor: &mut Fields) {
    let least = predictor.take("minReplicas");
    let most = predictor.take("maxReplicas").filter(|most| *most != 0);
    let metric = predictor.text("scaleMetric");
    let target = predictor.take("scaleTarget");
    let mut auto = predictor.object("autoScaling");
    let is_to_zero = least.as_ref().is_some_and(|least| *least == 0);
    if is_to_zero {
        let why = "to zero only beside an external or object metric, or by KEDA, and nothing holds requests meanwhile";
        draft.left_out(predictor.path("minReplicas"), why);
    }
    let least = least.filter(|least| *least != 0).unwrap_or_else(|| json!(1));
    let Some(most) = most.filter(|most| *most != least) else {
        draft.set("replicas", least);
        return draft.rest(auto);
    };
    draft.set("autoscaling.minReplicas", least);
    draft.set("autoscaling.maxReplicas", most);
    if let Some(kind) = predictor.text("scaleMetricType").filter(|kind| kind != "Utilization") {
        draft.left_out(predictor.path("scaleMetricType"), &format!("{kind}: only percentages of the request are"));
    }
    match metric.as_deref() {
        Some(metric @ ("concurrency" | "rps")) => {
            let why = format!("{metric}: a metric of sentiment_… series with an adapter, or KEDA");
            draft.left_out(predictor.path("scaleMetric"), &why);
        }
        metric => draft.put(pods::target(metric.unwrap_or("cpu")).unwrap_or_default(), target),
    }
    for mut metric in auto.objects("metrics") {
        let mut resource = metric.object("resource");
        let path = resource.text("name").as_deref().and_then(pods::target);
        match (path, resource.object("target").take("averageUtilization")) {
            (Some(path), Some(percentage)) => draft.set(path, percentage),
            _ => draft.left_out(metric.place(), "write it in the form of autoscaling/v2 into autoscaling.metrics"),
        }
    }
    draft.put("autoscaling.behavior", auto.take("behavior"));
    draft.rest(auto);
}

fn annotations(draft: &mut Draft) {
    draft.take_metadata("labels", "networking.kserve.io/visibility");
    for (what, key) in ANNOTATIONS {
        let Some(value) = draft.take_metadata("annotations", key) else { continue };
        let path = format!("metadata.annotations.{key}");
        match (what, value.as_str()) {
            ("mode", "Serverless" | "Knative" | "ModelMesh") => draft.left_out(path, "always a Deployment"),
            ("class", "external") => draft.set("autoscaling", json!({"external": {}})),
            ("class", "keda") => {
                draft.set("autoscaling", json!({"external": {}}));
                draft.by_hand("make a ScaledObject of your own: docs/resource.md, KEDA");
            }
            ("class", "none") => {
                if let Some(least) = Some(draft.get("autoscaling.minReplicas").clone()).filter(|least| !least.is_null())
                {
                    draft.unset("autoscaling");
                    draft.set("replicas", least);
                }
            }
            ("target", percentage) if draft.has("autoscaling.maxReplicas") => {
                draft.set("autoscaling.targetCPUUtilizationPercentage", number(percentage));
            }
            ("scrape", "true") => draft.set("monitoring", json!({})),
            _ => {}
        }
    }
    if draft.has("autoscaling.external") {
        // Set before it was known that another scales.
        draft.unset("replicas");
    }
}

/// What is logged of each request, which Seldon writes in the same way.
pub fn logger(draft: &mut Draft, mut logger: Fields) {
    let mode = logger.text("mode");
    if let Some(url) = logger.take("url") {
        draft.set("inferenceLog.url", url);
        draft.set("inferenceLog.includeText", mode.as_deref() != Some("response"));
    }
    draft.rest(logger);
}
