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

/// A service costs what it takes to make it and nothing while it stays as it is; an operator that starts later, as after
/// a restart, sends nothing at all for what hasn't moved.
pub async fn quiet(config: Config) -> Outcome {
    let metrics = Metrics::default();
    let client = connect(config, &metrics.api_requests).map_err(failure)?;
    let namespace = namespace(&client, "counting").await?;
    service(&client, &namespace, "reviews", json!({})).await.map_err(failure)?;
    eventually("the status", || ready(&client, &namespace, "reviews", "False", "RollingOut")).await?;
    // The words of what began may come a second late.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let of_the_test = requests(&metrics);
    let stop = CancellationToken::new();
    let operator = Operator::new(client.clone(), crate::IMAGE.parse().map_err(failure)?, metrics.clone());
    let scope = Scope::Namespace(namespace.clone());
    let running = {
        let stop = stop.clone();
        tokio::spawn(async move { Arc::new(operator).run(&[scope], 2, || (), stop).await })
    };
    eventually("the counts", || async {
        let text = metrics.render().map_err(failure)?;
        for line in [
            r#"api_requests_total{verb="watch",resource="deployments",code="200"} 1"#,
            r#"services{reason="RollingOut"} 1"#,
            r#"watch_starts_total{kind="Deployment"} 1"#,
            r#"reconciles_total{result="error"} 0"#,
            "queue_depth 0",
            "reconciles_in_progress 0",
        ] {
            let line = format!("kubesentiment_operator_{line}");
            ensure!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
        }
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    stop.cancel();
    running.await.map_err(failure)?;
    let is_a_list = |line: &String| line.contains("verb=\"list\"");
    let sent: Vec<String> =
        requests(&metrics).into_iter().filter(|line| !is_a_list(line) && !of_the_test.contains(line)).collect();
    ensure!(sent.is_empty(), "it sent {sent:?}");
    Ok(())
}
