//! What goes into the bundle. What can't be had is listed, and costs the rest nothing.

use std::{collections::BTreeSet, path::Path};

use http::Request;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::{ConfigMap, Pod, Secret},
        events::v1::Event,
    },
    jiff::Timestamp,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, ListParams, LogParams},
};
use kubesentiment_operator::{api::SentimentService, build::MANAGEMENT_NUMBER, children::KINDS};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Entry, redact};
use crate::{
    cluster::{Cluster, of_services},
    error::{Error, code, is_missing_api},
    output::{self, Format},
    settings, status,
};

/// Lines of each log.
const LINES: i64 = 2000;
/// Bytes of each log.
const BYTES: i64 = 1 << 20;
/// Pods of which logs and metrics are taken.
const MOST_PODS: usize = 10;
/// Events of a namespace that are looked through.
const MOST_EVENTS: u32 = 1000;

/// The entries of a bundle, and what is missing in it.
struct Bundle<'a> {
    cluster: &'a Cluster,
    entries: Vec<Entry>,
    missing: Vec<String>,
}

/// Gathers the bundle of a service.
pub(super) async fn gather(cluster: &Cluster, name: &str, now: Timestamp) -> Result<(Vec<Entry>, Vec<String>), Error> {
    let service = cluster.service(name).await?;
    let mut bundle = Bundle { cluster, entries: Vec::new(), missing: Vec::new() };
    bundle.summary(name, now).await;
    bundle.object("service.yaml", &service);
    bundle.children(name).await;
    let pods = bundle.pods(name).await;
    bundle.events(name).await;
    bundle.config_map(&service).await;
    bundle.secrets().await;
    bundle.operator().await;
    bundle.versions(&pods).await;
    if !bundle.missing.is_empty() {
        let missing = bundle.missing.join("\n") + "\n";
        bundle.text("missing.txt", &missing);
    }
    Ok((bundle.entries, bundle.missing))
}

impl Bundle<'_> {
    fn text(&mut self, path: &str, text: &str) {
        self.entries.push(Entry { path: path.to_owned(), content: redact::text(text).into_owned() });
    }

    fn object(&mut self, path: &str, object: &impl Serialize) {
        match serde_json::to_value(object) {
            Ok(object) => self.value(path, object),
            Err(error) => self.miss(path, &error.to_string()),
        }
    }

    fn value(&mut self, path: &str, mut object: Value) {
        redact::object(&mut object);
        match output::serialized(Format::Yaml, &object) {
            Ok(content) => self.entries.push(Entry { path: path.to_owned(), content }),
            Err(error) => self.miss(path, &error.to_string()),
        }
    }

    fn miss(&mut self, what: &str, why: &str) {
        self.missing.push(format!("{what}: {}", redact::text(why)));
    }

    /// The value of a request, or `None` and why there is none.
    fn had<T>(&mut self, what: &str, result: kube::Result<T>) -> Option<T> {
        result.map_err(|error| self.miss(what, &error.to_string())).ok()
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }

    async fn summary(&mut self, name: &str, now: Timestamp) {
        match status::look(self.cluster, name, now).await {
            Ok(report) => {
                let text = status::one(&report, true, now);
                self.text("summary.txt", &anstream::adapter::strip_str(&text).to_string());
            }
            Err(error) => self.miss("summary.txt", &error.to_string()),
        }
    }

    async fn children(&mut self, name: &str) {
        for declaration in &KINDS {
            let resource = (declaration.resource)();
            let child = format!("{name}{}", declaration.suffix);
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.cluster.client.clone(), &self.cluster.namespace, &resource);
            let what = format!("children/{}-{child}.yaml", resource.kind.to_lowercase());
            let found = match api.get_opt(&child).await {
                // Of a kind that the cluster doesn't have there is none.
                Err(error) if is_missing_api(&error) => continue,
                found => found,
            };
            if let Some(Some(object)) = self.had(&what, found) {
                self.object(&what, &object);
            }
        }
        let found = self.api::<ReplicaSet>().list(&of_services(Some(name))).await;
        for set in self.had("ReplicaSets", found).into_iter().flatten() {
            self.object(&format!("replicasets/{}.yaml", set.name_any()), &set);
        }
    }

    async fn pods(&mut self, name: &str) -> Vec<Pod> {
        let found = self.api::<Pod>().list(&of_services(Some(name))).await;
        let mut pods = self.had("pods", found).map(|list| list.items).unwrap_or_default();
        pods.sort_by_key(ResourceExt::name_any);
        let namespace = self.cluster.namespace.clone();
        for pod in &pods {
            self.object(&format!("pods/{}.yaml", pod.name_any()), pod);
        }
        for pod in pods.iter().take(MOST_PODS) {
            self.logs(&namespace, pod, "logs").await;
            self.metrics(pod).await;
        }
        if pods.len() > MOST_PODS {
            self.miss("logs and metrics", &format!("of the first {MOST_PODS} of {} pods only", pods.len()));
        }
        pods
    }

    /// The logs of each container, and of the one before it where it was started again.
    async fn logs(&mut self, namespace: &str, pod: &Pod, folder: &str) {
        let api: Api<Pod> = Api::namespaced(self.cluster.client.clone(), namespace);
        let status = pod.status.as_ref();
        let statuses = status
            .iter()
            .flat_map(|status| status.init_container_statuses.iter().chain(&status.container_statuses))
            .flatten();
        for container in statuses {
            let ends = container.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
            for previous in [false, true].into_iter().filter(|previous| !previous || ends) {
                let suffix = if previous { ".previous" } else { "" };
                let what = format!("{folder}/{}/{}{suffix}.log", pod.name_any(), container.name);
                let params = LogParams {
                    container: Some(container.name.clone()),
                    previous,
                    tail_lines: Some(LINES),
                    limit_bytes: Some(BYTES),
                    timestamps: true,
                    ..LogParams::default()
                };
                let log = api.logs(&pod.name_any(), &params).await;
                if let Some(log) = self.had(&what, log) {
                    self.text(&what, &log);
                }
            }
        }
    }

    /// The series of a pod, through the API server's proxy.
    async fn metrics(&mut self, pod: &Pod) {
        let (name, namespace) = (pod.name_any(), &self.cluster.namespace);
        let what = format!("metrics/{name}.prom");
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{MANAGEMENT_NUMBER}/proxy/metrics");
        let Ok(request) = Request::get(path).body(Vec::new()) else { return };
        let told = self.cluster.client.request_text(request).await;
        if let Some(told) = self.had(&what, told) {
            self.text(&what, &told);
        }
    }

    /// Events of the service and of what has its name.
    async fn events(&mut self, name: &str) {
        let found = self.api::<Event>().list(&ListParams::default().limit(MOST_EVENTS)).await;
        let Some(list) = self.had("events.yaml", found) else { return };
        let is_ours = |event: &Event| {
            let about = event.regarding.as_ref().and_then(|object| object.name.as_deref()).unwrap_or_default();
            about == name || about.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
        };
        let mut events: Vec<Value> =
            list.items.iter().filter(|event| is_ours(event)).map(|event| json!(event)).collect();
        events.iter_mut().for_each(redact::object);
        self.value("events.yaml", Value::Array(events));
    }

    async fn config_map(&mut self, service: &SentimentService) {
        let Some(name) = service.spec.config_map_ref.as_ref().map(|reference| reference.name.clone()) else { return };
        let found = self.api::<ConfigMap>().get(&name).await;
        if let Some(config_map) = self.had(&format!("ConfigMap {name}"), found) {
            self.object("configmap.yaml", &config_map);
        }
    }

    /// Whether each Secret that the objects name is there: by its metadata, so that no value is sent.
    async fn secrets(&mut self) {
        let mut names = BTreeSet::new();
        for entry in self.entries.iter().filter(|entry| is_yaml(&entry.path)) {
            if let Ok(object) = serde_yaml::from_str::<Value>(&entry.content) {
                secrets_of(&object, "", &mut names);
            }
        }
        let mut found = serde_json::Map::new();
        for name in names {
            let told = match self.api::<Secret>().get_metadata_opt(&name).await {
                Ok(Some(_)) => "is there".to_owned(),
                Ok(None) => "is missing".to_owned(),
                Err(error) if code(&error) == Some(403) => "isn't yours to read".to_owned(),
                Err(error) => redact::text(&error.to_string()).into_owned(),
            };
            found.insert(name, told.into());
        }
        if let Ok(content) = output::serialized(Format::Yaml, &found) {
            self.entries.push(Entry { path: "secrets.yaml".to_owned(), content });
        }
    }

    async fn operator(&mut self) {
        let found = settings::operator(&self.cluster.client).await;
        let Some(found) = self.had("operator", found) else { return };
        let Some(deployment) = found else { return self.miss("operator", "there is no Deployment of it") };
        self.object("operator/deployment.yaml", &deployment);
        let namespace = deployment.namespace().unwrap_or_default();
        let pods = self.pods_of(&namespace, &deployment).await;
        for pod in pods.iter().take(MOST_PODS) {
            self.object(&format!("operator/pods/{}.yaml", pod.name_any()), pod);
            self.logs(&namespace, pod, "operator/logs").await;
        }
        // What concerns services of other namespaces is none of the reader's business.
        let own = format!("\"{}\"", self.cluster.namespace);
        let of_others = |line: &str| line.split_once("\"namespace\":").is_some_and(|(_, rest)| !rest.starts_with(&own));
        for entry in self.entries.iter_mut().filter(|entry| entry.path.starts_with("operator/logs/")) {
            let kept = entry.content.lines().filter(|line| !of_others(line)).map(|line| format!("{line}\n"));
            entry.content = kept.collect();
        }
    }

    async fn pods_of(&mut self, namespace: &str, deployment: &Deployment) -> Vec<Pod> {
        let labels = deployment.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
        let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let api: Api<Pod> = Api::namespaced(self.cluster.client.clone(), namespace);
        let found = api.list(&ListParams::default().labels(&selector.join(","))).await;
        self.had("the operator's pods", found).map(|list| list.items).unwrap_or_default()
    }

    async fn versions(&mut self, pods: &[Pod]) {
        let asked = self.cluster.client.apiserver_version().await;
        let server = self.had("the API server's version", asked).map(|info| info.git_version);
        let statuses = pods.iter().filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref()).flatten();
        let images: BTreeSet<&str> = statuses.map(|container| container.image_id.as_str()).collect();
        let versions = json!({"plugin": env!("CARGO_PKG_VERSION"), "apiServer": server, "images": images});
        self.value("versions.yaml", versions);
    }
}

fn is_yaml(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|ending| ending == "yaml")
}

/// The names of Secrets that an object refers to.
fn secrets_of(object: &Value, field: &str, names: &mut BTreeSet<String>) {
    match object {
        Value::Object(fields) => {
            let lower = field.to_ascii_lowercase();
            let is_reference = (lower.contains("secret") && lower.ends_with("ref")) || field == "secret";
            let is_list = matches!(field, "imagePullSecrets" | "pullSecrets");
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == "secretName" || (name == "name" && (is_reference || is_list)) => {
                        names.insert(text.to_owned());
                    }
                    _ => secrets_of(value, name, names),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| secrets_of(item, field, names)),
        _ => {}
    }
}
