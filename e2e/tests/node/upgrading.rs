//! From the last release to this checkout and back, while a service is called. The operator of the other tests makes way,
//! and comes back.

use std::{fs, path::PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt};
use kubesentiment_e2e::{
    Failure, Outcome,
    cluster::{OPERATOR_NAMESPACE, helm, kubectl, script},
    ensure, failure, repository,
};
use kubesentiment_operator::api::SentimentService;
use serde_json::json;

use super::{
    rolling::{Load, pod_names, replaced, two_pods},
    serving::serving,
};

const DEFINITION: &str = "sentimentservices.kubesentiment.io";
const RELEASE_NAME: &str = "kubesentiment-operator";

/// By the chart: `helm upgrade`, and `helm rollback`.
pub async fn by_chart(client: Client) -> Outcome {
    let release = Release::last()?;
    let old = release.file("kubesentiment-operator-", ".tgz")?;
    let new = repository().join("charts/kubesentiment-operator").display().to_string();
    let in_home = ["--namespace", OPERATOR_NAMESPACE, "--wait"];
    let run = |arguments: &[&str]| helm(&[arguments, &in_home].concat()).map(drop);
    let way = Way {
        install: Box::new(|| run(&["install", RELEASE_NAME, &old, "--create-namespace"])),
        upgrade: Box::new(|| run(&["upgrade", RELEASE_NAME, &new, "--reset-then-reuse-values"])),
        back: Box::new(|| run(&["rollback", RELEASE_NAME])),
        uninstall: Box::new(|| run(&["uninstall", RELEASE_NAME, "--ignore-not-found"])),
    };
    there_and_back(&client, &release, way).await
}

/// By manifests: the release's are one file, and those of this checkout a folder for kustomize.
pub async fn by_kustomize(client: Client) -> Outcome {
    let release = Release::last()?;
    let old = release.file(&format!("kubesentiment-{}", release.version), ".yaml")?;
    let new = repository().join("config/default").display().to_string();
    let apply = |from: &str, what: &str| -> Outcome {
        kubectl(&["apply", "--server-side", "--force-conflicts", from, what])?;
        kubectl(&[
            "--namespace",
            OPERATOR_NAMESPACE,
            "rollout",
            "status",
            "deployment/kubesentiment-operator",
            "--timeout=2m",
        ])
        .map(drop)
    };
    let way = Way {
        install: Box::new(|| apply("-f", &old)),
        upgrade: Box::new(|| apply("-k", &new)),
        back: Box::new(|| apply("-f", &old)),
        uninstall: Box::new(|| Ok(())),
    };
    there_and_back(&client, &release, way).await
}

/// How an operator is installed and replaced.
struct Way<'a> {
    install: Box<dyn Fn() -> Outcome + Send + Sync + 'a>,
    upgrade: Box<dyn Fn() -> Outcome + Send + Sync + 'a>,
    back: Box<dyn Fn() -> Outcome + Send + Sync + 'a>,
    uninstall: Box<dyn Fn() -> Outcome + Send + Sync + 'a>,
}

/// The files of the last release.
struct Release {
    folder: PathBuf,
    version: String,
}

impl Release {
    fn last() -> Result<Self, Failure> {
        let folder = PathBuf::from(script("scripts/last-release.sh", &[])?.trim());
        let images = fs::read_to_string(folder.join("images.txt")).map_err(failure)?;
        let version = images.lines().find_map(|line| line.split_once("kubesentiment-operator:")?.1.split_once('@'));
        let (version, _) = version.ok_or_else(|| format!("no operator in {images}"))?;
        let version = version.to_owned();
        Ok(Self { folder, version })
    }

    /// The file whose name begins and ends so.
    fn file(&self, begins: &str, ends: &str) -> Result<String, Failure> {
        let fits = |name: &str| name.starts_with(begins) && name.ends_with(ends);
        let mut entries = fs::read_dir(&self.folder).map_err(failure)?.flatten();
        let entry = entries.find(|entry| entry.file_name().to_str().is_some_and(fits));
        let entry = entry.ok_or_else(|| format!("no {begins}…{ends} in {}", self.folder.display()))?;
        Ok(entry.path().display().to_string())
    }

    fn load_images(&self) -> Outcome {
        for image in ["kubesentiment-operator", "sentiment-service"] {
            let archive = self.file(&format!("{image}-{}-linux", self.version), ".oci.tar")?;
            script("e2e/cluster/load-image.sh", &[&archive])?;
        }
        Ok(())
    }
}

async fn there_and_back(client: &Client, release: &Release, way: Way<'_>) -> Outcome {
    release.load_images()?;
    remove_operator()?;
    let outcome = async {
        (way.install)()?;
        undisturbed(client, release, &way).await
    }
    .await;
    let removed = (way.uninstall)().and_then(|()| remove_operator());
    outcome.and(removed).and(script("scripts/deploy.sh", &[]).map(drop))
}

/// Nobody who calls the service notices, and nothing of it is made anew but its pods.
async fn undisturbed(client: &Client, release: &Release, way: &Way<'_>) -> Outcome {
    let (namespace, address) = serving(client, "upgrade", two_pods(json!({}))).await?;
    let before = uids(client, &namespace).await?;
    let load = Load::start(&address)?;
    for (step, image) in [(&way.upgrade, "sentiment-service:distroless"), (&way.back, release.version.as_str())] {
        let old = pod_names(client, &namespace).await?;
        step()?;
        replaced(client, &namespace, &old).await?;
        let images =
            kubectl(&["-n", &namespace, "get", "pods", "-o", "jsonpath={.items[*].spec.containers[*].image}"])?;
        ensure!(images.contains(image), "the pods run {images}, and not {image}");
    }
    load.finish().await?;
    let after = uids(client, &namespace).await?;
    ensure!(before == after, "made anew: {before:?} are {after:?} now");
    Ok(())
}

/// Of what must outlive an upgrade.
async fn uids(client: &Client, namespace: &str) -> Result<Vec<Option<String>>, Failure> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let services: Api<SentimentService> = Api::namespaced(client.clone(), namespace);
    let children = kubectl(&["-n", namespace, "get", "deployment,service", "-o", "jsonpath={.items[*].metadata.uid}"])?;
    Ok(vec![
        definitions.get(DEFINITION).await.map_err(failure)?.uid(),
        services.get("reviews").await.map_err(failure)?.uid(),
        Some(children),
    ])
}

/// All of it, whatever installed it, the definition and with it all services too.
fn remove_operator() -> Outcome {
    let config = repository().join("config/default").display().to_string();
    kubectl(&["delete", "-k", &config, "--ignore-not-found", "--timeout=2m"]).map(drop)
}
