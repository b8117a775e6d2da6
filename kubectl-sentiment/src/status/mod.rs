//! `status`: how services do, and why, in one sentence each.

mod pods;
mod show;
mod why;

use std::collections::BTreeMap;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::{SignedDuration, Timestamp},
};
use kube::{Api, Resource, ResourceExt, api::ListParams};
use kubesentiment_operator::{
    api::{ConditionType, ModelStatus, SentimentService},
    build::labels::INSTANCE,
    facts, warnings,
};
use serde::{Serialize, de::DeserializeOwned};

pub use self::{pods::PodReport, show::one};
use crate::{
    cluster::{Cluster, of_services},
    error::Error,
    output::{self, Format, WideFormat},
};

/// Pods of which Events are read: these are the API server's most expensive question.
const MOST_WARNINGS: usize = 3;
/// How long a pod may say nothing before its Events are looked at.
const SILENCE: SignedDuration = SignedDuration::from_secs(10);

/// Tells how SentimentServices do, and why, in one sentence each
///
/// With a name also conditions, pods, the rollout and the digest of the model.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Name of a service [default: all]
    name: Option<String>,
    /// Services of all namespaces
    #[arg(short = 'A', long, conflicts_with = "name")]
    all_namespaces: bool,
    /// Form of the result
    #[arg(short, long, value_enum)]
    output: Option<WideFormat>,
}

/// What was found out about a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Why it is as it is, in one sentence.
    pub why: String,
    /// The reason of its condition `Ready`.
    pub reason: Option<String>,
    /// Status of that condition: True, False or Unknown.
    pub ready: String,
    /// Whether somebody has to act.
    pub stalled: bool,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// The generation that the operator's status is of.
    pub observed_generation: Option<i64>,
    /// The conditions that the operator wrote.
    pub conditions: Vec<Condition>,
    /// How far the Deployment is; absent where there is none or it can't be read.
    pub rollout: Option<Rollout>,
    /// The pods; absent where they can't be read.
    pub pods: Option<Vec<PodReport>>,
    /// The model, with its digest where a pod has told it.
    pub model: Option<ModelStatus>,
    /// The server image.
    pub image: Option<String>,
    /// URL inside the cluster.
    pub url: Option<String>,
    /// URL outside of it.
    pub external_url: Option<String>,
}

/// How far a Deployment is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Its revision.
    pub revision: Option<String>,
    /// Pods that are meant to run.
    pub wanted: i32,
    /// Pods of all templates.
    pub total: i32,
    /// Pods of the current template.
    pub updated: i32,
    /// Pods that take traffic.
    pub available: i32,
    /// Whether `kubectl rollout status` would end.
    pub complete: bool,
    /// What its controller complains of.
    pub complaint: Option<String>,
}

impl Rollout {
    fn of(deployment: &Deployment) -> Self {
        let found = facts::Deployment::of(deployment);
        let facts::Counts { total, updated, available, .. } = found.counts;
        Self {
            revision: found.revision.as_deref().map(str::to_owned),
            wanted: found.wanted(),
            total,
            updated,
            available,
            complete: found.is_complete(),
            complaint: found
                .refusal
                .as_ref()
                .map(|refusal| &refusal.message)
                .or(found.late.as_ref())
                .map(ToString::to_string),
        }
    }
}

/// What of the cluster a report is made of.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// The Deployment of the service.
    pub deployment: Option<Deployment>,
    /// ReplicaSets of the service.
    pub replica_sets: Vec<ReplicaSet>,
    /// Pods of the service; `None` where they can't be read.
    pub pods: Option<Vec<Pod>>,
    /// The last warning of pods that say nothing themselves, by name.
    pub warnings: BTreeMap<String, String>,
}

/// What is to be told of a service: pure.
#[must_use]
pub fn report(service: &SentimentService, scene: &Scene, now: Timestamp) -> Report {
    let status = service.status.clone().unwrap_or_default();
    let condition = |type_| status.condition(type_);
    let pods = scene.pods.as_ref().map(|pods| {
        let mut reports: Vec<PodReport> = pods.iter().map(|pod| pods::report(pod, scene, now)).collect();
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    });
    let rollout = scene.deployment.as_ref().map(Rollout::of);
    Report {
        name: service.name_any(),
        namespace: service.namespace().unwrap_or_default(),
        why: why::why(service, rollout.as_ref(), pods.as_deref()),
        reason: condition(ConditionType::Ready).map(|ready| ready.reason.clone()),
        ready: condition(ConditionType::Ready).map_or("Unknown", |ready| &ready.status).to_owned(),
        stalled: condition(ConditionType::Stalled).is_some_and(|stalled| stalled.status == "True"),
        generation: service.metadata.generation,
        observed_generation: status.observed_generation,
        rollout,
        pods,
        conditions: status.conditions,
        model: status.model,
        image: status.image,
        url: status.url,
        external_url: status.external_url,
    }
}

/// Runs the command.
pub async fn run(command: Status, cluster: &Cluster) -> Result<(), Error> {
    let Status { name, all_namespaces, output } = command;
    let format = output.and_then(|format| match format {
        WideFormat::Json => Some(Format::Json),
        WideFormat::Yaml => Some(Format::Yaml),
        WideFormat::Wide => None,
    });
    let now = Timestamp::now();
    if let Some(name) = name {
        let report = look(cluster, &name, now).await?;
        return output::write(&match format {
            Some(format) => output::serialized(format, &report)?,
            None => one(&report, output.is_some(), now),
        });
    }
    let reports = look_at_all(cluster, all_namespaces, now).await?;
    match format {
        Some(format) => output::write(&output::serialized(format, &reports)?),
        None if reports.is_empty() => {
            let place =
                if all_namespaces { "any namespace".to_owned() } else { format!("namespace {}", cluster.namespace) };
            output::note(&format!("There are no SentimentServices in {place}."));
            Ok(())
        }
        None => output::write(&show::all(&reports, all_namespaces, output.is_some())),
    }
}

/// The report of one service.
pub async fn look(cluster: &Cluster, name: &str, now: Timestamp) -> Result<Report, Error> {
    let service = cluster.service(name).await?;
    let namespace = Some(&*cluster.namespace);
    let (deployments, replica_sets, pods) = belongings(cluster, namespace, Some(name)).await;
    let deployment = deployments.unwrap_or_default().into_iter().find(|deployment| deployment.name_any() == name);
    let replica_sets = replica_sets.unwrap_or_default();
    let mut scene = Scene { deployment, replica_sets, pods, warnings: BTreeMap::new() };
    scene.warnings = warned(cluster, scene.pods.as_deref().unwrap_or_default(), now).await;
    Ok(report(&service, &scene, now))
}

async fn look_at_all(cluster: &Cluster, everywhere: bool, now: Timestamp) -> Result<Vec<Report>, Error> {
    let client = cluster.client.clone();
    let api: Api<SentimentService> =
        if everywhere { Api::all(client) } else { Api::namespaced(client, &cluster.namespace) };
    let mut services =
        api.list(&ListParams::default()).await.map_err(Error::cluster("can't list SentimentServices"))?.items;
    services.sort_by_key(|service| (service.namespace(), service.name_any()));
    if services.is_empty() {
        return Ok(Vec::new());
    }
    let namespace = (!everywhere).then_some(&*cluster.namespace);
    let (deployments, replica_sets, pods) = belongings(cluster, namespace, None).await;
    let (mut deployments, mut replica_sets) =
        (by_service(deployments.unwrap_or_default()), by_service(replica_sets.unwrap_or_default()));
    let mut pods = pods.map(by_service);
    let reports = services.iter().map(|service| {
        let key = (service.namespace().unwrap_or_default(), service.name_any());
        let named = |deployment: &Deployment| deployment.name_any() == key.1;
        let scene = Scene {
            deployment: deployments.remove(&key).into_iter().flatten().find(named),
            replica_sets: replica_sets.remove(&key).unwrap_or_default(),
            pods: pods.as_mut().map(|pods| pods.remove(&key).unwrap_or_default()),
            warnings: BTreeMap::new(),
        };
        report(service, &scene, now)
    });
    Ok(reports.collect())
}

/// Objects by namespace and name of the service that they belong to.
fn by_service<K: Resource>(objects: Vec<K>) -> BTreeMap<(String, String), Vec<K>> {
    let mut found: BTreeMap<_, Vec<K>> = BTreeMap::new();
    for object in objects {
        let service = object.labels().get(INSTANCE).cloned().unwrap_or_default();
        found.entry((object.namespace().unwrap_or_default(), service)).or_default().push(object);
    }
    found
}

type Belongings = (Option<Vec<Deployment>>, Option<Vec<ReplicaSet>>, Option<Vec<Pod>>);

/// What belongs to services. What can't be listed is told, and the rest is there.
async fn belongings(cluster: &Cluster, namespace: Option<&str>, name: Option<&str>) -> Belongings {
    tokio::join!(
        list(cluster, namespace, name, "Deployments"),
        list(cluster, namespace, name, "ReplicaSets"),
        list(cluster, namespace, name, "pods")
    )
}

async fn list<K>(cluster: &Cluster, namespace: Option<&str>, name: Option<&str>, plural: &str) -> Option<Vec<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let client = cluster.client.clone();
    let api: Api<K> = namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
    match api.list(&of_services(name)).await {
        Ok(list) => Some(list.items),
        Err(error) => {
            output::note(&format!(
                "{} {}",
                output::styled(output::CHANGING, "note:"),
                Error::cluster(format!("can't list {plural}"))(error)
            ));
            None
        }
    }
}

/// The last warnings of pods that are silent.
async fn warned(cluster: &Cluster, pods: &[Pod], now: Timestamp) -> BTreeMap<String, String> {
    let is_silent =
        |pod: &&Pod| facts::Pod::of(pod).silent_since.is_some_and(|since| now.duration_since(since) >= SILENCE);
    let mut found = BTreeMap::new();
    for pod in pods.iter().filter(is_silent).take(MOST_WARNINGS) {
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        // Who may not read Events is told by the conditions, which have the operator's.
        if let Ok(Some(words)) = warnings::last_warning(&cluster.client, &cluster.namespace, &name, &uid).await {
            let words = words.strip_prefix(&format!("pod {name}: ")).unwrap_or(&words).to_owned();
            found.insert(name, words);
        }
    }
    found
}

#[cfg(test)]
mod tests;
