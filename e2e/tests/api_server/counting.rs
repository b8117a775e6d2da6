//! What the operator's metrics say, against what it does.

use std::{sync::Arc, time::Duration};

use kube::Config;
use kubesentiment_e2e::{Outcome, ensure, eventually, failure, namespace, ready, service};
use kubesentiment_operator::{controller::Operator, metrics::Metrics, runtime::client::connect, watches::Scope};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Series of requests that somebody must have caused: a watch begins anew by itself.
pub(super) fn requests(metrics: &Metrics) -> Vec<String> {
    let text = metrics.render().unwrap_or_default();
    let requests = text.lines().filter(|line| line.starts_with("kubesentiment_operator_api_requests_total"));
    // What the cluster does not have is looked for now and then.
    let looked_for = |line: &str| line.contains("verb=\"list\"") && line.contains("code=\"404\"");
    requests.filter(|line| !line.contains("verb=\"watch\"") && !looked_for(line)).map(str::to_owned).collect()
}

/// A service costs what it takes to make it, and nothing while it stays as it is. An operator of
/// its own works on the same namespace as the others' operator, which asks for the same.
pub async fn quiet(config: Config) -> Outcome {
    let metrics = Metrics::default();
    let client = connect(config, &metrics.api_requests).map_err(failure)?;
    let namespace = namespace(&client, "counting").await?;
    let stop = CancellationToken::new();
    let operator = Operator::new(client.clone(), crate::IMAGE.parse().map_err(failure)?, metrics.clone());
    let scope = Scope::Namespace(namespace.clone());
    let running = {
        let stop = stop.clone();
        tokio::spawn(async move { Arc::new(operator).run(&[scope], 2, || (), stop).await })
    };

    service(&client, &namespace, "reviews", json!({})).await.map_err(failure)?;
    eventually("the status", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    eventually("the counts", || async {
        let text = metrics.render().map_err(failure)?;
        for line in [
            r#"api_requests_total{verb="list",resource="sentimentservices",code="200"} 1"#,
            r#"api_requests_total{verb="watch",resource="deployments",code="200"} 1"#,
            r#"services{reason="RollingOut"} 1"#,
            r#"watch_starts_total{kind="Deployment"} 1"#,
            "queue_depth 0",
            "reconciles_in_progress 0",
        ] {
            let line = format!("kubesentiment_operator_{line}");
            ensure!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
        }
        let applied = r#"api_requests_total{verb="patch",resource="deployments",code="#;
        ensure!(text.contains(applied), "{applied} is missing in:\n{text}");
        Ok(())
    })
    .await?;

    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = requests(&metrics);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = requests(&metrics);
    stop.cancel();
    running.await.map_err(failure)?;
    ensure!(before == after, "requests went from {before:?} to {after:?}");
    Ok(())
}
