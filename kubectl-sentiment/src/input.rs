//! Files of Kubernetes objects, as kubectl reads them.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use granit_parser::{Event, Parser, ScalarStyle};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;

/// The kind that everything here is about.
pub const KIND: &str = "SentimentService";
/// Its API group.
pub const GROUP: &str = "kubesentiment.io";
/// Its API version.
pub const API_VERSION: &str = "kubesentiment.io/v1alpha1";

/// Words that are truth values to kubectl, whose YAML is that of version 1.1, and texts to others.
const TRUTH: [&str; 16] =
    ["y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF"];

/// A document of a file, or an item of a list in one.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file.
    pub file: String,
    /// Place in the file, from 1.
    pub number: usize,
    /// Where in the document the object is: empty, or such as `items[2]`.
    pub path: String,
    /// The object, or why it can't be read.
    pub object: Result<Value, String>,
    /// Plain words in the document that mean something else to kubectl.
    pub ambiguous: Vec<String>,
}

impl Document {
    /// File and place, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.number)
    }

    /// Whether it is a service, of whatever version.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.object.as_ref().is_ok_and(is_service)
    }
}

/// A `SentimentService` of ours: other groups may have such a kind too. One without a group isn't anybody's.
fn is_service(object: &Value) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    object["kind"] == KIND && version.rsplit_once('/').is_none_or(|(group, _)| group == GROUP)
}

/// The documents of a file, or of the standard input where it is `-`.
pub fn read(path: &Path) -> Result<Vec<Document>, Error> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(Error::file("standard input"))?;
        return Ok(documents("-", &text));
    }
    let text = fs::read_to_string(path).map_err(Error::file(path))?;
    Ok(documents(&path.display().to_string(), &text))
}

/// The documents of a text. JSON is YAML too.
#[must_use]
pub fn documents(file: &str, text: &str) -> Vec<Document> {
    let mut ambiguous = ambiguous(text);
    let mut documents = Vec::new();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let object = serde_yaml::Value::deserialize(document).and_then(|mut value| {
            value.apply_merge()?;
            Ok(value)
        });
        let object = object.map_err(|error| error.to_string());
        let object = object.and_then(|value| serde_json::to_value(value).map_err(|error| error.to_string()));
        if object == Ok(Value::Null) {
            continue;
        }
        let is_broken = object.is_err();
        let ambiguous = ambiguous.get_mut(index).map(std::mem::take).unwrap_or_default();
        documents.extend(items(Document {
            file: file.to_owned(),
            number: index + 1,
            path: String::new(),
            object,
            ambiguous,
        }));
        // Where the next document would begin, nobody knows.
        if is_broken {
            break;
        }
    }
    documents
}

/// The items of a list, or the document itself.
fn items(document: Document) -> Vec<Document> {
    let is_list = |object: &Value| object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    let items =
        document.object.as_ref().ok().filter(|object| is_list(object)).and_then(|list| list["items"].as_array());
    let Some(items) = items else { return vec![document] };
    let item = |(index, object): (usize, &Value)| Document {
        path: format!("items[{index}]"),
        object: Ok(object.clone()),
        ..document.clone()
    };
    items.iter().enumerate().map(item).collect()
}

/// For each document its plain words that kubectl takes for truth values. A text that is no YAML has none.
fn ambiguous(text: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((Event::DocumentStart(..), _)) => found.push(Vec::new()),
            Ok((Event::Scalar(word, ScalarStyle::Plain, _, tag), _)) if tag.is_none() => {
                if let Some(words) = found.last_mut().filter(|_| TRUTH.contains(&&*word)) {
                    words.push(word.into_owned());
                }
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_counted_as_they_stand() {
        let text = "# a comment\n---\nkind: ConfigMap\n---\n---\napiVersion: kubesentiment.io/v1alpha1\nkind: SentimentService\n";
        let found = documents("a.yaml", text);
        let places: Vec<_> = found.iter().map(|document| (document.number, document.is_service())).collect();
        assert_eq!(places, [(1, false), (3, true)]);
        assert_eq!(found[1].place(), "a.yaml:3");
    }

    #[test]
    fn a_list_is_its_items() {
        let text = r#"{"kind": "List", "items": [{"kind": "Secret"}, {"kind": "SentimentService", "apiVersion": "kubesentiment.io/v2"}]}"#;
        let found = documents("-", text);
        let paths: Vec<_> = found.iter().map(|document| (&*document.path, document.is_service())).collect();
        assert_eq!(paths, [("items[0]", false), ("items[1]", true)]);
    }

    #[test]
    fn what_is_no_yaml_says_why() {
        let found = documents("a.yaml", "a: [1\nb: 2\n");
        assert!(found[0].object.as_ref().unwrap_err().contains("line 2"), "{found:?}");
        let twice = documents("a.yaml", "a: 1\na: 2\n");
        assert!(twice[0].object.as_ref().unwrap_err().contains("duplicate"), "{twice:?}");
    }

    #[test]
    fn aliases_and_merges_are_what_they_stand_for() {
        let found = documents("a.yaml", "a: &a {b: 1}\nc: {<<: *a, d: 2}\n");
        assert_eq!(found[0].object.as_ref().unwrap()["c"], serde_json::json!({"b": 1, "d": 2}));
    }

    #[test]
    fn plain_words_that_kubectl_takes_for_truth_values_are_found() {
        let text = "a: on\n---\nb: 'no'\nc: |\n  yes\nd: [yes, \"off\", !!str no]\n";
        let found = documents("a.yaml", text);
        assert_eq!((&*found[0].ambiguous, &*found[1].ambiguous), (&["on".to_owned()][..], &["yes".to_owned()][..]));
    }

    #[test]
    fn a_service_of_another_group_is_none_of_ours() {
        let is = |version: &str| is_service(&serde_json::json!({"kind": KIND, "apiVersion": version}));
        assert_eq!(["kubesentiment.io/v1", "v1", "example.com/v1"].map(is), [true, true, false]);
    }
}
