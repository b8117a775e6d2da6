//! `diff`: what the operator would write, against what is there.

mod fields;

use std::path::PathBuf;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use kubesentiment_operator::{
    api::{MANAGER, SentimentService},
    children::{Declaration, KINDS},
    dereference::{References, hash},
};
use serde_json::{Value, json};
use similar::TextDiff;

use crate::{
    cli::Outcome,
    cluster::Cluster,
    error::{Error, code, is_missing_api},
    input,
    output::{self, BAD, CHANGING, Format, GOOD, TITLE, styled},
    render,
    settings::{self, NO_UID, Settings},
};

/// Annotations that the operator keeps its books with: each write moves them.
const BOOKS: &str = "kubesentiment.io/";
/// What the API server says of an object beside its content.
const OF_THE_SERVER: [&str; 6] =
    ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"];

/// Shows what applying a file would change in the objects that the operator makes, and so would an upgrade of the operator
/// to this release
///
/// Each object is sent as a dry run, as the operator would send it; without the right to that, the fields that are the
/// operator's are compared. Settings of the operator are read from its Deployment, if there is the right to. Exit code 0: no
/// difference, 1: differences, 2: it couldn't be found out.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// File with SentimentServices; - is the standard input
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

/// An object before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Kind and name.
    pub title: String,
    /// The live object; `None` where there is none.
    pub before: Option<Value>,
    /// The object as it would be; `None` where it would go.
    pub after: Option<Value>,
}

/// Runs the command.
pub async fn run(command: Diff, cluster: &Cluster) -> Result<Outcome, Error> {
    let Diff { filename, settings } = command;
    let settings = settings.or(of_the_operator(cluster).await);
    let services = render::services(&input::read(&filename)?, Some(&cluster.namespace), &settings)?;
    if services.is_empty() {
        return Err(Error::NoDocument(filename.display().to_string()));
    }
    let mut text = String::new();
    for (place, service) in services {
        for change in changes(cluster, &settings, &place, Box::new(service)).await? {
            text.push_str(&shown(&change)?);
        }
    }
    output::write(&text)?;
    Ok(if text.is_empty() { Outcome::Fine } else { Outcome::Found })
}

/// The settings of the operator in the cluster, as far as they can be read.
async fn of_the_operator(cluster: &Cluster) -> Settings {
    match settings::operator(&cluster.client).await {
        Ok(Some(deployment)) => Settings::of(&deployment),
        Ok(None) => Settings::default(),
        Err(_) => {
            note(
                "the operator's Deployment can't be read, so its settings are taken from the flags: see --default-image",
            );
            Settings::default()
        }
    }
}

fn note(text: &str) {
    output::note(&format!("{} {text}", styled(CHANGING, "note:")));
}

/// What would become of each child of a service.
pub async fn changes(
    cluster: &Cluster,
    settings: &Settings,
    place: &str,
    mut service: Box<SentimentService>,
) -> Result<Vec<Change>, Error> {
    let namespace = service.namespace().unwrap_or_default();
    let name = service.name_any();
    let services: Api<SentimentService> = Api::namespaced(cluster.client.clone(), &namespace);
    let live = services
        .get_metadata_opt(&name)
        .await
        .map_err(Error::cluster(format!("can't read SentimentService {name}")))?;
    if let Some(live) = live {
        service.metadata.uid = live.uid();
    }
    let uid = service.uid().filter(|uid| uid != NO_UID);
    let references = references(cluster, &namespace, &service).await;
    let built = built(settings, &service, &references);
    let built = built.map_err(|sentence| Error::Invalid { place: place.to_owned(), sentence })?;
    let mut changes = Vec::new();
    for (declaration, wanted) in KINDS.iter().zip(built) {
        let own = format!("{name}{}", declaration.suffix);
        if wanted.is_empty() {
            changes.extend(removal(cluster, declaration, &namespace, &own, uid.as_deref()).await?);
        }
        for wanted in wanted {
            changes.extend(change(cluster, declaration, &namespace, wanted, uid.as_deref()).await?);
        }
    }
    Ok(changes)
}

/// The objects that are wanted of each kind.
fn built(settings: &Settings, service: &SentimentService, references: &References) -> Result<Vec<Vec<Value>>, String> {
    let children = settings.children(service, references)?;
    Ok(KINDS.iter().map(|declaration| (declaration.built)(&children)).collect())
}

/// The hash of the ConfigMap that the spec names, where it can be read: it is in the pods' template.
async fn references(cluster: &Cluster, namespace: &str, service: &SentimentService) -> References {
    let Some(name) = service.spec.config_map_ref.as_ref().map(|reference| &reference.name) else {
        return References::default();
    };
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    if let Ok(config_map) = api.get(name).await {
        return References { config_hash: Some(hash(&config_map)) };
    }
    note(&format!("ConfigMap {name} can't be read: the difference may have its hash as a removal"));
    References::default()
}

fn api(cluster: &Cluster, declaration: &Declaration, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(cluster.client.clone(), namespace, &(declaration.resource)())
}

/// What a cluster has of a name.
enum Live {
    Object(Value),
    Nothing,
    /// Not even the kind.
    NoKind,
}

async fn live(api: &Api<DynamicObject>, kind: &str, name: &str) -> Result<Live, Error> {
    match api.get_opt(name).await {
        Ok(None) => Ok(Live::Nothing),
        Ok(Some(object)) => {
            serde_json::to_value(object).map(Live::Object).map_err(|error| Error::Answer(error.to_string()))
        }
        Err(error) if is_missing_api(&error) => Ok(Live::NoKind),
        Err(error) => Err(Error::cluster(format!("can't read {kind} {name}"))(error)),
    }
}

/// What is no longer asked for goes, if it is the service's.
async fn removal(
    cluster: &Cluster,
    declaration: &Declaration,
    namespace: &str,
    name: &str,
    uid: Option<&str>,
) -> Result<Option<Change>, Error> {
    let kind = (declaration.resource)().kind;
    let Live::Object(object) = live(&api(cluster, declaration, namespace), &kind, name).await? else { return Ok(None) };
    let is_ours = uid.is_some_and(|uid| is_owned(&object, uid));
    Ok(is_ours.then(|| Change { title: format!("{kind} {name}"), before: Some(normal(object)), after: None }))
}

async fn change(
    cluster: &Cluster,
    declaration: &Declaration,
    namespace: &str,
    mut wanted: Value,
    uid: Option<&str>,
) -> Result<Option<Change>, Error> {
    let kind = (declaration.resource)().kind;
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let title = format!("{kind} {name}");
    let api = api(cluster, declaration, namespace);
    let before = match live(&api, &kind, &name).await? {
        Live::Object(before) => before,
        Live::Nothing => {
            if uid.is_none()
                && let Some(metadata) = wanted["metadata"].as_object_mut()
            {
                metadata.remove("ownerReferences");
            }
            return Ok(Some(Change { title, before: None, after: Some(normal(wanted)) }));
        }
        Live::NoKind => {
            note(&format!("the cluster has no {kind}, so the operator can't make {title}: install what defines it"));
            return Ok(None);
        }
    };
    if !uid.is_some_and(|uid| is_owned(&before, uid)) {
        note(&format!(
            "{title} exists already and isn't of this SentimentService: the operator would refuse to touch it"
        ));
    }
    carry_over(&before, &mut wanted);
    let after = match dry_run(&api, &name, &wanted).await {
        Ok(after) => after,
        Err(error) => {
            if code(&error) != Some(403) {
                note(&format!("{title}: the dry run failed, so fields are compared: {error}"));
            }
            fields::applied(&before, &wanted)
        }
    };
    let (before, after) = (normal(before), normal(after));
    Ok((before != after).then_some(Change { title, before: Some(before), after: Some(after) }))
}

fn is_owned(object: &Value, uid: &str) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().any(|owner| owner["uid"] == uid)
}

/// What the operator keeps of the live object: its books, and the number of pods where somebody else decides on it.
fn carry_over(live: &Value, wanted: &mut Value) {
    let books = live["metadata"]["annotations"].as_object().into_iter().flatten();
    let books: Vec<_> = books.filter(|(key, _)| key.starts_with(BOOKS)).collect();
    if !books.is_empty() && wanted["metadata"]["annotations"].is_null() {
        wanted["metadata"]["annotations"] = json!({});
    }
    for (key, value) in books {
        wanted["metadata"]["annotations"][key] = value.clone();
    }
    if wanted["kind"] == "Deployment" && wanted["spec"]["replicas"].is_null() && !live["spec"]["replicas"].is_null() {
        wanted["spec"]["replicas"] = live["spec"]["replicas"].clone();
    }
}

async fn dry_run(api: &Api<DynamicObject>, name: &str, wanted: &Value) -> kube::Result<Value> {
    let params = PatchParams { dry_run: true, ..PatchParams::apply(MANAGER).force() };
    let after = api.patch(name, &params, &Patch::Apply(wanted)).await?;
    serde_json::to_value(after).map_err(kube::Error::SerdeError)
}

/// An object without what each write moves.
fn normal(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !OF_THE_SERVER.contains(&field.as_str()));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| !key.starts_with(BOOKS) && !key.starts_with("deployment.kubernetes.io/"));
        }
        if metadata.get("annotations").is_some_and(|annotations| annotations == &json!({})) {
            metadata.remove("annotations");
        }
    }
    object
}

/// A change as a unified diff of YAML.
pub fn shown(change: &Change) -> Result<String, Error> {
    let Change { title, before, after } = change;
    let yaml = |object: &Option<Value>| match object {
        Some(object) => output::serialized(Format::Yaml, object),
        None => Ok(String::new()),
    };
    let (before, after) = (yaml(before)?, yaml(after)?);
    let diff = TextDiff::from_lines(&before, &after);
    let (old, new) = match (before.is_empty(), after.is_empty()) {
        (true, _) => ("there is none".to_owned(), title.clone()),
        (_, true) => (title.clone(), "it would be deleted".to_owned()),
        _ => (format!("{title}, live"), format!("{title}, as it would be")),
    };
    let text = diff.unified_diff().context_radius(3).header(&old, &new).to_string();
    let coloured = |line: &str| match line.as_bytes().first() {
        _ if line.starts_with("---") || line.starts_with("+++") => styled(TITLE, line),
        Some(b'+') => styled(GOOD, line),
        Some(b'-') => styled(BAD, line),
        _ => line.to_owned(),
    };
    Ok(text.lines().map(|line| coloured(line) + "\n").collect())
}

#[cfg(test)]
mod tests;
