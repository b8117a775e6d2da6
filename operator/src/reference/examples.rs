//! The examples of `examples.yaml`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Error;

const FILE: &str = include_str!("examples.yaml");

/// A value for one field.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What is put at the field's path.
    value: Value,
    /// Other fields of `spec`, without which the field would break a rule or have no effect.
    #[serde(default)]
    with: Map<String, Value>,
}

/// All examples by the path of their field.
pub fn examples() -> Result<BTreeMap<String, Example>, Error> {
    Ok(serde_yaml::from_str(FILE)?)
}

impl Example {
    /// The `spec` that sets the field at `path`.
    pub fn spec(&self, path: &str) -> Result<Value, Error> {
        let missing = || Error::NotSet(path.to_owned());
        let mut object = json!({ "spec": self.with });
        let mut place = &mut object;
        for step in path.split('.') {
            let (name, is_list) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
            place = place.as_object_mut().ok_or_else(missing)?.entry(name).or_insert(Value::Null);
            if is_list {
                if place.is_null() {
                    *place = json!([{}]);
                }
                place = place.get_mut(0).ok_or_else(missing)?;
            } else if place.is_null() {
                *place = json!({});
            }
        }
        *place = self.value.clone();
        Ok(object["spec"].take())
    }

    /// That `spec` as YAML.
    pub(super) fn yaml(&self, path: &str) -> Result<String, Error> {
        Ok(serde_yaml::to_string(&json!({ "spec": self.spec(path)? }))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(value: &Value, with: &Value) -> Example {
        serde_json::from_value(json!({"value": value, "with": with})).unwrap()
    }

    #[test]
    fn a_value_is_put_at_its_path() {
        let tag = example(&json!("1.0"), &json!({"replicas": 1, "image": {"debug": true}}));
        assert_eq!(tag.spec("spec.image.tag").unwrap(), json!({"replicas": 1, "image": {"debug": true, "tag": "1.0"}}));
        let name = example(&json!("registry"), &json!({}));
        assert_eq!(
            name.spec("spec.image.pullSecrets[].name").unwrap(),
            json!({"image": {"pullSecrets": [{"name": "registry"}]}})
        );
        assert_eq!(example(&json!({}), &json!({})).spec("spec").unwrap(), json!({}));
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let wrong = example(&json!(1), &json!({"image": "text"}));
        assert!(wrong.spec("spec.image.tag").unwrap_err().to_string().contains("spec.image.tag"));
    }
}
