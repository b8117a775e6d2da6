//! What a user sees of a service that works.

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, Client, ResourceExt, api::ListParams};
use kubesentiment_e2e::{
    Failure, Outcome,
    cluster::{ask, in_node, kubectl, predict},
    ensure, eventually, failure, name_of, namespace, ready, repository, service,
};
use serde_json::{Value, json};

/// A namespace with a service of one pod that serves, and the address of its Service.
pub async fn serving(client: &Client, prefix: &str, spec: Value) -> Result<(String, String), Failure> {
    let namespace = namespace(client, prefix).await?;
    service(client, &namespace, "reviews", spec).await.map_err(failure)?;
    eventually("serving", || ready(client, &namespace, "reviews", "True", "Serving")).await?;
    let address = address(client, &namespace).await?;
    // kube-proxy learns of a ready pod a moment after everybody else.
    eventually("an answer through the Service", || async { predict(&address, "fine").map(drop) }).await?;
    Ok((namespace, address))
}

/// Address and port of the Service.
pub async fn address(client: &Client, namespace: &str) -> Result<String, Failure> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let spec = services.get("reviews").await.map_err(failure)?.spec.unwrap_or_default();
    let port = spec.ports.iter().flatten().next().map(|port| port.port).unwrap_or_default();
    Ok(format!("{}:{port}", spec.cluster_ip.unwrap_or_default()))
}

/// The only pod of the service.
pub async fn pod(client: &Client, namespace: &str) -> Result<Pod, Failure> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list = pods.list(&ListParams::default()).await.map_err(failure)?;
    name_of(&list.items)?;
    list.items.into_iter().next().ok_or_else(|| "no pod".to_owned())
}

/// A batch job is in one pod's memory, and each call of its client gets to that pod.
pub async fn sticky_client(client: Client) -> Outcome {
    let spec = json!({"replicas": 2, "service": {"sessionAffinity": "ClientIP"}});
    let (_, address) = serving(&client, "sticky", spec).await?;
    let job = ask(&address, "/batch/predict", Some(&json!({"texts": ["fine", "It broke"]})))?;
    let path = format!("/batch/status/{}", job["job_id"].as_str().ok_or("no job_id")?);
    for _ in 0..20 {
        ask(&address, &path, None)?;
    }
    eventually("the job's end", || async {
        let status = ask(&address, &path, None)?;
        ensure!(status["status"] == "completed", "{status}");
        Ok(())
    })
    .await
}

/// Right labels for plain sentences, from a pod that holds all that was promised.
pub async fn demo(client: Client) -> Outcome {
    let (namespace, address) = serving(&client, "serving", json!({"replicas": 1})).await?;
    for (text, label) in [
        ("I love this product", "POSITIVE"),
        ("Terrible support, I want my money back", "NEGATIVE"),
        ("The battery lasts all day and the screen is gorgeous", "POSITIVE"),
        ("It broke after a week", "NEGATIVE"),
    ] {
        let answer = predict(&address, text)?;
        ensure!(answer["label"] == label, "{text} is {answer}");
        ensure!(answer["score"].as_f64().is_some_and(|score| score > 0.5 && score <= 1.0), "the score is {answer}");
    }

    let pod = pod(&client, &namespace).await?;
    let spec = serde_json::to_value(&pod.spec).map_err(failure)?;
    let container = &spec["containers"][0];
    for (what, found, wanted) in [
        ("runAsNonRoot", &container["securityContext"]["runAsNonRoot"], json!(true)),
        ("runAsUser", &container["securityContext"]["runAsUser"], json!(65532)),
        ("allowPrivilegeEscalation", &container["securityContext"]["allowPrivilegeEscalation"], json!(false)),
        ("readOnlyRootFilesystem", &container["securityContext"]["readOnlyRootFilesystem"], json!(true)),
        ("capabilities", &container["securityContext"]["capabilities"], json!({"drop": ["ALL"]})),
        ("seccompProfile", &container["securityContext"]["seccompProfile"], json!({"type": "RuntimeDefault"})),
        ("the pod's runAsNonRoot", &spec["securityContext"]["runAsNonRoot"], json!(true)),
        ("the token", &spec["automountServiceAccountToken"], json!(false)),
        ("startup path", &container["startupProbe"]["httpGet"]["path"], json!("/api/v1/ready")),
        ("liveness path", &container["livenessProbe"]["httpGet"]["path"], json!("/api/v1/health")),
        ("readiness path", &container["readinessProbe"]["httpGet"]["path"], json!("/api/v1/ready")),
        ("requests", &container["resources"]["requests"], json!({"cpu": "250m", "memory": "512Mi"})),
        ("limits", &container["resources"]["limits"], json!({"cpu": "500m", "memory": "1Gi"})),
    ] {
        ensure!(*found == wanted, "{what} is {found}, not {wanted}");
    }
    // All mounts: the two writable folders, and no token.
    let mounts: Vec<&str> =
        container["volumeMounts"].as_array().into_iter().flatten().filter_map(|m| m["mountPath"].as_str()).collect();
    ensure!(mounts == ["/app/logs", "/app/tmp"], "the mounts are {mounts:?}");
    let empty = spec["volumes"].as_array().into_iter().flatten().all(|volume| volume["emptyDir"].is_object());
    ensure!(empty, "the volumes are {}", spec["volumes"]);
    Ok(())
}

/// Documented routes and shapes, through the Service.
pub async fn routes(client: Client) -> Outcome {
    let (namespace, address) =
        serving(&client, "routes", json!({"replicas": 1, "model": {"name": "reviews-en"}})).await?;
    let get = |path: &str| -> Result<Value, Failure> {
        let answer =
            in_node(&["curl", "-sS", "--fail-with-body", "--max-time", "10", &format!("http://{address}{path}")])?;
        serde_json::from_str(&answer).map_err(|error| format!("{path}: {error} in {answer}"))
    };
    ensure!(get("/")?["status"] == "operational", "/ is {}", get("/")?);
    ensure!(get("/api/v1/health")?["status"] == "healthy", "health is {}", get("/api/v1/health")?);
    ensure!(get("/api/v1/ready")? == json!({"status": "ready"}), "ready is {}", get("/api/v1/ready")?);
    ensure!(get("/api/v1/model-info")?["model_name"] == "reviews-en", "the model is {}", get("/api/v1/model-info")?);
    // What is for those who run the service has a port of its own, which the Service doesn't publish.
    let pod = pod(&client, &namespace).await?;
    let ip = pod.status.and_then(|status| status.pod_ip).ok_or("the pod has no address")?;
    let ask = |address: &str, path: &str| in_node(&["curl", "-sS", &format!("http://{address}/api/v1/{path}")]);
    let inside = format!("{ip}:8081");
    for (path, part) in [("health/details", "dependencies"), ("metrics", "sentiment_model_loaded")] {
        let answer = ask(&inside, path)?;
        ensure!(answer.contains(part), "{path} is {answer}");
        let answer = ask(&address, path)?;
        ensure!(!answer.contains(part) && answer.contains("8081"), "{path} is published: {answer}");
    }
    Ok(())
}

/// `kubectl explain` and `kubectl get` are worth reading.
pub async fn kubectl_face(client: Client) -> Outcome {
    serving(&client, "columns", json!({"replicas": 1})).await?;
    // Before `explain`, which goes by what kubectl remembers of the cluster: `get` looks again.
    let table = kubectl(&["get", "ssvc", "-A"])?;
    let header = table.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    ensure!(
        header == ["NAMESPACE", "NAME", "READY", "REASON", "REPLICAS", "AVAILABLE", "URL", "AGE"],
        "the columns are {header:?}"
    );
    let text = kubectl(&["explain", "ssvc.spec"])?;
    for sentence in ["The server image. Default:", "How many pods serve. Default: 2", "Scales to zero pods"] {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(flat.contains(sentence), "{sentence} is missing in {text}");
    }
    Ok(())
}

/// `kubectl apply` without `--server-side` keeps a copy of the definition in an annotation, and
/// annotations hold 262144 bytes in all.
pub fn client_side_crd() -> Outcome {
    let path = repository().join("crds/sentimentservices.kubesentiment.io.yaml");
    let size = std::fs::metadata(&path).map_err(failure)?.len();
    println!("the CustomResourceDefinition takes {size} bytes as YAML (aim: under 100000)");
    ensure!(size < 100_000, "it takes {size} bytes");
    let path = path.display().to_string();
    let said = kubectl(&["apply", "--server-side=false", "--dry-run=server", "-f", &path])?;
    ensure!(said.contains("sentimentservices.kubesentiment.io"), "kubectl says {said}");
    Ok(())
}

/// The production image has no shell; an ephemeral container brings one, as the guide says.
pub async fn debugging(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "debugging", json!({"replicas": 1})).await?;
    let pod = pod(&client, &namespace).await?.name_any();
    for shell in ["sh", "/bin/sh", "/bin/bash", "/busybox/sh"] {
        let answer = kubectl(&["-n", &namespace, "exec", &pod, "--", shell, "-c", "true"]);
        ensure!(answer.is_err(), "{shell} is in the production image");
    }
    let health = kubectl(&["-n", &namespace, "exec", &pod, "--", "/app/healthcheck", "--verbose"])?;
    ensure!(health.contains("200"), "the health check says {health}");

    let image = "--image=sentiment-service:distroless-debug";
    let seen = kubectl(&[
        "-n",
        &namespace,
        "debug",
        &pod,
        "--profile=restricted",
        image,
        "--image-pull-policy=Never",
        "--target=sentiment",
        "--container=look",
        "-i",
        "--quiet",
        "--",
        "sh",
        "-c",
        "id -u; ls /proc/1/root/app; wget -qO- http://127.0.0.1:8000/api/v1/ready",
    ])
    // The shell may have ended before kubectl could attach; its words are in the log then.
    .or_else(|_| kubectl(&["-n", &namespace, "logs", &pod, "-c", "look"]))?;
    let seen = if seen.trim().is_empty() { kubectl(&["-n", &namespace, "logs", &pod, "-c", "look"])? } else { seen };
    for part in ["65532", "sentiment-server", "build-info.json", "\"ready\""] {
        ensure!(seen.contains(part), "{part} is missing in {seen}");
    }
    Ok(())
}
