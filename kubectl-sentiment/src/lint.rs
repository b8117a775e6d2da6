//! `lint`: what the API server and the operator would say of files, without either.
//!
//! Three layers, each as the cluster has it: the schema of the CustomResourceDefinition ([`crate::schema`]), its rules in
//! CEL (kube-cel, the engine that the operator's own tests run), and the operator's validation. A rule that the engine
//! can't run is a finding.

use std::{
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::cel::{CompiledSchema, ErrorKind, ValidationError, Validator, compile_schema};
use kubesentiment_operator::api::{SentimentService, crd};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    cli::Outcome,
    error::Error,
    input::{self, API_VERSION, Document, GROUP, KIND},
    output::{self, Format, JsonFormat, count},
    schema::{self, below},
    settings::{NO_UID, Settings},
};

/// What files of Kubernetes objects end with.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Fields of an object that aren't the schema's.
const OF_EVERY_OBJECT: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];
/// Fields of `metadata`.
const OF_METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Checks SentimentServices in files, without a cluster: by the schema and the rules of the CustomResourceDefinition, and
/// by the operator's own validation
///
/// Prints `FILE:DOCUMENT: PATH: SENTENCE` for each finding. Other kinds are passed over; in folders so are files that don't
/// mention SentimentService. Exit code 0: nothing found, 1: findings, 2: a file can't be read.
#[derive(Debug, clap::Args)]
pub struct Lint {
    /// Files, or folders that are searched for .yaml, .yml and .json; - is the standard input
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
    /// Form of the result
    #[arg(short, long, value_enum)]
    output: Option<JsonFormat>,
    #[command(flatten)]
    settings: Settings,
}

/// Something that would be refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// Place in the file, from 1.
    pub document: usize,
    /// The field; empty for the document as a whole.
    pub path: String,
    /// What, and what to do.
    pub sentence: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, document, path, sentence } = self;
        write!(f, "{file}:{document}: ")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(sentence)
    }
}

/// Holds objects to what a cluster with this release of the operator asks of them.
pub struct Linter {
    schema: Value,
    rules: CompiledSchema,
    settings: Settings,
}

impl Linter {
    /// One that knows these settings of the operator.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let schema = crd().spec.versions.into_iter().next().and_then(|version| version.schema?.open_api_v3_schema);
        let schema = serde_json::to_value(schema).map_err(|error| Error::Document(error.to_string()))?;
        Ok(Self::of(schema, settings))
    }

    fn of(schema: Value, settings: Settings) -> Self {
        Self { rules: compile_schema(&schema), schema, settings }
    }

    /// What is wrong with a document. One that is no service of ours passes.
    #[must_use]
    pub fn check(&self, document: &Document) -> Vec<Finding> {
        let found: Vec<(String, String)> = match &document.object {
            Err(error) => vec![(String::new(), format!("is no YAML: {error}"))],
            Ok(_) if !document.is_service() => Vec::new(),
            Ok(object) => {
                let mut found = self.object(object);
                found.extend(document.ambiguous.iter().map(|word| (String::new(), mistaken(word))));
                found
            }
        };
        let located = |path: String| match (document.path.as_str(), path.as_str()) {
            ("", _) => path,
            (item, "") => item.to_owned(),
            (item, _) => below(item, &path),
        };
        let finding = |(path, sentence): (String, String)| Finding {
            file: document.file.clone(),
            document: document.number,
            path: located(path),
            sentence,
        };
        found.into_iter().map(finding).collect()
    }

    /// Path and sentence of each finding in an object.
    fn object(&self, object: &Value) -> Vec<(String, String)> {
        if object["apiVersion"] != API_VERSION {
            let sentence = format!("Unsupported value: {}: this release has {API_VERSION}", object["apiVersion"]);
            return vec![("apiVersion".to_owned(), sentence)];
        }
        let mut found = metadata(&object["metadata"]);
        let own: Map<String, Value> = object
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !OF_EVERY_OBJECT.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let faults = schema::faults(&self.schema, &Value::Object(own), "");
        let rules_can_run = !faults.iter().any(|fault| fault.blocks_rules);
        found.extend(faults.into_iter().map(|fault| (fault.path, fault.sentence)));
        if rules_can_run {
            found.extend(self.rules(object));
        } else {
            let sentence = "the rules were not checked, because the object is invalid: correct the above first";
            found.push((String::new(), sentence.to_owned()));
        }
        if found.is_empty() {
            // What is left, the operator's own validation knows: what neither a schema nor a rule can say.
            found.extend(self.service(object).err().map(|sentence| ("spec".to_owned(), sentence)));
        }
        found
    }

    fn rules(&self, object: &Value) -> Vec<(String, String)> {
        let object = complete(object);
        let told = Validator::new().validate_compiled(&self.rules, &object, None);
        told.err().into_iter().flat_map(|errors| errors.into_vec().into_iter().map(by_rule)).collect()
    }

    fn service(&self, object: &Value) -> Result<(), String> {
        let service: SentimentService = serde_json::from_value(complete(object)).map_err(|error| error.to_string())?;
        self.settings.validated(&service).map(drop)
    }
}

/// What a rule says, or why it can't say anything.
fn by_rule(error: ValidationError) -> (String, String) {
    let sentence = match error.kind {
        ErrorKind::ValidationFailure => error.message,
        _ => format!(
            "the rule `{}` can't be run here ({}): ask the API server, by kubectl apply --dry-run=server",
            error.rule, error.message
        ),
    };
    (error.field_path, sentence)
}

/// An object with what an API server would fill in.
fn complete(object: &Value) -> Value {
    let mut object = object.clone();
    if object["spec"].is_null() {
        object["spec"] = json!({});
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    let metadata = &mut object["metadata"];
    if metadata["name"].is_null() {
        metadata["name"] = json!(format!("{}00000", metadata["generateName"].as_str().unwrap_or_default()));
    }
    for (field, value) in [("namespace", "default"), ("uid", NO_UID)] {
        if metadata[field].is_null() {
            metadata[field] = json!(value);
        }
    }
    object
}

fn metadata(metadata: &Value) -> Vec<(String, String)> {
    let one = |path: &str, sentence: String| vec![(path.to_owned(), sentence)];
    if metadata["name"].is_null() && metadata["generateName"].is_null() {
        return one("metadata.name", "Required value: name or generateName is required".to_owned());
    }
    if let Err(error) = serde_json::from_value::<ObjectMeta>(metadata.clone()) {
        return one("metadata", error.to_string());
    }
    let names = metadata.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let unknown = names.filter(|name| !OF_METADATA.contains(name)).map(|name| below("metadata", name));
    unknown.map(|path| (path.clone(), format!("unknown field \"{path}\""))).collect()
}

fn mistaken(word: &str) -> String {
    format!("the plain word {word} is a truth value to kubectl: write true or false, or '{word}' in quotes for a text")
}

/// Runs the command.
pub fn run(command: Lint) -> Result<Outcome, Error> {
    let Lint { paths, output, settings } = command;
    let linter = Linter::new(settings)?;
    let mut files = Vec::new();
    for path in &paths {
        find(path, true, &mut files)?;
    }
    let (mut services, mut findings) = (0, Vec::new());
    for (path, is_named) in &files {
        let documents = input::read(path)?;
        if !is_named && !mentions(path)? {
            continue;
        }
        services += documents.iter().filter(|document| document.is_service()).count();
        findings.extend(documents.iter().flat_map(|document| linter.check(document)));
    }
    match output {
        Some(JsonFormat::Json) => {
            let result = json!({"services": services, "findings": findings});
            output::write(&output::serialized(Format::Json, &result)?)?;
        }
        None => {
            let mut lines = String::new();
            for finding in &findings {
                lines.push_str(&format!("{finding}\n"));
            }
            output::write(&lines)?;
            let found = if findings.is_empty() { "no finding".to_owned() } else { count(findings.len(), "finding") };
            output::note(&format!("{}: {found}", count(services, KIND)));
        }
    }
    Ok(if findings.is_empty() { Outcome::Fine } else { Outcome::Found })
}

/// The files below a path, sorted, with whether they were named. A folder that can't be read is an error: it might hold
/// what would be refused.
fn find(path: &Path, is_named: bool, files: &mut Vec<(PathBuf, bool)>) -> Result<(), Error> {
    if path == Path::new("-") || !path.is_dir() {
        let is_ours = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        if is_named || is_ours {
            files.push((path.to_owned(), is_named));
        }
        return Ok(());
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(Error::file(path))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    // A link to a folder may lead around in a circle.
    paths.iter().filter(|path| !(path.is_symlink() && path.is_dir())).try_for_each(|path| find(path, false, files))
}

/// Whether a file that nobody named is about services: in a folder there may be templates that are no YAML yet.
fn mentions(path: &Path) -> Result<bool, Error> {
    let text = fs::read_to_string(path).map_err(Error::file(path))?;
    Ok(text.contains(KIND) && text.contains(GROUP))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a service of this spec, as lines.
    fn said(linter: &Linter, spec: &Value) -> Vec<String> {
        let object = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "bad"}, "spec": spec});
        of(linter, &object)
    }

    fn of(linter: &Linter, object: &Value) -> Vec<String> {
        let documents = input::documents("a.yaml", &object.to_string());
        documents.iter().flat_map(|document| linter.check(document)).map(|finding| finding.to_string()).collect()
    }

    fn linter() -> Linter {
        Linter::new(Settings::default()).unwrap()
    }

    #[test]
    fn a_finding_has_its_place_and_the_words_of_the_api_server() {
        let expected =
            "a.yaml:1: spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0";
        assert_eq!(said(&linter(), &json!({"replicas": -1})), [expected]);
        let both = said(&linter(), &json!({"replicas": 2, "autoscaling": {"maxReplicas": 3}, "profil": 1}));
        assert_eq!(both.len(), 2, "{both:?}");
        assert_eq!(both[0], "a.yaml:1: spec.profil: unknown field \"spec.profil\"");
        assert!(both[1].starts_with("a.yaml:1: spec: set replicas or autoscaling, not both"), "{both:?}");
    }

    #[test]
    fn rules_wait_for_types() {
        let said = said(&linter(), &json!({"replicas": "two", "autoscaling": {"maxReplicas": 3}}));
        assert!(
            said[0].contains("must be of type integer") && said[1].contains("the rules were not checked"),
            "{said:?}"
        );
    }

    #[test]
    fn the_metadata_is_looked_at() {
        let with =
            |metadata: Value| of(&linter(), &json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata}));
        assert_eq!(with(json!({"name": "a"})), [""; 0]);
        assert_eq!(with(json!({"generateName": "a-"})), [""; 0]);
        assert!(with(json!({}))[0].contains("metadata.name: Required value"));
        assert!(with(json!({"name": "a", "label": {}}))[0].contains("unknown field \"metadata.label\""));
        assert!(with(json!({"name": "a", "labels": {"b": 1}}))[0].contains("metadata: invalid type"));
        assert!(with(json!({"name": "1st"}))[0].contains("metadata.name becomes the name of the Service"));
    }

    #[test]
    fn another_version_is_told() {
        let said =
            of(&linter(), &json!({"apiVersion": "kubesentiment.io/v1beta1", "kind": KIND, "metadata": {"name": "a"}}));
        assert_eq!(
            said,
            [
                "a.yaml:1: apiVersion: Unsupported value: \"kubesentiment.io/v1beta1\": this release has kubesentiment.io/v1alpha1"
            ]
        );
    }

    #[test]
    fn an_item_of_a_list_has_its_path() {
        let service =
            json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "a"}, "spec": {"suspend": 1}});
        let said = of(&linter(), &json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Secret"}, service]}));
        assert!(said[0].starts_with("a.yaml:1: items[1].spec.suspend: Invalid value"), "{said:?}");
    }

    #[test]
    fn a_word_that_kubectl_reads_in_another_way_is_told() {
        let text = format!(
            "apiVersion: {API_VERSION}\nkind: {KIND}\nmetadata: {{name: a}}\nspec: {{env: [{{name: A, value: on}}]}}\n"
        );
        let documents = input::documents("a.yaml", &text);
        let said = linter().check(&documents[0]);
        assert!(said[0].sentence.contains("the plain word on is a truth value to kubectl"), "{said:?}");
    }

    #[test]
    fn the_operators_settings_count() {
        let settings = Settings { model_hosts: Some(vec!["models.example.com".to_owned()]), ..Settings::default() };
        let linter = Linter::new(settings).unwrap();
        let source = |url: &str| json!({"model": {"source": {"http": {"url": url}}}});
        assert_eq!(said(&linter, &source("https://models.example.com/a.tar.gz")), [""; 0]);
        assert!(said(&linter, &source("https://example.com/a.tar.gz"))[0].starts_with("a.yaml:1: spec: "));
    }

    #[test]
    fn a_rule_that_cannot_be_run_is_a_finding() {
        for rule in [
            "self.replicas.sortBy(x, x) == 1",
            "cel.bind(a, 1, a == 1)",
            "self.replicas >",
            "nobody(self.replicas)",
            "self.replicas",
        ] {
            let rules = json!([{"rule": rule, "message": "no"}]);
            let spec = json!({"type": "object", "properties": {"replicas": {"type": "integer"}}, "x-kubernetes-validations": rules});
            let linter = Linter::of(json!({"type": "object", "properties": {"spec": spec}}), Settings::default());
            let said = said(&linter, &json!({"replicas": 1}));
            assert!(said.len() == 1 && said[0].contains("can't be run here"), "{rule}: {said:?}");
        }
    }

    /// Without the object before, such rules are left out by the engine.
    #[test]
    fn no_rule_compares_with_the_object_before() {
        let text = linter().schema.to_string();
        assert!(text.contains("x-kubernetes-validations") && !text.contains("oldSelf"));
    }
}
