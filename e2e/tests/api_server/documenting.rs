//! What docs/reference.md shows is what the API server and the operator take.

use std::collections::BTreeMap;

use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
};
use kubesentiment_e2e::{Outcome, condition, ensure, eventually, failure, namespace, service};
use kubesentiment_operator::{api::SentimentService, reference};

/// Every example is applied as a user does. None is refused by the API server, found invalid by the
/// operator, or made into a child that the API server refuses.
pub async fn examples(client: Client) -> Outcome {
    let namespace = namespace(&client, "reference").await?;
    let examples = reference::examples().map_err(failure)?;
    ensure!(examples.len() > 30, "there are {} examples only", examples.len());
    let mut paths = BTreeMap::new();
    for (number, (path, example)) in examples.iter().enumerate() {
        let name = format!("example-{number}");
        let spec = example.spec(path).map_err(failure)?;
        service(&client, &namespace, &name, spec).await.map_err(|error| format!("{path}: {error}"))?;
        paths.insert(name, path);
    }

    let services: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
    eventually("the statuses", || async {
        for one in services.list(&ListParams::default()).await.map_err(failure)? {
            let path = paths.get(&one.name_any()).ok_or("a service of nobody")?;
            let ready = condition(&one, "Ready").ok_or_else(|| format!("{path} has no status"))?;
            let taken = ["RollingOut", "Suspended", "DependencyMissing"].contains(&ready.reason.as_str());
            ensure!(taken, "{path} is {}: {}", ready.reason, ready.message);
        }
        Ok(())
    })
    .await?;
    services.delete_collection(&DeleteParams::default(), &ListParams::default()).await.map_err(failure)?;
    Ok(())
}
