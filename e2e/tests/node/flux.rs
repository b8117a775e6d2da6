//! Deployment with Flux's own controllers: a folder in a registry becomes services, and stays the truth about them.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use kubesentiment_e2e::{
    Failure, Outcome,
    cluster::{addon, in_node},
    ensure, eventually, failure, namespace, ready, repository, resource_versions, within,
};
use kubesentiment_operator::api::SentimentService;
use serde::Deserialize;
use serde_json::{Value, json};

const FLUX_NAMESPACE: &str = "flux-system";
/// Of both Flux objects. Long enough to see that nothing moves in between.
const INTERVAL: &str = "5s";

/// Deploys a folder and waits on its health, moves nothing for three intervals, and prunes what leaves the folder.
pub async fn folder(client: Client) -> Outcome {
    addon("flux")?;
    let namespace = namespace(&client, "flux").await?;
    let source = Source::new(&namespace)?;
    source.push(&["minimal", "reviews", "development", "suspended"])?;
    apply_example(&client, &namespace).await?;
    let outcome = deploys_and_prunes(&client, &namespace, &source).await;
    remove_example(&client, &namespace).await?;
    outcome
}

async fn deploys_and_prunes(client: &Client, namespace: &str, source: &Source) -> Outcome {
    within(Duration::from_mins(3), "the health of all services", || healthy(client, namespace)).await?;
    // Flux said so only when it was so.
    for (name, status, reason) in [
        ("minimal", "True", "Serving"),
        ("reviews", "True", "Serving"),
        ("development", "True", "Serving"),
        ("suspended", "False", "Suspended"),
    ] {
        ready(client, namespace, name, status, reason).await?;
    }

    // The Deployment's controller has the last word a moment after the pods are ready.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = resource_versions(client, namespace).await?;
    let first = reconciliations(namespace)?;
    within(Duration::from_mins(1), "three intervals", || async {
        let count = reconciliations(namespace)?;
        ensure!(count >= first + 3, "{} of them", count - first);
        Ok(())
    })
    .await?;
    let after = resource_versions(client, namespace).await?;
    ensure!(before == after, "{before:?} became {after:?}");

    source.push(&["reviews", "development", "suspended"])?;
    eventually("the pruning of minimal and its children", || async {
        let left = named(&resource_versions(client, namespace).await?, "minimal");
        ensure!(left.is_empty(), "{left:?} are left");
        Ok(())
    })
    .await?;
    healthy(client, namespace).await?;
    ready(client, namespace, "reviews", "True", "Serving").await.map(drop)
}

/// A stalled service fails the deployment at once, in the operator's words, long before the time-out.
pub async fn failure_is_told(client: Client) -> Outcome {
    addon("flux")?;
    let namespace = namespace(&client, "flux").await?;
    let source = Source::new(&namespace)?;
    source.push(&["reviews"])?;
    let broken = json!({"spec": {"image": {"tag": "no-such-tag"}}});
    source.patch("reviews", &broken)?;
    apply_example(&client, &namespace).await?;
    let outcome = within(Duration::from_mins(1), "the failure", || async {
        let (status, message) = ready_condition(&client, &namespace).await?;
        ensure!(status == "False" && message.contains("reviews") && message.contains("Failed"), "{status} {message}");
        Ok(())
    })
    .await;
    remove_example(&client, &namespace).await?;
    outcome
}

/// A folder of samples, and the artifact in the node's registry that it becomes.
struct Source {
    folder: PathBuf,
    artifact: String,
}

impl Source {
    fn new(name: &str) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("kubesentiment-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(failure)?;
        Ok(Self { folder, artifact: format!("team/{name}:main") })
    }

    /// The folder holds these samples and nothing else.
    fn push(&self, samples: &[&str]) -> Outcome {
        for file in fs::read_dir(&self.folder).map_err(failure)?.flatten() {
            fs::remove_file(file.path()).map_err(failure)?;
        }
        for sample in samples {
            let file = format!("{sample}.yaml");
            let from = repository().join("config/samples").join(&file);
            fs::copy(&from, self.folder.join(file)).map_err(|error| format!("{}: {error}", from.display()))?;
        }
        self.upload()
    }

    /// Merges a change into a sample of the folder.
    fn patch(&self, sample: &str, change: &Value) -> Outcome {
        let path = self.folder.join(format!("{sample}.yaml"));
        let mut object: Value = serde_yaml::from_str(&fs::read_to_string(&path).map_err(failure)?).map_err(failure)?;
        merge(&mut object, change);
        fs::write(&path, serde_yaml::to_string(&object).map_err(failure)?).map_err(failure)?;
        self.upload()
    }

    fn upload(&self) -> Outcome {
        let push = repository().join("e2e/cluster/push-artifact.sh");
        in_node(&[&push.to_string_lossy(), &self.folder.to_string_lossy(), &self.artifact]).map(drop)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn merge(object: &mut Value, change: &Value) {
    match (object, change) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (key, change) in changes {
                merge(fields.entry(key).or_insert(Value::Null), change);
            }
        }
        (object, change) => *object = change.clone(),
    }
}

/// Applies the example of `config/flux`, with its own names and the node's registry, for a test's namespace.
async fn apply_example(client: &Client, namespace: &str) -> Outcome {
    let text = fs::read_to_string(repository().join("config/flux/sentiment-services.yaml")).map_err(failure)?;
    let documents: Result<Vec<Value>, _> = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize).collect();
    for mut object in documents.map_err(failure)? {
        merge(&mut object, &json!({"metadata": {"name": namespace}, "spec": {"interval": INTERVAL}}));
        let own = if object["kind"] == "OCIRepository" {
            json!({"spec": {"url": format!("oci://127.0.0.1:5000/team/{namespace}"), "insecure": true}})
        } else {
            json!({"spec": {"sourceRef": {"name": namespace}, "targetNamespace": namespace, "retryInterval": INTERVAL}})
        };
        merge(&mut object, &own);
        let kind = object["kind"].as_str().unwrap_or_default();
        flux(client, kind)?
            .patch(namespace, &PatchParams::apply("test").force(), &Patch::Apply(&object))
            .await
            .map_err(failure)?;
    }
    Ok(())
}

/// Removes the example, which takes its services along.
async fn remove_example(client: &Client, name: &str) -> Outcome {
    for kind in ["Kustomization", "OCIRepository"] {
        let api = flux(client, kind)?;
        api.delete(name, &DeleteParams::default()).await.map_err(failure)?;
        eventually("the removal from Flux", || async {
            ensure!(api.get_opt(name).await.map_err(failure)?.is_none(), "{kind} {name} is left");
            Ok(())
        })
        .await?;
    }
    let services: Api<SentimentService> = Api::namespaced(client.clone(), name);
    let left = services.list(&ListParams::default()).await.map_err(failure)?;
    let left: Vec<String> =
        left.iter().filter(|service| service.meta().deletion_timestamp.is_none()).map(ResourceExt::name_any).collect();
    ensure!(left.is_empty(), "{left:?} outlive their Kustomization");
    Ok(())
}

fn flux(client: &Client, kind: &str) -> Result<Api<DynamicObject>, Failure> {
    let (group, plural) = match kind {
        "OCIRepository" => ("source", "ocirepositories"),
        "Kustomization" => ("kustomize", "kustomizations"),
        other => return Err(format!("{other} isn't expected in the example")),
    };
    let resource = ApiResource {
        group: format!("{group}.toolkit.fluxcd.io"),
        version: "v1".to_owned(),
        api_version: format!("{group}.toolkit.fluxcd.io/v1"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    Ok(Api::namespaced_with(client.clone(), FLUX_NAMESPACE, &resource))
}

async fn healthy(client: &Client, name: &str) -> Outcome {
    let (status, message) = ready_condition(client, name).await?;
    ensure!(status == "True", "{status} {message}");
    Ok(())
}

/// Status and message of the Kustomization's `Ready` condition.
async fn ready_condition(client: &Client, name: &str) -> Result<(String, String), Failure> {
    let object = flux(client, "Kustomization")?.get(name).await.map_err(failure)?;
    let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").ok_or("no Ready condition yet")?;
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    Ok((text("status"), text("message")))
}

/// How often kustomize-controller has reconciled a Kustomization, by its own count.
fn reconciliations(name: &str) -> Result<u64, Failure> {
    let metrics = in_node(&["curl", "-sS", "--fail-with-body", "http://127.0.0.1:9091/metrics"])?;
    let of_it = format!("name=\"{name}\"");
    let line = metrics
        .lines()
        .find(|line| line.starts_with("gotk_reconcile_duration_seconds_count") && line.contains(&of_it))
        .ok_or_else(|| format!("no count for {name}"))?;
    line.rsplit(' ').next().unwrap_or_default().parse().map_err(failure)
}

/// The objects among `kind/name resourceVersion` lines that belong to a service.
fn named(lines: &[String], service: &str) -> BTreeSet<String> {
    let of_it = |line: &&String| {
        let name = line.split(['/', ' ']).nth(1).unwrap_or_default();
        name == service || name.starts_with(&format!("{service}-"))
    };
    lines.iter().filter(of_it).cloned().collect()
}
