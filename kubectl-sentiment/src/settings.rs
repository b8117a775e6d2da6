//! What the operator is told beside the spec: its children depend on it.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, ResourceExt, api::ListParams};
use kubesentiment_operator::{
    api::{Delivery, MANAGER, SentimentService},
    build::{Children, build},
    dereference::References,
    image::{DEFAULT_ARCHITECTURE, ImageReference, ServerImage},
    image_volumes::ImageVolumePolicy,
    validate::{ModelHosts, ValidatedService, validate},
};

/// What an object without a uid has in its place: the types ask for one.
pub const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// Settings of the operator that its children follow, as its own flags and variables.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Settings of the operator")]
pub struct Settings {
    /// Server image for services that name none [default: sentiment-service:distroless, or that of the operator in the
    /// cluster]
    #[arg(long, env, hide_env_values = true, value_name = "IMAGE")]
    pub default_image: Option<String>,
    /// Architectures that this image is built for, separated by commas [default: amd64]
    #[arg(long, env, value_delimiter = ',', value_name = "ARCHITECTURES")]
    pub image_architectures: Option<Vec<String>>,
    /// Hosts and registries that models may come from, separated by commas [default: any]
    #[arg(long, env, value_delimiter = ',', value_name = "HOSTS")]
    pub model_hosts: Option<Vec<String>>,
    /// Whether nodes mount models in OCI images, or pods fetch them [default: auto, which takes it that nodes do]
    #[arg(long, env, value_enum, ignore_case = true, value_name = "POLICY")]
    pub image_volumes: Option<ImageVolumePolicy>,
}

impl Settings {
    /// These, and those of `other` where nothing is said here.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            default_image: self.default_image.or(other.default_image),
            image_architectures: self.image_architectures.or(other.image_architectures),
            model_hosts: self.model_hosts.or(other.model_hosts),
            image_volumes: self.image_volumes.or(other.image_volumes),
        }
    }

    fn server_image(&self) -> Result<ServerImage, String> {
        let image = self.default_image.as_deref().unwrap_or("sentiment-service:distroless");
        let named = |name: &String| !name.is_empty();
        let architectures = match &self.image_architectures {
            Some(architectures) => architectures.iter().filter(|name| named(name)).cloned().collect(),
            None => vec![DEFAULT_ARCHITECTURE.to_owned()],
        };
        let reference = image.parse::<ImageReference>().map_err(|error| format!("--default-image: {error}"))?;
        Ok(ServerImage { reference, architectures })
    }

    /// A service as the operator would take it, or the sentence with which it would refuse it.
    pub fn validated(&self, service: &SentimentService) -> Result<ValidatedService, String> {
        let mut valid = validate(service, &self.server_image()?).map_err(|invalid| invalid.to_string())?;
        let hosts: Vec<String> =
            self.model_hosts.iter().flatten().filter(|host| !host.trim().is_empty()).cloned().collect();
        let hosts = ModelHosts::new(&hosts).map_err(|error| error.to_string())?;
        hosts.check(&valid.source).map_err(|invalid| invalid.to_string())?;
        if self.image_volumes == Some(ImageVolumePolicy::Never) && valid.source.delivery() == Delivery::ImageVolume {
            valid.source.fetch_image();
        }
        Ok(valid)
    }

    /// The children that the operator would make of it.
    pub fn children(&self, service: &SentimentService, references: &References) -> Result<Children, String> {
        Ok(build(&self.validated(service)?, references))
    }

    /// Those of an operator's Deployment.
    #[must_use]
    pub fn of(operator: &Deployment) -> Self {
        let containers =
            operator.spec.iter().filter_map(|spec| spec.template.spec.as_ref()).flat_map(|pod| &pod.containers);
        let env = containers.filter(|container| container.name == "operator").flat_map(|one| one.env.iter().flatten());
        let env: BTreeMap<&str, &str> =
            env.filter_map(|variable| Some((variable.name.as_str(), variable.value.as_deref()?))).collect();
        let list = |name: &str| env.get(name).map(|value| value.split(',').map(|one| one.trim().to_owned()).collect());
        Self {
            default_image: env.get("DEFAULT_IMAGE").map(|image| (*image).to_owned()),
            image_architectures: list("IMAGE_ARCHITECTURES"),
            model_hosts: list("MODEL_HOSTS"),
            image_volumes: env.get("IMAGE_VOLUMES").map(|policy| {
                if policy.eq_ignore_ascii_case("never") { ImageVolumePolicy::Never } else { ImageVolumePolicy::Auto }
            }),
        }
    }
}

/// The operator's Deployment, in whatever namespace; the first by name of several.
pub async fn operator(client: &Client) -> kube::Result<Option<Deployment>> {
    let api: Api<Deployment> = Api::all(client.clone());
    let mut found = api.list(&ListParams::default().labels(&format!("app.kubernetes.io/name={MANAGER}"))).await?.items;
    found.sort_by_key(|deployment| (deployment.namespace(), deployment.name_any()));
    Ok(found.into_iter().next())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(env: &serde_json::Value) -> Deployment {
        serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": {"selector": {}, "template": {"spec": {
            "containers": [{"name": "istio-proxy", "env": [{"name": "DEFAULT_IMAGE", "value": "b"}]}, {"name": "operator", "env": env}],
        }}}}))
        .unwrap()
    }

    #[test]
    fn an_operators_variables_are_its_settings() {
        let settings = Settings::of(&deployment(&json!([
            {"name": "DEFAULT_IMAGE", "value": "registry.example.com/s:1"}, {"name": "IMAGE_VOLUMES", "value": "Never"},
            {"name": "MODEL_HOSTS", "value": ""}, {"name": "LEASE_NAMESPACE", "valueFrom": {}},
        ])));
        assert_eq!(settings.default_image.as_deref(), Some("registry.example.com/s:1"));
        assert_eq!((settings.image_architectures, settings.image_volumes), (None, Some(ImageVolumePolicy::Never)));
        assert_eq!(settings.model_hosts, Some(vec![String::new()]), "which is any");
    }

    #[test]
    fn what_is_said_here_counts_more() {
        let of = |image: &str| Settings { default_image: Some(image.to_owned()), ..Settings::default() };
        assert_eq!(of("a").or(of("b")), of("a"));
        assert_eq!(Settings::default().or(of("b")), of("b"));
    }
}
