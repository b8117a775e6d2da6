//! Specs that an API server refuses. `kubectl sentiment lint` is held to the same table, in `kubectl-sentiment/tests`.

use serde_json::{Value, json};

/// A spec, and a part of the sentence that refuses it.
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn cases() -> Vec<(Value, &'static str)> {
    let cached = |cache: Value| json!({"model": {"source": {"s3": {"bucket": "abc"}}, "cache": cache}});
    vec![
        (json!({"replicas": -1}), "spec.replicas in body should be greater than or equal to 0"),
        (json!({"replicas": 1001}), "should be less than or equal to 1000"),
        (json!({"replicas": "two"}), "must be of type integer"),
        (json!({"profile": "Prod"}), "supported values: \"Local\", \"Development\", \"Staging\", \"Production\""),
        (json!({"profil": "Local"}), "unknown field \"spec.profil\""),
        (
            json!({"image": {"tag": "a", "digest": format!("sha256:{}", "0".repeat(64))}}),
            "set image.tag or image.digest, not both",
        ),
        (json!({"image": {"digest": "sha256:1"}}), "should match '^sha256:[0-9a-f]{64}$'"),
        (
            json!({"image": {"debug": true, "digest": format!("sha256:{}", "0".repeat(64))}}),
            "image.debug picks the debug variant by its tag",
        ),
        (json!({"image": {"repository": ""}}), "should be at least 1 chars long"),
        (json!({"image": {"repository": "has space"}}), "spec.image.repository in body should match"),
        (json!({"image": {"tag": "-x"}}), "spec.image.tag in body should match"),
        (json!({"image": {"pullPolicy": "Sometimes"}}), "supported values: \"Always\", \"IfNotPresent\", \"Never\""),
        (json!({"image": {"pullSecrets": ["a"]}}), "must be of type object"),
        (json!({"model": {"source": {}}}), "set exactly one model source"),
        (json!({"model": {"source": {"builtin": {}, "http": {"url": "http://a/b"}}}}), "set exactly one model source"),
        (json!({"model": {"source": {"ftp": {}}}}), "unknown field \"spec.model.source.ftp\""),
        (json!({"model": {"source": {"image": {}}}}), "spec.model.source.image.reference: Required value"),
        (
            json!({"model": {"source": {"image": {"reference": "a b"}}}}),
            "spec.model.source.image.reference in body should match",
        ),
        (
            json!({"model": {"source": {"image": {"reference": "a", "path": "../b"}}}}),
            "spec.model.source.image.path in body should match",
        ),
        (
            json!({"model": {"source": {"image": {"reference": "a", "path": "/b"}}}}),
            "spec.model.source.image.path in body should match",
        ),
        (
            json!({"model": {"source": {"huggingFace": {"repository": "a/b/c"}}}}),
            "spec.model.source.huggingFace.repository in body should match",
        ),
        (
            json!({"model": {"source": {"huggingFace": {"repository": "a", "endpoint": "hub.example.com"}}}}),
            "an endpoint is a scheme and a host, such as https://minio.storage.svc:9000",
        ),
        (
            json!({"model": {"source": {"s3": {"bucket": "abc", "endpoint": "https://user:word@minio"}}}}),
            "an endpoint is a scheme and a host",
        ),
        (json!({"model": {"source": {"s3": {"bucket": "ab"}}}}), "should be at least 3 chars long"),
        (json!({"model": {"source": {"http": {"url": "ftp://a/b"}}}}), "http.url is a URL of HTTP"),
        (
            json!({"model": {"source": {"http": {"url": "http://a/b", "sha256": "1"}}}}),
            "spec.model.source.http.sha256 in body should match",
        ),
        (json!({"model": {"digest": "1"}}), "spec.model.digest in body should match"),
        (json!({"model": {"cache": {"size": "1Gi"}}}), "model.cache keeps what is fetched"),
        (
            json!({"model": {"source": {"persistentVolumeClaim": {"claimName": "a"}}, "cache": {"size": "1Gi"}}}),
            "model.cache keeps what is fetched",
        ),
        (cached(json!({})), "set model.cache.claimName, for a claim of yours, or model.cache.size"),
        (cached(json!({"claimName": "a", "size": "1Gi"})), "set model.cache.claimName"),
        (
            cached(json!({"claimName": "a", "accessMode": "ReadWriteOnce"})),
            "model.cache.storageClassName and accessMode",
        ),
        (
            cached(json!({"size": "1Gi", "accessMode": "ReadOnlyMany"})),
            "supported values: \"ReadWriteOnce\", \"ReadWriteMany\"",
        ),
        (cached(json!({"size": "much"})), "spec.model.cache.size in body should match"),
        (
            json!({
                "model": {"source": {"gcs": {"bucket": "abc"}}}, "env": [{"name": "MLOPS_ONNX_MODEL_PATH", "value": "/a"}],
            }),
            "set model.source or MLOPS_ONNX_MODEL_PATH in env, not both",
        ),
        (
            json!({
                "model": {"digest": format!("sha256:{}", "0".repeat(64))},
                "env": [{"name": "MLOPS_MODEL_DIGEST", "value": "a"}],
            }),
            "set model.digest or MLOPS_MODEL_DIGEST in env, not both",
        ),
        (json!({"model": {"name": "no spaces"}}), "spec.model.name in body should match"),
        (json!({"resources": {"requests": {"cpu": "lots"}}}), "spec.resources.requests.cpu in body should match"),
        (json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": 1}}}), "a request exceeds its limit"),
        (json!({"resources": {"limits": {"memory": true}}}), "must be of type"),
        (json!({"server": {"threads": 0}}), "spec.server.threads in body should be greater than or equal to 1"),
        (json!({"server": {"requestTimeout": 0}}), "should be greater than or equal to 1"),
        (json!({"server": {"maxTextLength": 10001}}), "should be less than or equal to 10000"),
        (
            json!({"server": {"logLevel": "loud"}}),
            "supported values: \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ),
        (json!({"server": {"drainSeconds": -1}}), "should be greater than or equal to 0"),
        (json!({"server": {"allowedOrigins": ["*"]}}), "an origin is a scheme and a host"),
        (json!({"server": {"allowedOrigins": ["https://a.example/path"]}}), "an origin is a scheme and a host"),
        (json!({"server": {"batching": {"maxBatchSize": 0}}}), "should be greater than or equal to 1"),
        (json!({"server": {"batching": {"maxBatchTokens": 15}}}), "should be greater than or equal to 16"),
        (json!({"server": {"batching": {"queueCapacity": 100_001}}}), "should be less than or equal to 100000"),
        (json!({"probes": {"startup": {"periodSeconds": 0}}}), "should be greater than or equal to 1"),
        (json!({"probes": {"liveness": {"failureThreshold": 0}}}), "should be greater than or equal to 1"),
        (json!({"probes": {"readiness": {"path": "/"}}}), "unknown field \"spec.probes.readiness.path\""),
        (json!({"env": [{"value": "x"}]}), "spec.env[0].name: Required value"),
        (json!({"env": {"A": "b"}}), "spec.env"),
        (json!({"service": {"port": 0}}), "should be greater than or equal to 1"),
        (json!({"service": {"port": 65536}}), "should be less than or equal to 65535"),
        (json!({"service": {"sessionAffinity": "Cookie"}}), "supported values: \"None\", \"ClientIP\""),
        (
            json!({"service": {"type": "ExternalName"}}),
            "supported values: \"ClusterIP\", \"NodePort\", \"LoadBalancer\"",
        ),
        (
            json!({"podMetadata": {"labels": {"app.kubernetes.io/name": "x"}}}),
            "are the operator's own: choose another key",
        ),
        (
            json!({"podMetadata": {"labels": {"kubesentiment.io/track": "x"}}}),
            "are the operator's own: choose another key",
        ),
        (json!({"podMetadata": {"labels": {"a": 1}}}), "must be of type string"),
        (json!({"podMetadata": {"labels": {"a": "x".repeat(64)}}}), "may not be more than 63"),
        (json!({"podMetadata": {"labels": {"k".repeat(318): ""}}}), "the key of a label or an annotation is too long"),
        (json!({"podMetadata": {"annotations": {"a": "x".repeat(4097)}}}), "may not be more than 4096"),
        (json!({"podMetadata": {"annotations": annotations(65, 1)}}), "must have at most 64 items"),
        (
            json!({"podMetadata": {"annotations": annotations(17, 4000)}}),
            "the annotations take more than 65536 characters together",
        ),
        (json!({"service": {"annotations": annotations(65, 1)}}), "must have at most 64 items"),
        (
            json!({"service": {"annotations": annotations(17, 4000)}}),
            "the annotations take more than 65536 characters together",
        ),
        (json!({"monitoring": {"labels": {"a": "x".repeat(64)}}}), "may not be more than 63"),
        (json!({"suspend": "yes"}), "must be of type boolean"),
        (json!({"replicas": 2, "autoscaling": {"maxReplicas": 3}}), "set replicas or autoscaling, not both"),
        (json!({"autoscaling": {}}), "set exactly one of autoscaling.maxReplicas"),
        (json!({"autoscaling": {"maxReplicas": 3, "external": {}}}), "set exactly one of autoscaling.maxReplicas"),
        (json!({"replicas": 1, "autoscaling": {"external": {}}}), "set replicas or autoscaling, not both"),
        (
            json!({"autoscaling": {"external": {}, "targetCPUUtilizationPercentage": 80}}),
            "autoscaling.external leaves the number of pods to something else",
        ),
        (json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 3}}), "with autoscaling.minReplicas 0"),
        (
            json!({"rollout": {"maxSurge": 0, "maxUnavailable": "0%"}}),
            "rollout.maxSurge and rollout.maxUnavailable are both 0",
        ),
        (json!({"rollout": {"maxSurge": -1}}), "rollout.maxSurge and rollout.maxUnavailable are a number of pods"),
        (
            json!({"rollout": {"maxUnavailable": "101%"}}),
            "rollout.maxSurge and rollout.maxUnavailable are a number of pods",
        ),
        (json!({"security": {"userIds": "Any"}}), "supported values: \"Fixed\", \"Platform\""),
        (json!({"autoscaling": {"maxReplicas": 0}}), "should be greater than or equal to 1"),
        (json!({"autoscaling": {"minReplicas": 4, "maxReplicas": 3}}), "autoscaling.minReplicas exceeds"),
        (
            json!({"autoscaling": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 0}}),
            "spec.autoscaling.targetCPUUtilizationPercentage in body should be greater than or equal to 1",
        ),
        (json!({"autoscaling": {"maxReplicas": 3, "behaviour": {}}}), "unknown field \"spec.autoscaling.behaviour\""),
        (json!({"disruptionBudget": {}}), "set exactly one of disruptionBudget.minAvailable"),
        (
            json!({"disruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}),
            "set exactly one of disruptionBudget.minAvailable",
        ),
        (json!({"disruptionBudget": {"maxUnavailable": "half"}}), "a disruptionBudget is a number of pods"),
        (json!({"disruptionBudget": {"minAvailable": -1}}), "a disruptionBudget is a number of pods"),
        (json!({"networkPolicy": {"ingressFrom": [{}]}}), "a peer is an ipBlock, or a podSelector"),
        (json!({"networkPolicy": {"dnsTo": [{}]}}), "a peer is an ipBlock, or a podSelector"),
        (json!({"networkPolicy": {"egressTo": ["10.0.0.0/8"]}}), "must be of type object"),
        (json!({"cache": {"memory": {"maxEntries": -1}}}), "should be greater than or equal to 0"),
        (json!({"cache": {"redis": {}}}), "spec.cache.redis.host: Required value"),
        (json!({"cache": {"redis": {"host": "redis://x"}}}), "spec.cache.redis.host in body should match"),
        (json!({"cache": {"redis": {"host": "r", "password": "x"}}}), "unknown field \"spec.cache.redis.password\""),
        (json!({"auth": {}}), "spec.auth.apiKeySecretRef: Required value"),
        (
            json!({"auth": {"apiKeySecretRef": {"name": "Not_A_Name"}}}),
            "spec.auth.apiKeySecretRef.name in body should match",
        ),
        (json!({"route": {"parentRefs": []}}), "spec.route.parentRefs in body should have at least 1 items"),
        (json!({"route": {"parentRefs": [{"name": "g"}], "path": "reviews"}}), "spec.route.path in body should match"),
        (
            json!({"route": {"parentRefs": [{"name": "g"}], "hostnames": ["https://x"]}}),
            "spec.route.hostnames[0] in body should match",
        ),
        (
            json!({"route": {"parentRefs": [{"name": "shop", "group": "", "kind": "Service"}]}}),
            "a parent of the route is a Gateway",
        ),
        (json!({"monitoring": {"interval": "often"}}), "spec.monitoring.interval in body should match"),
        (
            json!({"monitoring": {"labels": {"app.kubernetes.io/instance": "x"}}}),
            "are the operator's own: choose another key",
        ),
        (
            json!({"env": [{"name": "MLOPS_PORT", "value": "9"}]}),
            "MLOPS_PORT, MLOPS_GRPC_PORT, MLOPS_MANAGEMENT_PORT and MLOPS_HOST are",
        ),
        (
            json!({"env": [{"name": "MLOPS_MANAGEMENT_PORT", "value": "9"}]}),
            "MLOPS_PORT, MLOPS_GRPC_PORT, MLOPS_MANAGEMENT_PORT and MLOPS_HOST are",
        ),
        (
            json!({"env": [{"name": "MLOPS_DEBUG", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]}),
            "MLOPS_DEBUG moves the paths that the probes ask",
        ),
        (
            json!({"auth": {"apiKeySecretRef": {"name": "keys"}}, "env": [{"name": "MLOPS_API_KEY", "value": "x"}]}),
            "set auth.apiKeySecretRef or MLOPS_API_KEY in env, not both",
        ),
        (json!({"envFrom": [{"configMapRef": "x"}]}), "must be of type object"),
        (json!({"configMapRef": {}}), "spec.configMapRef.name: Required value"),
        (json!({"serviceAccountName": "Not A Name"}), "spec.serviceAccountName in body should match"),
        (json!({"scheduling": {"tolerations": [{"tolerationSeconds": "x"}]}}), "must be of type integer"),
        (json!({"scheduling": {"topologySpreadConstraints": [{"maxSkew": 1}]}}), "Required value"),
        (json!({"model": {"maxTokens": 3}}), "should be greater than or equal to 4"),
        (json!({"model": {"labels": ["GOOD"]}}), "model.labels names the classes of the model by index"),
        (json!({"model": {"neutralBand": 1.0}}), "model.neutralBand is a probability from 0 to below 1"),
        (json!({"model": {"neutralBand": -0.1}}), "should be greater than or equal to 0"),
        (json!({"protocols": ["soap"]}), "supported values: \"native\", \"oip\""),
        (json!({"protocols": []}), "should have at least 1 items"),
        (json!({"protocols": ["grpc", "grpc"]}), "Duplicate value"),
        (json!({"service": {"grpcPort": 8000}}), "service.grpcPort is the port of the Service for HTTP"),
        (
            json!({"protocols": ["native"], "route": {"parentRefs": [{"name": "g"}], "grpc": {}}}),
            "route.grpc publishes gRPC, which isn't served",
        ),
        (json!({"tls": {}}), "spec.tls.secretName: Required value"),
        (json!({"auth": limits(&json!([{"name": "shop"}]))}), "a limit limits nothing"),
        (json!({"auth": limits(&json!([{"name": "a b", "concurrency": 1}]))}), "should match"),
        (
            json!({"auth": limits(&json!([{"name": "*", "concurrency": 1}, {"name": "*", "concurrency": 2}]))}),
            "Duplicate value",
        ),
        (json!({"auth": limits(&json!([{"name": "*", "concurrency": 1, "burst": 2}]))}), "burst is how far"),
        (json!({"inferenceLog": {}}), "inferenceLog leads nowhere"),
        (json!({"inferenceLog": {"url": "records.example.com"}}), "inferenceLog.url is a scheme and a host"),
        (json!({"inferenceLog": {"stdout": true, "sampleRatio": 1.1}}), "should be less than or equal to 1"),
        (
            json!({"inferenceLog": {"url": "http://records", "caSecretRef": {"name": "a"}}}),
            "inferenceLog.caSecretRef has the authority",
        ),
        (json!({"autoscale": {}}), "unknown field \"spec.autoscale\""),
    ]
}

/// So many annotations of such values.
fn annotations(count: usize, length: usize) -> Value {
    (0..count).map(|number| (format!("example.com/{number}"), json!("x".repeat(length)))).collect()
}

fn limits(limits: &Value) -> Value {
    json!({"apiKeySecretRef": {"name": "keys"}, "limits": limits})
}
