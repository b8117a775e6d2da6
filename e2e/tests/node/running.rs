//! Where a service runs and what happens to it there: settings of version 1, keys that are rotated, ids that are the
//! platform's, containers that somebody else puts into the pod, and a process that ends once.

use std::{fs, process::Command, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use kubesentiment_e2e::{
    Failure, Outcome,
    cluster::{in_node, predict, process_of, signal},
    condition, ensure, eventually, failure, namespace, ready, service, within,
};
use kubesentiment_operator::api::SentimentService;
use serde_json::{Value, json};

use super::{
    failing::{fails, heals},
    serving::{address, pod, serving},
};

/// A ConfigMap of version 1 may say which port the server has; probes and Service are the operator's.
pub async fn version_1_settings(client: Client) -> Outcome {
    let namespace = namespace(&client, "version1").await?;
    let config: ConfigMap = serde_json::from_value(json!({
        "metadata": {"name": "mlops-config"},
        "data": {"MLOPS_PORT": "9000", "MLOPS_HOST": "127.0.0.1", "MLOPS_DEBUG": "true", "MLOPS_MANAGEMENT_PORT": "9001"},
    }))
    .map_err(failure)?;
    let configs: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    configs.create(&PostParams::default(), &config).await.map_err(failure)?;
    let spec = json!({"replicas": 1, "envFrom": [{"configMapRef": {"name": "mlops-config"}}]});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    heals(&client, &namespace).await?;
    let address = address(&client, &namespace).await?;
    eventually("an answer through the Service", || async { predict(&address, "fine").map(drop) }).await
}

/// How the server answers a caller with this key.
fn status_with_key(address: &str, key: &str) -> Result<String, Failure> {
    let (url, header) = (format!("http://{address}/api/v1/predict"), format!("X-API-Key: {key}"));
    let body = json!({"text": "fine"}).to_string();
    let json = "content-type: application/json";
    let asked = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", &header, "-H", json, "-d", &body, &url];
    in_node(&asked)
}

/// A rotated key is in force in the pods that run, without a restart.
pub async fn rotated_key(client: Client) -> Outcome {
    let namespace = namespace(&client, "rotated").await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "keys"}, "stringData": {"api-key": "the-first-key"}}))
            .map_err(failure)?;
    secrets.create(&PostParams::default(), &secret).await.map_err(failure)?;
    let spec = json!({"replicas": 1, "auth": {"apiKeySecretRef": {"name": "keys"}}});
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    heals(&client, &namespace).await?;
    let address = address(&client, &namespace).await?;
    eventually("an answer to the first key", || async {
        let status = status_with_key(&address, "the-first-key")?;
        ensure!(status == "200", "the first key is answered by {status}");
        Ok(())
    })
    .await?;
    let status = status_with_key(&address, "the-second-key")?;
    ensure!(status == "401", "a wrong key is answered by {status}");
    let before = pod(&client, &namespace).await?;

    let rotated = json!({"stringData": {"api-key": "the-second-key"}});
    secrets.patch("keys", &PatchParams::default(), &Patch::Merge(&rotated)).await.map_err(failure)?;
    // A kubelet looks after mounted Secrets about once a minute.
    within(Duration::from_mins(3), "the second key", || async {
        let [old, new] = [status_with_key(&address, "the-first-key")?, status_with_key(&address, "the-second-key")?];
        ensure!((old.as_str(), new.as_str()) == ("401", "200"), "the old key is answered by {old}, the new by {new}");
        Ok(())
    })
    .await?;
    let after = pod(&client, &namespace).await?;
    ensure!(before.uid() == after.uid(), "the pod was replaced");
    Ok(())
}

/// A certificate of this host name, signed by itself, and its key, both as PEM.
fn certificate(host: &str) -> Result<(String, String), Failure> {
    let folder = std::env::temp_dir().join(format!("kubesentiment-certificate-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(failure)?;
    let file = |name: &str| folder.join(name).display().to_string();
    let (key, crt, subject) = (file("tls.key"), file("tls.crt"), format!("/CN={host}"));
    let name = format!("subjectAltName=DNS:{host}");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"])
        .args(["-subj", &subject, "-addext", &name, "-keyout", &key, "-out", &crt])
        .output()
        .map_err(failure)?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |file: &str| fs::read_to_string(file).map_err(failure);
    let pair = (read(&crt)?, read(&key)?);
    fs::remove_dir_all(folder).map_err(failure)?;
    Ok(pair)
}

/// HTTPS and gRPC by the Service, both with the Secret's certificate, and the digest of the model in answers and status.
pub async fn https_and_grpc(client: Client) -> Outcome {
    let namespace = namespace(&client, "https").await?;
    let host = format!("reviews.{namespace}.svc");
    let (certificate, key) = certificate(&host)?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "certificate"},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": key},
    }))
    .map_err(failure)?;
    secrets.create(&PostParams::default(), &secret).await.map_err(failure)?;
    service(&client, &namespace, "reviews", json!({"replicas": 1, "tls": {"secretName": "certificate"}}))
        .await
        .map_err(failure)?;
    heals(&client, &namespace).await?;

    let address = address(&client, &namespace).await?;
    let (ip, _) = address.rsplit_once(':').ok_or("an address without a port")?;
    let trusted = std::env::temp_dir().join(format!("{namespace}.crt"));
    fs::write(&trusted, &certificate).map_err(failure)?;
    let trusted = trusted.display().to_string();
    let asked = |port: u16, path: &str, more: &[&str]| {
        let (to, url) = (format!("{host}:{port}:{ip}"), format!("https://{host}:{port}{path}"));
        let curl = ["curl", "-sS", "--http2", "--max-time", "10", "-D", "-", "--cacert", &trusted, "--resolve", &to];
        in_node(&[&curl, more, &[url.as_str()]].concat())
    };
    let digest = eventually("an answer by HTTPS with a digest", || async {
        let answer = asked(8000, "/api/v1/predict", &["-d", r#"{"text": "fine"}"#])?;
        ensure!(answer.contains("\"label\""), "{answer}");
        let found = answer.lines().find_map(|line| line.strip_prefix("x-model-digest: "));
        found.map(|found| found.trim().to_owned()).ok_or_else(|| format!("no digest in {answer}"))
    })
    .await?;
    // An empty message in its frame, and in the answer's the field 1, which is true.
    let empty = std::env::temp_dir().join(format!("{namespace}.frame"));
    fs::write(&empty, [0; 5]).map_err(failure)?;
    let body = format!("@{}", empty.display());
    let grpc = ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", &body];
    let answer = asked(8001, "/inference.GRPCInferenceService/ServerReady", &grpc)?;
    ensure!(answer.contains("\u{8}\u{1}"), "{answer:?}");
    for file in [&trusted, &empty.display().to_string()] {
        fs::remove_file(file).map_err(failure)?;
    }

    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    eventually("the digest in the status", || async {
        let status = services.get("reviews").await.map_err(failure)?.status.unwrap_or_default();
        let told = status.model.and_then(|model| model.digest);
        ensure!(told.as_deref() == Some(digest.as_str()), "the status says {told:?}, and answers {digest}");
        Ok(())
    })
    .await
}

/// Ids that are left to the platform: the pod's spec names none, and the server runs as the image's user.
pub async fn ids_of_the_platform(client: Client) -> Outcome {
    let spec = json!({"replicas": 1, "security": {"userIds": "Platform"}});
    let (namespace, _) = serving(&client, "ids", spec).await?;
    let pod = pod(&client, &namespace).await?;
    let spec: Value = serde_json::to_value(&pod.spec).map_err(failure)?;
    for path in ["/securityContext/runAsUser", "/securityContext/fsGroup", "/containers/0/securityContext/runAsUser"] {
        ensure!(spec.pointer(path).is_none_or(Value::is_null), "{path} is {:?}", spec.pointer(path));
    }
    ensure!(spec["securityContext"]["runAsNonRoot"] == true, "{}", spec["securityContext"]);
    Ok(())
}

/// A process that ends once, as all do when a node reboots, is no crash loop: nobody is told to act.
pub async fn one_restart(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "restarted", json!({"replicas": 1})).await?;
    let before = pod(&client, &namespace).await?;
    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    signal(process_of(&before, "/app/sentiment-server")?, "KILL")?;
    within(Duration::from_mins(1), "the restart", || async {
        let object = services.get("reviews").await.map_err(failure)?;
        // A failure that is told while it passes would end a deployment by Flux at once.
        let stalled = condition(&object, "Stalled").ok_or("no Stalled condition")?;
        if stalled.status == "True" {
            return Ok(Err(stalled.message));
        }
        let pod = pod(&client, &namespace).await?;
        let restarts = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
        ensure!(restarts.iter().any(|container| container.restart_count == 1), "it has not restarted yet");
        ready(&client, &namespace, "reviews", "True", "Serving").await?;
        Ok(Ok(()))
    })
    .await?
}

/// A container that somebody else puts into the pod, and that can't start, is named in its own words.
pub async fn injected_container(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "injected", json!({"replicas": 1})).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let hardened = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65532, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let injected = json!({"spec": {"template": {"spec": {"initContainers": [{
        "name": "vault-agent", "image": "sentiment-service:distroless", "command": ["/no-such-program"],
        "imagePullPolicy": "IfNotPresent", "securityContext": hardened,
    }]}}}});
    let params = PatchParams { field_manager: Some("injector".to_owned()), ..PatchParams::default() };
    deployments.patch("reviews", &params, &Patch::Strategic(&injected)).await.map_err(failure)?;
    fails(&client, &namespace, "CrashLooping", &["init container vault-agent", "/no-such-program"]).await?;
    let removed = json!({"spec": {"template": {"spec": {"initContainers": null}}}});
    deployments.patch("reviews", &params, &Patch::Merge(&removed)).await.map_err(failure)?;
    heals(&client, &namespace).await
}
