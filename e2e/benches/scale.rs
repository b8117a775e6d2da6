//! `make bench-operator`: what the operator asks for and what it takes, at 200 and at 2,000 services, beside the aims.
//!
//! `cargo bench … --bench scale -- 200` measures at other numbers. Requests are those that the operator itself counts
//! around its client, so none is missing; memory is what the kernel says of the process.

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use futures::{TryStreamExt, stream};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{ConfigMap, Namespace, Pod, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use kubesentiment_e2e::{
    Failure, Outcome,
    api_server::ApiServer,
    condition, control_plane, ensure, failure,
    operator::{Memory, OperatorProcess},
    service, within,
};
use kubesentiment_operator::api::SentimentService;
use serde_json::json;
use tokio::runtime::Runtime;

/// Memory that it may take at any of these sizes, in MiB.
const MEMORY: f64 = 40.0;
const NODES: usize = 100;
const NAMESPACES: usize = 20;
/// Requests of ours at a time.
const AT_A_TIME: usize = 8;
/// Changes, one after the other.
const CHANGES: usize = 30;
/// Objects of strangers of each kind, and the size of an annotation that each has.
const STRANGERS: usize = 400;
const ANNOTATION: usize = 250_000;

fn main() -> ExitCode {
    let measured = Runtime::new().map_err(failure).and_then(|runtime| runtime.block_on(measure()));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the operator can't be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Outcome {
    let mut sizes: Vec<usize> = env::args().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![200, 2000];
    }
    println!("{:<64} {:>10} {:>10} {:>7}", "figure", "measured", "aim", "ratio");
    for size in sizes {
        let server = control_plane::start(NODES).await?;
        for number in 0..NAMESPACES {
            let namespace = serde_json::from_value(json!({"metadata": {"name": place(number).0}})).map_err(failure)?;
            let namespaces: Api<Namespace> = Api::all(server.client.clone());
            namespaces.create(&PostParams::default(), &namespace).await.map_err(failure)?;
        }
        let mut run = Run { server, size };
        run.all().await.map_err(|why| format!("{why} (at {size} services)"))?;
    }
    Ok(())
}

/// Measurements at one size.
struct Run {
    server: ApiServer,
    size: usize,
}

impl Run {
    async fn all(&mut self) -> Outcome {
        let operator = OperatorProcess::start(&self.server).await?;
        let idle = operator.settled().await?;
        self.memory("without a service", operator.memory()?);

        let began = Instant::now();
        self.apply(1).await?;
        let ready = self.all_ready(|_| true).await?;
        self.row("all Ready, of one pod", (ready - began).as_secs_f64(), self.seconds(), "s");
        let made = operator.settled().await?;
        let for_new = made.since(&idle);
        self.row("requests for a new service of one pod", self.each(for_new.asked()), 7.0, "");
        self.row("writes for a new service of one pod", self.each(for_new.writes()), 7.0, "");
        println!("    {for_new}");
        self.memory("create", operator.memory()?);

        for number in 0..CHANGES {
            self.change((number * 37) % self.size, number).await?;
        }
        let for_changes = operator.settled().await?.since(&made);
        self.row("requests for a change of a template", ratio(for_changes.asked(), CHANGES), 5.0, "");
        println!("    {for_changes}");

        operator.forget_peak()?;
        self.apply(2).await?;
        self.all_ready(|service| replicas(service) == Some(2)).await?;
        operator.settled().await?;
        self.memory("from one pod to two", operator.memory()?);

        let operator = self.restart(operator, "start").await?;
        let lists = operator.lists()?;
        operator.forget_peak()?;
        self.server.restart().await?;
        // Watches that were cut begin again within seconds.
        tokio::time::sleep(Duration::from_secs(30)).await;
        operator.settled().await?;
        self.memory("relist, the API server restarted", operator.memory()?);
        println!("    {} watches began with a list", operator.lists()? - lists);

        self.strangers().await?;
        let operator = self.restart(operator, "start, with 800 large objects of strangers").await?;
        operator.forget_peak()?;
        self.touch_strangers().await?;
        operator.settled().await?;
        self.memory("all 800 touched", operator.memory()?);

        operator.forget_peak()?;
        let began = Instant::now();
        self.delete().await?;
        println!("    all gone within {:.0} s", began.elapsed().as_secs_f64());
        operator.settled().await?;
        self.memory("delete", operator.memory()?);
        operator.stop().await
    }

    /// Ends the operator, starts another, and looks at what that writes for what hasn't moved.
    async fn restart(&self, operator: OperatorProcess, figure: &str) -> Result<OperatorProcess, Failure> {
        operator.stop().await?;
        let operator = OperatorProcess::start(&self.server).await?;
        println!("    ready again after {:.1} s", operator.age().as_secs_f64());
        let requests = operator.settled().await?;
        self.memory(figure, operator.memory()?);
        self.row(&format!("writes at a {figure}"), ratio(requests.writes(), 1), 0.0, "");
        println!("    {requests}");
        Ok(operator)
    }

    /// 200 in a third of the 19 s that they once took.
    fn seconds(&self) -> f64 {
        19.0 / 3.0 * ratio(self.size as u64, 200)
    }

    fn each(&self, count: u64) -> f64 {
        ratio(count, self.size)
    }

    fn row(&self, figure: &str, measured: f64, aim: f64, unit: &str) {
        let ratio = if aim > 0.0 { format!("{:.2}", measured / aim) } else { String::new() };
        println!(
            "{:<64} {:>10} {:>10} {ratio:>7}",
            format!("{} services: {figure}", self.size),
            format!("{measured:.2} {unit}"),
            format!("{aim:.0} {unit}"),
        );
    }

    fn memory(&self, figure: &str, memory: Memory) {
        self.row(&format!("most memory resident, {figure}"), memory.peak, MEMORY, "MiB");
        println!("    {:.1} MiB after it, {:.1} of them anonymous", memory.resident, memory.anonymous);
    }

    fn client(&self) -> Client {
        self.server.client.clone()
    }

    /// Does something for each service, some at a time.
    async fn for_each<F: Future<Output = Outcome>>(&self, count: usize, act: impl Fn(usize) -> F) -> Outcome {
        stream::iter((0..count).map(Ok)).try_for_each_concurrent(AT_A_TIME, act).await
    }

    /// Makes the services, or changes their number of pods.
    async fn apply(&self, replicas: i32) -> Outcome {
        let client = self.client();
        let one = |number| {
            let (client, (namespace, name)) = (client.clone(), place(number));
            async move {
                let spec = json!({"replicas": replicas});
                service(&client, &namespace, &name, spec).await.map(drop).map_err(failure)
            }
        };
        self.for_each(self.size, one).await
    }

    /// Changes the template of a service, and waits until that is in force.
    async fn change(&self, number: usize, value: usize) -> Outcome {
        let (namespace, name) = place(number);
        let api: Api<SentimentService> = Api::namespaced(self.client(), &namespace);
        let change = json!({"spec": {"podMetadata": {"annotations": {"change": value.to_string()}}}});
        let changed = api.patch(&name, &PatchParams::default(), &Patch::Merge(change)).await.map_err(failure)?;
        within(Duration::from_mins(1), "the change", || async {
            let service = api.get(&name).await.map_err(failure)?;
            ensure!(service.metadata.generation >= changed.metadata.generation && is_ready(&service), "not yet");
            Ok(())
        })
        .await
    }

    /// When all services were ready.
    async fn all_ready(&self, has: impl Fn(&SentimentService) -> bool) -> Result<Instant, Failure> {
        let api: Api<SentimentService> = Api::all(self.client());
        let began = Instant::now();
        loop {
            let mut ready = 0;
            let mut page = ListParams::default().limit(500);
            loop {
                let services = api.list(&page).await.map_err(failure)?;
                ready += services.items.iter().filter(|service| is_ready(service) && has(service)).count();
                match services.metadata.continue_.filter(|next| !next.is_empty()) {
                    Some(next) => page = page.continue_token(&next),
                    None => break,
                }
            }
            if ready == self.size {
                return Ok(Instant::now());
            }
            ensure!(began.elapsed() < Duration::from_mins(20), "only {ready} of {} are ready", self.size);
            tokio::time::sleep(Duration::from_millis(250 + self.size as u64)).await;
        }
    }

    /// ConfigMaps with large annotations, and accounts that bear the operator's label and belong to nobody.
    async fn strangers(&self) -> Outcome {
        let annotation = "x".repeat(ANNOTATION);
        let make = |number: usize| {
            let (client, (namespace, _), annotation) = (self.client(), place(number), &annotation);
            async move {
                let labels = json!({"app.kubernetes.io/managed-by": "kubesentiment-operator"});
                let metadata = json!({
                    "name": format!("stranger-{number:03}"), "annotations": {"large": annotation}, "labels": labels,
                });
                let map: ConfigMap = serde_json::from_value(json!({ "metadata": metadata })).map_err(failure)?;
                let account: ServiceAccount =
                    serde_json::from_value(json!({ "metadata": metadata })).map_err(failure)?;
                let params = PostParams::default();
                Api::namespaced(client.clone(), &namespace).create(&params, &map).await.map_err(failure)?;
                Api::namespaced(client, &namespace).create(&params, &account).await.map(drop).map_err(failure)
            }
        };
        self.for_each(STRANGERS, make).await
    }

    async fn touch_strangers(&self) -> Outcome {
        let touch = |number: usize| {
            let (client, (namespace, _)) = (self.client(), place(number));
            async move {
                let name = format!("stranger-{number:03}");
                let (params, patch) =
                    (PatchParams::default(), Patch::Merge(json!({"metadata": {"labels": {"touched": "true"}}})));
                let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
                maps.patch(&name, &params, &patch).await.map_err(failure)?;
                let accounts: Api<ServiceAccount> = Api::namespaced(client, &namespace);
                accounts.patch(&name, &params, &patch).await.map(drop).map_err(failure)
            }
        };
        self.for_each(STRANGERS, touch).await
    }

    /// Deletes all services, and waits until nothing is left of them.
    async fn delete(&self) -> Outcome {
        let delete = |number| {
            let client = self.client();
            async move {
                let api: Api<SentimentService> = Api::namespaced(client, &place(number).0);
                let all = ListParams::default();
                api.delete_collection(&DeleteParams::default(), &all).await.map(drop).map_err(failure)
            }
        };
        self.for_each(NAMESPACES, delete).await?;
        let one = ListParams::default().limit(1);
        within(Duration::from_mins(20), "the deletion", || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let client = self.client();
            let services = Api::<SentimentService>::all(client.clone()).list(&one).await.map_err(failure)?;
            let deployments = Api::<Deployment>::all(client.clone()).list(&one).await.map_err(failure)?;
            let replica_sets = Api::<ReplicaSet>::all(client.clone()).list(&one).await.map_err(failure)?;
            let pods = Api::<Pod>::all(client).list(&one).await.map_err(failure)?;
            let left = [services.items.len(), deployments.items.len(), replica_sets.items.len(), pods.items.len()];
            ensure!(left == [0; 4], "something is left");
            Ok(())
        })
        .await
    }
}

/// Namespace and name of a service.
fn place(number: usize) -> (String, String) {
    (format!("scale-{:02}", number % NAMESPACES), format!("service-{number:05}"))
}

fn is_ready(service: &SentimentService) -> bool {
    condition(service, "Ready")
        .is_some_and(|ready| ready.status == "True" && ready.observed_generation == service.metadata.generation)
}

fn replicas(service: &SentimentService) -> Option<i32> {
    service.spec.replicas
}

fn ratio(count: u64, of: usize) -> f64 {
    // Exact: nothing here is counted to 2^52.
    #[expect(clippy::cast_precision_loss)]
    let (count, of) = (count as f64, of as f64);
    count / of
}
