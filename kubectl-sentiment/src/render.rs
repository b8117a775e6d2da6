//! `render`: the children that the operator would make, without a cluster.

use std::path::PathBuf;

use kubesentiment_operator::{api::SentimentService, build::Children, children::KINDS, dereference::References};
use serde_json::{Value, json};

use crate::{
    error::Error,
    input::{self, Document},
    lint::Linter,
    output::{self, Format},
    settings::{NO_UID, Settings},
};

/// Prints the objects that the operator would make of a SentimentService, without a cluster
///
/// They are what the operator of this release sends, but for its own annotations, and for ownerReferences where the file
/// names no uid: an object without its owner would be taken away. Of a ConfigMap that the spec names only the name is
/// known, so the hash of its content is left out.
#[derive(Debug, clap::Args)]
pub struct Render {
    /// File with SentimentServices; - is the standard input
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
    #[command(flatten)]
    settings: Settings,
}

/// Runs the command. `namespace` is that of services that name none.
pub fn run(command: Render, namespace: Option<&str>) -> Result<(), Error> {
    let Render { filename, output, settings } = command;
    let services = services(&input::read(&filename)?, namespace, &settings)?;
    if services.is_empty() {
        return Err(Error::NoDocument(filename.display().to_string()));
    }
    let mut objects = Vec::new();
    for (place, service) in &services {
        let children = settings.children(service, &References::default());
        let children = children.map_err(|sentence| Error::Invalid { place: place.clone(), sentence })?;
        objects.extend(self::objects(&children));
    }
    output::write(&text(output, &objects)?)
}

/// The services among these documents, each with its place. A document that would be refused is an error.
pub fn services(
    documents: &[Document],
    namespace: Option<&str>,
    settings: &Settings,
) -> Result<Vec<(String, SentimentService)>, Error> {
    let linter = Linter::new(settings.clone())?;
    let mut services = Vec::new();
    for document in documents {
        let findings: Vec<String> = linter.check(document).iter().map(ToString::to_string).collect();
        if !findings.is_empty() {
            return Err(Error::Document(findings.join("\n")));
        }
        let (Ok(object), true) = (&document.object, document.is_service()) else { continue };
        let mut object = object.clone();
        if object["spec"].is_null() {
            object["spec"] = json!({});
        }
        let metadata = &mut object["metadata"];
        if metadata["name"].is_null() {
            let sentence = "has generateName and no name, so its children have no names yet: give it a name";
            return Err(Error::Invalid { place: document.place(), sentence: sentence.to_owned() });
        }
        if metadata["namespace"].is_null() {
            metadata["namespace"] = json!(namespace.unwrap_or("default"));
        }
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(NO_UID);
        }
        let service = serde_json::from_value(object)
            .map_err(|error| Error::Invalid { place: document.place(), sentence: error.to_string() })?;
        services.push((document.place(), service));
    }
    Ok(services)
}

/// The children in the order in which they are written.
#[must_use]
pub fn objects(children: &Children) -> Vec<Value> {
    let mut objects: Vec<Value> = KINDS.iter().flat_map(|declaration| (declaration.built)(children)).collect();
    for object in &mut objects {
        let is_unowned = object["metadata"]["ownerReferences"][0]["uid"] == NO_UID;
        if let Some(metadata) = object["metadata"].as_object_mut().filter(|_| is_unowned) {
            metadata.remove("ownerReferences");
        }
    }
    objects
}

/// Objects as `kubectl get -o` prints several, and as `kubectl apply -f` takes them.
pub fn text(format: Format, objects: &[Value]) -> Result<String, Error> {
    match format {
        Format::Json => output::serialized(format, &json!({"apiVersion": "v1", "kind": "List", "items": objects})),
        Format::Yaml => {
            let documents: Result<Vec<String>, Error> =
                objects.iter().map(|object| output::serialized(format, object)).collect();
            Ok(documents?.join("---\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: kubesentiment.io/v1alpha1
kind: SentimentService
metadata: {name: reviews}
spec: {replicas: 1, monitoring: {}}
";

    fn rendered(text: &str, settings: &Settings) -> Result<Vec<Value>, Error> {
        let services = services(&input::documents("a.yaml", text), None, settings)?;
        Ok(services
            .iter()
            .flat_map(|(_, service)| objects(&settings.children(service, &References::default()).unwrap()))
            .collect())
    }

    #[test]
    fn the_children_of_a_small_service() {
        let objects = rendered(FILE, &Settings::default()).unwrap();
        insta::assert_snapshot!(text(Format::Yaml, &objects).unwrap());
    }

    #[test]
    fn the_operators_settings_count() {
        let settings = Settings { default_image: Some("registry.example.com/s:1".to_owned()), ..Settings::default() };
        let objects = rendered(FILE, &settings).unwrap();
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
        assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example.com/s:1");
    }

    #[test]
    fn an_owner_that_is_known_is_named() {
        let owned = FILE.replace("{name: reviews}", "{name: reviews, uid: 1b4e28ba-2fa1-11d2-883f-0016d3cca427}");
        let objects = rendered(&owned, &Settings::default()).unwrap();
        assert!(objects.iter().all(|object| object["metadata"]["ownerReferences"][0]["name"] == "reviews"));
    }

    #[test]
    fn what_would_be_refused_is_not_rendered() {
        let refused = rendered(&FILE.replace("replicas: 1", "replicas: -1"), &Settings::default()).unwrap_err();
        assert!(refused.to_string().starts_with("a.yaml:1: spec.replicas: Invalid value: -1"), "{refused}");
        let nameless = rendered(&FILE.replace("name: reviews", "generateName: a"), &Settings::default()).unwrap_err();
        assert!(nameless.to_string().contains("give it a name"), "{nameless}");
    }
}
