//! Each row of the tables in docs/from-*.md, and what becomes of what it names.

use std::{collections::BTreeSet, fs, path::Path, sync::LazyLock};

use serde_json::{Value, json};

use super::*;
use crate::input::documents;

/// What a row's field becomes.
enum Becomes {
    /// This field of the spec has this value.
    Set(&'static str, Value),
    /// It is said that this path has no counterpart.
    LeftOut(&'static str),
    /// It is said what to do, in these words.
    ByHand(&'static str),
    /// Nothing: nothing is lost, and nothing is left to do.
    Nothing,
    /// The row is of no field: of a status, say, or of a route.
    NoField,
}

use Becomes::{ByHand, LeftOut, NoField, Nothing, Set};

/// How a row begins, what is merged into the source, and what becomes of it.
type Case = (&'static str, Value, Vec<Becomes>);

fn merge(object: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            for (name, value) in fields {
                merge(&mut object[name.as_str()], value);
            }
        }
        other => *object = other.clone(),
    }
}

/// The rules take long to compile.
static LINTER: LazyLock<Linter> = LazyLock::new(|| Linter::new(Settings::default()).unwrap());

fn convert(text: &str) -> (Value, Vec<String>, bool) {
    let documents = documents("a.yaml", text);
    let draft = documents.iter().find_map(|document| converted(document, &documents).unwrap()).unwrap();
    let (service, notes) = draft.finished(&LINTER);
    let is_loss = notes.iter().any(draft::Note::is_loss);
    (service, notes.iter().map(ToString::to_string).collect(), is_loss)
}

fn field<'a>(service: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(&service["spec"], |place, name| &place[name])
}

/// The left cells of the tables below a heading of a page.
fn rows(page: &str, heading: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let page = fs::read_to_string(path).unwrap();
    let section = page.split_once(&format!("\n## {heading}\n")).unwrap().1.split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    // The first is the table's head.
    cells.skip(1).map(ToOwned::to_owned).collect()
}

/// Holds the converter to a table, row by row.
fn held(page: &str, heading: &str, base: &Value, cases: Vec<Case>) {
    let rows = rows(page, heading);
    let mut seen = BTreeSet::new();
    for (beginning, patch, becomes) in cases {
        let row = rows.iter().find(|row| row.starts_with(beginning));
        seen.insert(row.unwrap_or_else(|| panic!("{page} has no row {beginning}")).clone());
        if matches!(*becomes, [NoField]) {
            continue;
        }
        let mut source = base.clone();
        merge(&mut source, &patch);
        let (service, notes, _) = convert(&source.to_string());
        let told = |words: &str| notes.iter().any(|note| note.contains(words));
        let about = format!("{beginning}\n{source:#}\nbecame\n{service:#}\n{notes:#?}");
        assert!(!told("would be refused"), "{about}");
        for wanted in becomes {
            match wanted {
                Set(path, value) => assert_eq!(field(&service, path), &value, "{about}"),
                LeftOut(path) => assert!(told(&format!("left out: {path}: ")), "{about}"),
                ByHand(words) => {
                    assert!(notes.iter().any(|note| note.starts_with("by hand: ") && note.contains(words)), "{about}");
                }
                Nothing => assert!(!told("left out"), "{about}"),
                NoField => unreachable!("is alone"),
            }
        }
    }
    let missing: Vec<&String> = rows.iter().filter(|row| !seen.contains(*row)).collect();
    assert!(missing.is_empty(), "the converter isn't held to these rows of {page}: {missing:#?}");
}

#[allow(clippy::needless_pass_by_value, reason = "it is made for the call, by json!")]
fn predictor(patch: Value) -> Value {
    json!({"spec": {"predictor": patch}})
}

#[allow(clippy::needless_pass_by_value, reason = "as above")]
fn model(patch: Value) -> Value {
    predictor(json!({"model": patch}))
}

fn arguments(arguments: &[&str]) -> Value {
    model(json!({"args": arguments}))
}

fn annotation(key: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {key: value}}})
}

#[test]
#[expect(clippy::too_many_lines, reason = "a case for each row")]
fn an_inference_service_becomes_what_its_table_says() {
    let base = json!({
        "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "reviews"},
        "spec": {"predictor": {"model": {"modelFormat": {"name": "huggingface"}, "storageUri": "gs://models/reviews"}}},
    });
    let elastic = |patch: Value| {
        let mut elastic = predictor(json!({"minReplicas": 2, "maxReplicas": 10}));
        merge(&mut elastic, &predictor(patch));
        elastic
    };
    let uri = |uri: &str| model(json!({"storageUri": uri}));
    let toleration = json!([{"key": "dedicated", "operator": "Exists"}]);
    let cases = vec![
        ("`metadata.name`", json!({}), vec![Set("model.name", json!("reviews"))]),
        ("`model.modelFormat`", json!({}), vec![Nothing, ByHand("ONNX")]),
        (
            "`model.runtime`",
            model(json!({"runtime": "kserve-huggingfaceserver", "runtimeVersion": "v0.15"})),
            vec![Nothing],
        ),
        ("`model.protocolVersion`", model(json!({"protocolVersion": "v2"})), vec![Nothing]),
        (
            "`model.storageUri: hf:",
            uri("hf://OWNER/NAME:0123abc"),
            vec![Set("model.source", json!({"huggingFace": {"repository": "OWNER/NAME", "revision": "0123abc"}}))],
        ),
        (
            "`model.storageUri: s3:",
            uri("s3://models/reviews/3"),
            vec![Set("model.source", json!({"s3": {"bucket": "models", "path": "reviews/3"}})), ByHand("region")],
        ),
        (
            "`model.storageUri: gs:",
            json!({}),
            vec![Set("model.source", json!({"gcs": {"bucket": "models", "path": "reviews"}}))],
        ),
        (
            "`model.storageUri: https://ACCOUNT",
            uri("https://acme.blob.core.windows.net/models/reviews"),
            vec![Set(
                "model.source",
                json!({"azureBlob": {"account": "acme", "container": "models", "path": "reviews"}}),
            )],
        ),
        (
            "`model.storageUri: https://…",
            uri("https://models.example.com/reviews.tar.gz"),
            vec![Set("model.source.http.url", json!("https://models.example.com/reviews.tar.gz")), ByHand("sha256")],
        ),
        (
            "`model.storageUri: pvc:",
            uri("pvc://models/reviews/3"),
            vec![Set("model.source", json!({"persistentVolumeClaim": {"claimName": "models", "path": "reviews/3"}}))],
        ),
        (
            "`model.storageUri: oci:",
            uri("oci://registry.example.com/models/reviews:3"),
            vec![Set(
                "model.source",
                json!({"image": {"reference": "registry.example.com/models/reviews:3", "path": "models"}}),
            )],
        ),
        ("`model.storageUri: hdfs:", uri("hdfs://models/reviews"), vec![LeftOut("spec.predictor.model.storageUri")]),
        (
            "`model.storage`",
            model(json!({"storageUri": null, "storage": {
                "key": "minio", "path": "reviews",
                "parameters": {"type": "s3", "bucket": "models", "region": "eu-central-1", "endpoint_url": "http://minio.storage:9000"},
            }})),
            vec![
                Set(
                    "model.source",
                    json!({"s3": {
                        "bucket": "models", "path": "reviews", "region": "eu-central-1", "endpoint": "http://minio.storage:9000",
                    }}),
                ),
                ByHand("make a Secret of minio"),
            ],
        ),
        ("Secrets of the service account", Value::Null, vec![NoField]),
        ("`model.args`: `--model_name`", arguments(&["--model_name=others"]), vec![Set("model.name", json!("others"))]),
        (
            "`--model_id`",
            model(json!({"storageUri": null, "args": ["--model_id", "OWNER/NAME", "--model_revision=0123abc"]})),
            vec![Set("model.source", json!({"huggingFace": {"repository": "OWNER/NAME", "revision": "0123abc"}}))],
        ),
        ("`--max_length`", arguments(&["--max_length=256"]), vec![Set("model.maxTokens", json!(256))]),
        ("`--max_length`", arguments(&["--max_model_len", "128"]), vec![Set("model.maxTokens", json!(128))]),
        (
            "`--task`",
            arguments(&["--task=sequence_classification"]),
            vec![LeftOut("spec.predictor.model.args: --task")],
        ),
        ("`--return_probabilities`", arguments(&["--return_probabilities"]), vec![Nothing, ByHand("probabilities")]),
        ("`--return_probabilities`", arguments(&["--return_raw_logits"]), vec![Nothing, ByHand("logits")]),
        (
            "`--dtype`",
            arguments(&["--dtype=float16", "--backend=huggingface"]),
            vec![Set("model.source.gcs.variant", json!("fp16")), LeftOut("spec.predictor.model.args: --backend")],
        ),
        (
            "`model.env`",
            model(json!({"env": [{"name": "LEVEL", "value": "1"}], "envFrom": [{"configMapRef": {"name": "level"}}]})),
            vec![
                Set("env", json!([{"name": "LEVEL", "value": "1"}])),
                Set("envFrom", json!([{"configMapRef": {"name": "level"}}])),
                ByHand("LEVEL"),
            ],
        ),
        (
            "`model.env`",
            model(json!({"storageUri": "hf://OWNER/NAME", "env": [
                {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}}},
            ]})),
            vec![
                Set("model.source.huggingFace.tokenSecretRef", json!({"name": "hub", "key": "HF_TOKEN"})),
                Set("env", Value::Null),
            ],
        ),
        (
            "`model.resources`",
            model(json!({"resources": {
                "requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"},
            }})),
            vec![
                Set(
                    "resources",
                    json!({"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}),
                ),
                LeftOut("spec.predictor.model.resources.limits.nvidia.com/gpu"),
            ],
        ),
        (
            "`model.image`",
            model(json!({"image": "kserve/huggingfaceserver:v0.15"})),
            vec![LeftOut("spec.predictor.model.image")],
        ),
        (
            "`model.image`",
            predictor(json!({"volumes": [{"name": "a", "emptyDir": {}}], "containers": [{"name": "b"}]})),
            vec![LeftOut("spec.predictor.volumes"), LeftOut("spec.predictor.containers")],
        ),
        (
            "`model.readinessProbe`",
            model(
                json!({"readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": 8080}, "periodSeconds": 7}}),
            ),
            vec![Set("probes", json!({"readiness": {"periodSeconds": 7}})), Nothing],
        ),
        (
            "`minReplicas`, `maxReplicas`",
            elastic(json!({})),
            vec![Set("autoscaling", json!({"minReplicas": 2, "maxReplicas": 10})), Set("replicas", Value::Null)],
        ),
        (
            "`minReplicas`, `maxReplicas`",
            predictor(json!({"minReplicas": 3, "maxReplicas": 3})),
            vec![Set("replicas", json!(3))],
        ),
        ("`minReplicas`, `maxReplicas`", json!({}), vec![Set("replicas", json!(1))]),
        (
            "`minReplicas: 0`",
            predictor(json!({"minReplicas": 0, "maxReplicas": 4})),
            vec![LeftOut("spec.predictor.minReplicas"), Set("autoscaling.minReplicas", json!(1))],
        ),
        (
            "`scaleMetric: cpu`",
            elastic(json!({"scaleMetric": "cpu", "scaleTarget": 70})),
            vec![Set("autoscaling.targetCPUUtilizationPercentage", json!(70))],
        ),
        (
            "`scaleMetric: cpu`",
            elastic(json!({"scaleMetric": "memory", "scaleTarget": 70})),
            vec![Set("autoscaling.targetMemoryUtilizationPercentage", json!(70))],
        ),
        (
            "`scaleMetric: concurrency`",
            elastic(json!({"scaleMetric": "rps", "scaleTarget": 70})),
            vec![LeftOut("spec.predictor.scaleMetric")],
        ),
        (
            "`autoScaling.metrics`",
            elastic(json!({"autoScaling": {"metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
                {"type": "External", "external": {"metric": {"backend": "prometheus"}}},
            ]}})),
            vec![
                Set("autoscaling.targetCPUUtilizationPercentage", json!(60)),
                LeftOut("spec.predictor.autoScaling.metrics[1]"),
            ],
        ),
        (
            "`containerConcurrency`",
            predictor(json!({"containerConcurrency": 4})),
            vec![LeftOut("spec.predictor.containerConcurrency")],
        ),
        ("`timeout`", predictor(json!({"timeout": 10})), vec![Set("server.requestTimeout", json!(10)), Nothing]),
        (
            "`batcher.maxBatchSize`",
            predictor(json!({"batcher": {"maxBatchSize": 16}})),
            vec![Set("server.batching.maxBatchSize", json!(16))],
        ),
        (
            "`batcher.maxLatency`",
            predictor(json!({"batcher": {"maxLatency": 500}})),
            vec![LeftOut("spec.predictor.batcher.maxLatency")],
        ),
        (
            "`logger.url`",
            predictor(json!({"logger": {"url": "http://records.shop.svc"}})),
            vec![Set("inferenceLog", json!({"url": "http://records.shop.svc", "includeText": true}))],
        ),
        (
            "`logger.mode`",
            predictor(json!({"logger": {"url": "http://records.shop.svc", "mode": "response"}})),
            vec![Set("inferenceLog.includeText", json!(false))],
        ),
        (
            "`logger.metadataHeaders`",
            predictor(json!({"logger": {"metadataHeaders": ["a"]}})),
            vec![LeftOut("spec.predictor.logger.metadataHeaders")],
        ),
        (
            "`canaryTrafficPercent`",
            predictor(json!({"canaryTrafficPercent": 10})),
            vec![LeftOut("spec.predictor.canaryTrafficPercent")],
        ),
        (
            "`labels`, `annotations`",
            predictor(json!({"labels": {"team": "a"}, "annotations": {"note": "b"}})),
            vec![Set("podMetadata", json!({"labels": {"team": "a"}, "annotations": {"note": "b"}}))],
        ),
        (
            "`deploymentStrategy.rollingUpdate`",
            predictor(
                json!({"deploymentStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}}),
            ),
            vec![Set("rollout", json!({"maxSurge": 2, "maxUnavailable": 0})), Nothing],
        ),
        (
            "`serviceAccountName`",
            predictor(json!({"serviceAccountName": "models"})),
            vec![Set("serviceAccountName", json!("models"))],
        ),
        (
            "`imagePullSecrets`",
            predictor(json!({"imagePullSecrets": [{"name": "registry"}]})),
            vec![Set("image.pullSecrets", json!([{"name": "registry"}]))],
        ),
        (
            "`nodeSelector`, `tolerations`",
            predictor(json!({"nodeSelector": {"disk": "ssd"}, "tolerations": toleration.clone()})),
            vec![Set("scheduling", json!({"nodeSelector": {"disk": "ssd"}, "tolerations": toleration}))],
        ),
        (
            "`securityContext`",
            predictor(json!({"securityContext": {"runAsUser": 0}})),
            vec![LeftOut("spec.predictor.securityContext")],
        ),
        (
            "`workerSpec`",
            predictor(json!({"workerSpec": {"pipelineParallelSize": 2}})),
            vec![LeftOut("spec.predictor.workerSpec")],
        ),
        ("`spec.transformer`", json!({"spec": {"transformer": {"containers": []}}}), vec![LeftOut("spec.transformer")]),
        ("`spec.explainer`", json!({"spec": {"explainer": {"art": {}}}}), vec![Nothing, ByHand("POST /explain")]),
        ("`metadata.annotations`: ", annotation("serving.kserve.io/deploymentMode", "RawDeployment"), vec![Nothing]),
        (
            "`metadata.annotations`: ",
            annotation("serving.kserve.io/deploymentMode", "Serverless"),
            vec![LeftOut("metadata.annotations.serving.kserve.io/deploymentMode")],
        ),
        (
            "`serving.kserve.io/autoscalerClass`",
            annotation("serving.kserve.io/autoscalerClass", "external"),
            vec![Set("autoscaling", json!({"external": {}})), Set("replicas", Value::Null)],
        ),
        (
            "`serving.kserve.io/autoscalerClass`",
            {
                let mut patch = elastic(json!({}));
                merge(&mut patch, &annotation("serving.kserve.io/autoscalerClass", "none"));
                patch
            },
            vec![Set("replicas", json!(2)), Set("autoscaling", Value::Null)],
        ),
        (
            "`serving.kserve.io/targetUtilizationPercentage`",
            {
                let mut patch = elastic(json!({}));
                merge(&mut patch, &annotation("serving.kserve.io/targetUtilizationPercentage", "65"));
                patch
            },
            vec![Set("autoscaling.targetCPUUtilizationPercentage", json!(65))],
        ),
        (
            "`serving.kserve.io/enable-prometheus-scraping`",
            annotation("serving.kserve.io/enable-prometheus-scraping", "true"),
            vec![Set("monitoring", json!({}))],
        ),
        (
            "`metadata.labels`: ",
            json!({"metadata": {"labels": {"networking.kserve.io/visibility": "cluster-local"}}}),
            vec![Nothing],
        ),
        ("`status.url`", Value::Null, vec![NoField]),
        ("conditions", Value::Null, vec![NoField]),
        ("`status.modelStatus", Value::Null, vec![NoField]),
    ];
    held("from-kserve.md", "Field by field", &base, cases);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a case for each row")]
fn a_seldon_deployment_becomes_what_its_table_says() {
    let with = |predictor: Value, spec: Value| {
        let mut first = json!({"name": "default", "graph": {"name": "classifier", "modelUri": "gs://models/reviews"}});
        merge(&mut first, &predictor);
        let mut object = json!({
            "apiVersion": "machinelearning.seldon.io/v1", "kind": "SeldonDeployment", "metadata": {"name": "reviews"},
            "spec": {"protocol": "v2", "predictors": [first]},
        });
        merge(&mut object, &json!({"spec": spec}));
        object
    };
    let predictor = |patch: Value| with(patch, json!({}));
    let spec = |patch: Value| with(json!({}), patch);
    let graph = |patch: Value| predictor(json!({"graph": patch}));
    let parameter =
        |name: &str, value: &str| graph(json!({"parameters": [{"name": name, "type": "STRING", "value": value}]}));
    let component = |patch: Value| predictor(json!({"componentSpecs": [patch]}));
    let container = |patch: Value| component(json!({"spec": {"containers": [patch]}}));
    let cases = vec![
        ("`spec.name`", spec(json!({"name": "old"})), vec![Nothing]),
        ("`spec.protocol: v2`", spec(json!({"protocol": "kfserving"})), vec![Nothing]),
        ("`spec.protocol: tensorflow`", spec(json!({"protocol": "tensorflow"})), vec![Nothing]),
        ("`spec.protocol: seldon`", spec(json!({"protocol": "seldon"})), vec![LeftOut("spec.protocol")]),
        (
            "`spec.transport`",
            spec(json!({"transport": "grpc", "serverType": "kafka"})),
            vec![LeftOut("spec.serverType")],
        ),
        ("`spec.replicas`", spec(json!({"replicas": 4})), vec![Set("replicas", json!(4))]),
        ("`spec.replicas`", with(json!({"replicas": 3}), json!({"replicas": 4})), vec![Set("replicas", json!(3))]),
        ("`spec.replicas`", spec(json!({})), vec![Set("replicas", json!(1))]),
        (
            "several predictors",
            json!({
                "apiVersion": "machinelearning.seldon.io/v1", "kind": "SeldonDeployment", "metadata": {"name": "reviews"},
                "spec": {"protocol": "v2", "predictors": [
                    {"name": "a", "traffic": 90, "graph": {"name": "one", "modelUri": "gs://models/one"}},
                    {"name": "b", "traffic": 10, "graph": {"name": "two", "modelUri": "gs://models/two"}},
                ]},
            }),
            vec![Set("model.name", json!("one")), LeftOut("spec.predictors[1]")],
        ),
        ("`shadow: true`", predictor(json!({"shadow": true})), vec![LeftOut("spec.predictors[0].shadow")]),
        (
            "`spec.annotations`",
            spec(json!({"annotations": {"seldon.io/rest-timeout": "1500", "seldon.io/grpc-timeout": "10000"}})),
            vec![Set("server.requestTimeout", json!(10)), Nothing],
        ),
        (
            "`seldon.io/grpc-max-message-size`",
            spec(json!({"annotations": {"seldon.io/grpc-max-message-size": "1"}})),
            vec![LeftOut("spec.annotations.seldon.io/grpc-max-message-size")],
        ),
        ("`graph.name`", spec(json!({})), vec![Set("model.name", json!("classifier"))]),
        ("`graph.implementation`", graph(json!({"implementation": "HUGGINGFACE_SERVER"})), vec![Nothing]),
        (
            "`graph.modelUri",
            spec(json!({})),
            vec![Set("model.source", json!({"gcs": {"bucket": "models", "path": "reviews"}}))],
        ),
        (
            "`graph.envSecretRefName`",
            graph(json!({"envSecretRefName": "models"})),
            vec![
                Set("model.source.gcs.credentialsSecretRef", json!({"name": "models"})),
                ByHand("make the Secret models anew"),
            ],
        ),
        (
            "`graph.serviceAccountName`",
            graph(json!({"serviceAccountName": "models"})),
            vec![Set("serviceAccountName", json!("models"))],
        ),
        (
            "`graph.storageInitializerImage`",
            graph(json!({"storageInitializerImage": "a"})),
            vec![LeftOut("spec.predictors[0].graph.storageInitializerImage")],
        ),
        (
            "`graph.parameters`: `task`",
            parameter("task", "text-classification"),
            vec![LeftOut("spec.predictors[0].graph.parameters[0]: task")],
        ),
        (
            "`graph.parameters`: `pretrained_model`",
            graph(json!({"modelUri": null, "parameters": [
                {"name": "pretrained_model", "type": "STRING", "value": "OWNER/NAME"},
                {"name": "pretrained_tokenizer", "type": "STRING", "value": "OWNER/NAME"},
            ]})),
            vec![Set("model.source", json!({"huggingFace": {"repository": "OWNER/NAME"}})), Nothing],
        ),
        (
            "`graph.parameters`: `optimum_model`",
            parameter("optimum_model", "true"),
            vec![LeftOut("spec.predictors[0].graph.parameters[0]: optimum_model")],
        ),
        (
            "`graph.children`",
            graph(json!({"type": "MODEL", "endpoint": {"type": "REST"}, "children": [{"name": "a"}]})),
            vec![LeftOut("spec.predictors[0].graph.children")],
        ),
        (
            "`graph.logger`",
            graph(json!({"logger": {"url": "http://records.shop.svc", "mode": "all"}})),
            vec![Set("inferenceLog", json!({"url": "http://records.shop.svc", "includeText": true}))],
        ),
        (
            "`componentSpecs[].spec.containers[].image`",
            container(json!({"name": "classifier", "image": "a:1"})),
            vec![LeftOut("spec.predictors[0].componentSpecs[0].spec.containers[0].image")],
        ),
        (
            "`….resources`",
            container(json!({
                "resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "2Gi"}}, "env": [{"name": "LEVEL", "value": "1"}],
                "envFrom": [{"secretRef": {"name": "a"}}],
            })),
            vec![
                Set("resources", json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "2Gi"}})),
                Set("env", json!([{"name": "LEVEL", "value": "1"}])),
                Set("envFrom", json!([{"secretRef": {"name": "a"}}])),
            ],
        ),
        (
            "`….livenessProbe`",
            container(json!({"livenessProbe": {"tcpSocket": {"port": 1}, "failureThreshold": 9}})),
            vec![Set("probes", json!({"liveness": {"failureThreshold": 9}})), Nothing],
        ),
        (
            "`componentSpecs[].spec`: `nodeSelector`",
            component(json!({"spec": {"nodeSelector": {"disk": "ssd"}}})),
            vec![Set("scheduling", json!({"nodeSelector": {"disk": "ssd"}}))],
        ),
        (
            "`componentSpecs[].spec`: `imagePullSecrets`",
            component(
                json!({"spec": {"imagePullSecrets": [{"name": "a"}], "securityContext": {}, "volumes": [{"name": "b"}]}}),
            ),
            vec![
                Set("image.pullSecrets", json!([{"name": "a"}])),
                LeftOut("spec.predictors[0].componentSpecs[0].spec.securityContext"),
                LeftOut("spec.predictors[0].componentSpecs[0].spec.volumes"),
            ],
        ),
        (
            "`componentSpecs[].metadata`",
            component(json!({"metadata": {"labels": {"team": "a"}}})),
            vec![Set("podMetadata.labels", json!({"team": "a"}))],
        ),
        (
            "`componentSpecs[].hpaSpec`",
            component(json!({"hpaSpec": {"minReplicas": 2, "maxReplicas": 6, "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "targetAverageUtilization": 70}},
            ]}})),
            vec![
                Set("autoscaling", json!({"minReplicas": 2, "maxReplicas": 6, "targetCPUUtilizationPercentage": 70})),
                Nothing,
            ],
        ),
        (
            "`componentSpecs[].kedaSpec`",
            component(json!({"kedaSpec": {"triggers": []}})),
            vec![Set("autoscaling", json!({"external": {}})), ByHand("ScaledObject")],
        ),
        (
            "`componentSpecs[].pdbSpec`",
            component(json!({"pdbSpec": {"minAvailable": "50%"}})),
            vec![Set("disruptionBudget", json!({"minAvailable": "50%"}))],
        ),
        (
            "`svcOrchSpec`",
            predictor(json!({"svcOrchSpec": {"replicas": 1}, "engineResources": {"limits": {}}})),
            vec![LeftOut("spec.predictors[0].svcOrchSpec"), LeftOut("spec.predictors[0].engineResources")],
        ),
        (
            "`explainer`",
            predictor(json!({"explainer": {"type": "AnchorText"}})),
            vec![Nothing, ByHand("POST /explain")],
        ),
        (
            "`ssl.certSecretName`",
            predictor(json!({"ssl": {"certSecretName": "certificate"}})),
            vec![Set("tls.secretName", json!("certificate"))],
        ),
        (
            "`labels`, `annotations`",
            predictor(json!({"labels": {"team": "a"}, "annotations": {"note": "b"}})),
            vec![Set("podMetadata", json!({"labels": {"team": "a"}, "annotations": {"note": "b"}}))],
        ),
        (
            "`progressDeadlineSeconds`",
            predictor(json!({"progressDeadlineSeconds": 60})),
            vec![LeftOut("spec.predictors[0].progressDeadlineSeconds")],
        ),
        ("`status.state`", Value::Null, vec![NoField]),
    ];
    let base = spec(json!({}));
    held("from-seldon.md", "SeldonDeployment, field by field", &base, cases);
}

#[test]
fn a_model_of_core_2_becomes_what_its_table_says() {
    let base = json!({
        "apiVersion": "mlops.seldon.io/v1alpha1", "kind": "Model", "metadata": {"name": "reviews"},
        "spec": {"storageUri": "gs://models/reviews", "requirements": ["huggingface"]},
    });
    let spec = |patch: Value| json!({"spec": patch});
    let cases = vec![
        (
            "`spec.storageUri`",
            json!({}),
            vec![Set("model.source", json!({"gcs": {"bucket": "models", "path": "reviews"}}))],
        ),
        ("`spec.storageUri`", spec(json!({"storageUri": "store:models/reviews"})), vec![LeftOut("spec.storageUri")]),
        (
            "`spec.artifactVersion`",
            spec(json!({"artifactVersion": 3})),
            vec![Set("model.source.gcs.path", json!("reviews/3"))],
        ),
        (
            "`spec.secretName`",
            spec(json!({"secretName": "models"})),
            vec![
                Set("model.source.gcs.credentialsSecretRef", json!({"name": "models"})),
                ByHand("make the Secret models anew"),
            ],
        ),
        ("`spec.modelType`", spec(json!({"modelType": "huggingface"})), vec![Nothing]),
        ("`spec.schemaUri`", spec(json!({"schemaUri": "gs://a"})), vec![LeftOut("spec.schemaUri")]),
        ("`spec.server`", spec(json!({"server": "mlserver", "dedicated": true, "preloaded": false})), vec![Nothing]),
        ("`spec.memory`", spec(json!({"memory": "800Mi"})), vec![Set("resources.requests.memory", json!("800Mi"))]),
        ("`spec.replicas`", spec(json!({"replicas": 3})), vec![Set("replicas", json!(3))]),
        (
            "`spec.replicas`",
            spec(json!({"replicas": 2, "minReplicas": 2, "maxReplicas": 5})),
            vec![Set("autoscaling", json!({"minReplicas": 2, "maxReplicas": 5})), Set("replicas", Value::Null)],
        ),
        (
            "`spec.logger.percent`",
            spec(json!({"logger": {"percent": 25}})),
            vec![Set("inferenceLog", json!({"stdout": true, "sampleRatio": 0.25}))],
        ),
        (
            "`spec.explainer`",
            spec(json!({"explainer": {"type": "anchor_text", "modelRef": "a"}})),
            vec![Nothing, ByHand("POST /explain")],
        ),
        (
            "`spec.parameters`",
            spec(json!({"parameters": [{"name": "a", "value": "b"}]})),
            vec![LeftOut("spec.parameters[0]")],
        ),
        (
            "`spec.dataflow`",
            spec(json!({"dataflow": {"cleanTopicsOnDelete": true}, "llm": {"modelRef": "a"}})),
            vec![LeftOut("spec.dataflow"), LeftOut("spec.llm")],
        ),
        ("condition", Value::Null, vec![NoField]),
        ("`Pipeline`", Value::Null, vec![NoField]),
    ];
    held("from-seldon.md", "Model of Seldon Core 2, field by field", &base, cases);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn a_deployment_of_tei_becomes_what_its_table_says() {
    let with = |arguments: &[&str], env: Value| {
        let model = ["--model-id", "OWNER/NAME"];
        let has_model = arguments.contains(&"--model-id");
        let arguments: Vec<&str> =
            if has_model { arguments.to_vec() } else { model.iter().chain(arguments).copied().collect() };
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "emotions"},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"app": "emotions"}},
                "template": {"metadata": {"labels": {"app": "emotions"}}, "spec": {"containers": [{
                    "name": "tei", "image": "registry.example.com/huggingface/text-embeddings-inference:cpu-1.9", "args": arguments, "env": env,
                }]}},
            },
        })
    };
    let told = |arguments: &[&str]| with(arguments, json!([]));
    let secret = |name: &str| {
        with(&[], json!([{"name": name, "valueFrom": {"secretKeyRef": {"name": "emotions", "key": "a"}}}]))
    };
    let reference = json!({"name": "emotions", "key": "a"});
    let cases = vec![
        (
            "`--model-id OWNER/NAME`",
            told(&[]),
            vec![
                Set("model", json!({"name": "OWNER/NAME", "source": {"huggingFace": {"repository": "OWNER/NAME"}}})),
                Set("replicas", json!(2)),
            ],
        ),
        ("`--model-id DIRECTORY`", told(&["--model-id", "/data/model"]), vec![LeftOut("--model-id")]),
        (
            "`--revision`",
            told(&["--revision=0123abc"]),
            vec![Set("model.source.huggingFace.revision", json!("0123abc"))],
        ),
        (
            "`--revision`",
            with(&[], json!([{"name": "REVISION", "value": "0123abc"}])),
            vec![Set("model.source.huggingFace.revision", json!("0123abc")), Set("env", Value::Null)],
        ),
        ("`--hf-token`", secret("HF_TOKEN"), vec![Set("model.source.huggingFace.tokenSecretRef", reference.clone())]),
        (
            "`--hf-token`",
            told(&["--hf-api-token", "hf_planted"]),
            vec![
                Set("model.source.huggingFace.tokenSecretRef", json!({"name": "emotions-token", "key": "token"})),
                ByHand("make the Secret emotions-token"),
            ],
        ),
        ("`--huggingface-hub-cache`", told(&["--huggingface-hub-cache", "/data"]), vec![ByHand("model.cache")]),
        ("`--dtype", told(&["--dtype", "float16"]), vec![Set("model.source.huggingFace.variant", json!("fp16"))]),
        (
            "`--served-model-name`",
            told(&["--served-model-name", "emotions"]),
            vec![Set("model.name", json!("emotions"))],
        ),
        ("`--pooling`", told(&["--pooling", "cls"]), vec![LeftOut("--pooling")]),
        (
            "`--tokenization-workers`",
            told(&["--tokenization-workers", "4", "--device-id=1"]),
            vec![LeftOut("--tokenization-workers"), LeftOut("--device-id")],
        ),
        (
            "`--max-concurrent-requests`",
            told(&["--max-concurrent-requests", "64"]),
            vec![Set("server.batching.queueCapacity", json!(64))],
        ),
        (
            "`--max-batch-tokens`",
            told(&["--max-batch-tokens=2048"]),
            vec![Set("server.batching.maxBatchTokens", json!(2048))],
        ),
        (
            "`--max-batch-requests`",
            told(&["--max-batch-requests", "16"]),
            vec![Set("server.batching.maxBatchSize", json!(16))],
        ),
        (
            "`--max-client-batch-size`",
            told(&["--max-client-batch-size", "64"]),
            vec![LeftOut("--max-client-batch-size")],
        ),
        (
            "`--auto-truncate`",
            told(&["--auto-truncate", "false"]),
            vec![Set("env", json!([{"name": "MLOPS_LONG_TEXTS", "value": "refuse"}]))],
        ),
        ("`--auto-truncate`", told(&["--auto-truncate"]), vec![Set("env", Value::Null), Nothing]),
        ("`--payload-limit`", told(&["--payload-limit", "1000"]), vec![LeftOut("--payload-limit")]),
        ("`--hostname`", told(&["--hostname", "0.0.0.0", "-p", "3000"]), vec![Set("service.port", json!(3000))]),
        ("`--uds-path`", told(&["--uds-path", "/tmp/a"]), vec![LeftOut("--uds-path")]),
        ("`--api-key`", secret("API_KEY"), vec![Set("auth.apiKeySecretRef", reference)]),
        (
            "`--api-key`",
            told(&["--api-key", "planted"]),
            vec![
                Set("auth.apiKeySecretRef", json!({"name": "emotions-api-key", "key": "api-key"})),
                ByHand("make the Secret emotions-api-key"),
            ],
        ),
        ("`--json-output`", told(&["--json-output"]), vec![Nothing]),
        ("`--disable-spans`", told(&["--disable-spans"]), vec![Nothing]),
        (
            "`--otlp-endpoint`",
            told(&["--otlp-endpoint", "http://collector.tracing.svc:4317"]),
            vec![
                Set("env", json!([{"name": "MLOPS_OTLP_ENDPOINT", "value": "http://collector.tracing.svc:4318"}])),
                ByHand("OTLP over HTTP"),
            ],
        ),
        (
            "`--otlp-service-name`",
            told(&["--otlp-service-name", "emotions"]),
            vec![Set("env", json!([{"name": "OTEL_SERVICE_NAME", "value": "emotions"}]))],
        ),
        ("`--prometheus-port`", told(&["--prometheus-port", "9000"]), vec![Set("monitoring", json!({}))]),
        (
            "`--cors-allow-origin`",
            told(&["--cors-allow-origin", "https://shop.example.com"]),
            vec![Set("server.allowedOrigins", json!(["https://shop.example.com"]))],
        ),
        ("`--cors-allow-origin`", told(&["--cors-allow-origin", "*"]), vec![LeftOut("--cors-allow-origin")]),
        ("`GET /health`", Value::Null, vec![NoField]),
        ("`GET /metrics`", Value::Null, vec![NoField]),
    ];
    for (row, source, _) in &cases {
        let Value::Object(_) = source else { continue };
        let (service, notes, _) = convert(&source.to_string());
        let all = format!("{service}{notes:?}");
        assert!(!all.contains("planted"), "{row}: a secret is repeated: {all}");
    }
    held("from-tei.md", "Flag by flag", &told(&[]), cases);
}

#[test]
fn a_service_of_tei_stays_where_callers_ask() {
    let text = "
kind: Service
apiVersion: v1
metadata: {name: tei}
spec: {type: NodePort, selector: {app: emotions}, ports: [{port: 80, targetPort: 3000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: emotions}
spec:
  selector: {matchLabels: {app: emotions}}
  template:
    metadata: {labels: {app: emotions, team: a}}
    spec: {containers: [{image: text-embeddings-inference, args: [--model-id, OWNER/NAME, --port, '3000']}]}
";
    let (service, notes, _) = convert(text);
    assert_eq!(service["spec"]["service"], json!({"port": 80, "type": "NodePort"}));
    assert_eq!(service["spec"]["podMetadata"], json!({"labels": {"team": "a"}}));
    assert!(notes.iter().any(|note| note == "by hand: callers of the Service tei ask emotions"), "{notes:?}");
}

/// What nobody knows is told, wherever it is.
#[test]
fn no_field_is_dropped_without_a_word() {
    let text = "
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: reviews, namespace: shop, labels: {team: a}, annotations: {sidecar.istio.io/inject: 'true', serving.kserve.io/new: b}}
spec:
  unheard: 1
  predictor: {unheard: 2, model: {modelFormat: {name: onnx}, storageUri: gs://a/b, unheard: 3, resources: {claims: []}, args: [--unheard, '4']}}
";
    let (service, notes, is_loss) = convert(text);
    let expected = json!({
        "name": "reviews", "namespace": "shop", "labels": {"team": "a"}, "annotations": {"sidecar.istio.io/inject": "true"},
    });
    assert_eq!((&service["metadata"], is_loss), (&expected, true));
    let left_out: Vec<&str> = notes.iter().filter_map(|note| note.strip_prefix("left out: ")).collect();
    let predictor = "spec.predictor";
    assert_eq!(
        left_out,
        [
            format!("{predictor}.model.args: --unheard: has no counterpart"),
            format!("{predictor}.model.resources.claims: has no counterpart"),
            format!("{predictor}.model.unheard: has no counterpart"),
            format!("{predictor}.unheard: has no counterpart"),
            "spec.unheard: has no counterpart".to_owned(),
            "metadata.annotations.serving.kserve.io/new: has no counterpart".to_owned(),
        ]
    );
}

#[test]
fn what_serves_no_texts_is_refused() {
    let text = "{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, metadata: {name: iris}, spec: {predictor: {sklearn: {}}}}";
    let documents = documents("a.yaml", text);
    let refused = converted(&documents[0], &documents).unwrap_err().to_string();
    assert!(refused.starts_with("a.yaml:1: has no model, huggingface, triton or onnx"), "{refused}");
}

/// The examples of the pages: the first block or two are the source, and the next is what it says they become.
#[test]
fn the_examples_of_the_pages_become_what_is_said() {
    for (page, sources) in [("from-kserve.md", 1), ("from-seldon.md", 2), ("from-tei.md", 1)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
        let text = fs::read_to_string(path).unwrap();
        let blocks: Vec<&str> = text.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next()).collect();
        let expected = documents("", blocks[sources]).remove(0).object.unwrap();
        for source in &blocks[..sources] {
            let (service, ..) = convert(source);
            for path in ["replicas", "autoscaling", "server", "auth", "model.name", "model.maxTokens"] {
                assert_eq!(field(&service, path), field(&expected, path), "{page}: {path}");
            }
            let kind = |service: &Value| service["spec"]["model"]["source"].as_object().unwrap().keys().next().cloned();
            assert_eq!(kind(&service), kind(&expected), "{page}");
        }
    }
}
