//! Two candidates for one lease.

use std::time::{Duration, Instant};

use kube::Client;
use kubesentiment_e2e::{Outcome, ensure, namespace};
use kubesentiment_operator::runtime::leader::Elector;
use tokio::time::timeout;

/// One leads; a release hands over at once, and a death within fifteen seconds.
pub async fn handover(client: Client) -> Outcome {
    let namespace = namespace(&client, "electing").await?;
    let candidate = |identity: &str| Elector::new(client.clone(), &namespace, "lease", identity);
    let (mut first, mut second, mut third) = (candidate("first"), candidate("second"), candidate("third"));

    ensure!(timeout(Duration::from_secs(2), first.acquire()).await.is_ok(), "the first could not take a free lease");
    let holding = tokio::spawn(async move {
        // Ends when the test says so, not by losing the lease.
        let lost = timeout(Duration::from_secs(8), first.hold()).await.is_ok();
        (first, lost)
    });
    ensure!(timeout(Duration::from_secs(7), second.acquire()).await.is_err(), "there were two leaders");
    let (mut first, lost) = holding.await.map_err(|error| error.to_string())?;
    ensure!(!lost, "the first lost a lease that it renewed");

    first.release().await;
    ensure!(timeout(Duration::from_secs(4), second.acquire()).await.is_ok(), "a released lease was not taken");

    // The second dies: it neither renews nor releases.
    drop(second);
    let began = Instant::now();
    ensure!(timeout(Duration::from_secs(15), third.acquire()).await.is_ok(), "a dead lease was not taken");
    ensure!(began.elapsed() >= Duration::from_secs(10), "a lease was taken from the living: {:?}", began.elapsed());
    Ok(())
}
