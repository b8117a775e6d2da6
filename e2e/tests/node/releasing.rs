//! Releases of the chart that follow each other.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt};
use kubesentiment_e2e::{Failure, Outcome, cluster::helm, ensure, failure, namespace, repository};

const DEFINITION: &str = "sentimentservices.kubesentiment.io";

/// The CustomResourceDefinition that a release leaves behind is taken over by one of another name, with all that is
/// stored under it, as the chart's README says.
pub async fn under_another_name(client: Client) -> Outcome {
    let home = namespace(&client, "releases").await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let uid = definitions.get(DEFINITION).await.map_err(failure)?.uid();
    let chart = repository().join("charts/kubesentiment-operator").display().to_string();
    let install = |name: &str, options: &[&str]| -> Result<String, Failure> {
        let watched = format!("watchNamespaces={{{home}}}");
        let full_name = format!("fullnameOverride={name}");
        let mut arguments = vec!["install", name, &chart, "--namespace", &home];
        arguments.extend(["--set", &watched, "--set", &full_name, "--set", "rbac.userRoles=false"]);
        arguments.extend(options);
        helm(&arguments)
    };
    let uninstall = |name: &str| helm(&["uninstall", name, "--namespace", &home, "--ignore-not-found"]);

    // This node's was applied without Helm.
    let outcome = async {
        install("first", &["--take-ownership", "--force-conflicts"])?;
        uninstall("first")?;
        let Err(refusal) = install("second", &[]) else { return Err("it takes over without being asked".to_owned()) };
        ensure!(refusal.contains("invalid ownership metadata"), "Helm says: {refusal}");
        install("second", &["--take-ownership", "--force-conflicts"])?;
        let after = definitions.get(DEFINITION).await.map_err(failure)?;
        ensure!(after.uid() == uid, "the definition was made anew, and all SentimentServices are gone");
        let release = after.annotations().get("meta.helm.sh/release-name").map(String::as_str);
        ensure!(release == Some("second"), "it is of the release {release:?}");
        Ok(())
    }
    .await;
    let removed = [uninstall("first"), uninstall("second")];
    outcome?;
    removed.into_iter().try_for_each(|removed| removed.map(drop))?;
    ensure!(
        definitions.get(DEFINITION).await.map_err(failure)?.uid() == uid,
        "the last release took the definition along"
    );
    Ok(())
}
