//! The operator against a real kube-apiserver: what is refused, written, put back and left alone.
//!
//! No other controller runs, so what a Deployment's controller would report is written by the tests.

mod api_server {
    pub mod applying;
    pub mod children;
    pub mod counting;
    pub mod delivering;
    pub mod documenting;
    pub mod electing;
    pub mod evicting;
    pub mod permitting;
    pub mod pods;
    pub mod refused;
    pub mod refusing;
    pub mod reporting;
    pub mod scaling;
    pub mod upgrading;
}

use std::{process::ExitCode, sync::Arc};

use api_server::{
    applying, children, counting, delivering, documenting, electing, evicting, permitting, refusing, reporting,
    scaling, upgrading,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, CustomResourceExt,
    api::{Patch, PatchParams},
};
use kubesentiment_e2e::{Case, Failure, api_server::ApiServer, eventually, failure, run_cases};
use kubesentiment_operator::{
    api::{self, SentimentService},
    controller::Operator,
    metrics::Metrics,
    runtime::client::connect,
    watches::Scope,
};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The image that the operator deploys by default.
const IMAGE: &str = "sentiment-service:distroless";

fn main() -> ExitCode {
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    let server = match runtime.block_on(start()) {
        Ok(server) => Arc::new(server),
        Err(error) => return fail(&error),
    };
    let cases = vec![
        Case::new("bad_specs_are_refused_with_a_sentence", |s: Arc<ApiServer>| refusing::bad_specs(client(&s))),
        Case::new("samples_are_accepted", |s| refusing::samples(client(&s))),
        Case::new("every_example_of_the_reference_is_served", |s| documenting::examples(client(&s))),
        Case::new("an_unreadable_object_stops_no_other", |s| refusing::unreadable_object(client(&s))),
        Case::new("children_are_made_and_owned", |s| applying::children(client(&s))),
        Case::new("deleted_and_edited_children_are_put_back", |s| applying::repair(client(&s))),
        Case::new("fields_of_others_are_left_alone", |s| applying::foreign_fields(client(&s))),
        Case::new("nothing_moves_when_nothing_changes", |s| applying::quiet(client(&s))),
        Case::new("a_changed_spec_changes_the_children", |s| applying::update(client(&s))),
        Case::new("ports_follow_the_spec", |s| applying::ports(client(&s))),
        Case::new("a_strangers_object_is_not_taken_over", |s| applying::stranger(client(&s))),
        Case::new("another_managers_field_is_reported_not_fought", |s| applying::contested(client(&s))),
        Case::new("a_quiet_service_costs_no_request", |s: Arc<ApiServer>| counting::quiet(s.config.clone())),
        Case::new("an_upgrade_rolls_a_few_services_at_a_time", |_| upgrading::in_turn()),
        Case::new("a_full_quota_is_reported_and_healed", |s| applying::quota(client(&s))),
        Case::new("children_come_and_go_with_their_fields", |s| children::prune(client(&s))),
        Case::new("no_pod_is_lost_in_a_handover", |s| children::handover(client(&s))),
        Case::new("an_autoscaled_service_starts_with_its_fewest", |s| children::autoscaled_from_the_start(client(&s))),
        Case::new("the_number_of_pods_can_be_left_to_others", |s| scaling::left_to_others(client(&s))),
        Case::new("a_service_that_nobody_has_seen_says_so", |s| refusing::unseen(client(&s))),
        Case::new("pods_follow_the_content_of_their_config_map", |s| children::config_map(client(&s))),
        Case::new("an_api_that_comes_later_is_taken_up", |s| children::optional_apis(client(&s))),
        Case::new("a_model_is_delivered_as_its_source_says", |s| delivering::sources(client(&s))),
        Case::new("a_claim_that_grows_is_left_as_large", |s| delivering::claim(client(&s))),
        Case::new("a_claim_that_can_not_change_says_so_and_heals", |s| delivering::immutable_claim(client(&s))),
        Case::new("without_image_volumes_pods_fetch", |_| delivering::without_image_volumes()),
        Case::new("of_two_candidates_one_leads", |s| electing::handover(client(&s))),
        Case::new("a_pod_that_its_node_evicts_leaves_its_service", |s| evicting::taken_out(client(&s))),
        Case::new("a_budget_keeps_a_pod_that_its_node_evicts", |s| evicting::kept(client(&s))),
        Case::new("each_role_may_do_what_is_written_and_no_more", |_| permitting::roles()),
        Case::new("the_operators_account_is_held_to_its_children", |_| permitting::own_account()),
        Case::new("status_follows_the_deployment", |s| reporting::lifecycle(client(&s))),
        Case::new("scale_and_suspend", |s| reporting::scale_and_suspend(client(&s))),
        Case::new("events_tell_of_changes_once", |s| reporting::events(client(&s))),
        Case::new("an_autoscaler_without_metrics_is_told", |s| reporting::not_scaling(client(&s))),
        Case::new("what_a_kubelet_says_is_carried", |s| reporting::words_of_a_kubelet(client(&s))),
        Case::new("a_route_is_published_when_a_gateway_says_so", |_| reporting::published()),
    ];
    let conclusion = run_cases(&runtime, &server, cases);
    drop(server);
    conclusion.exit_code()
}

fn fail(why: &str) -> ExitCode {
    eprintln!("the tests can't start: {why}");
    ExitCode::FAILURE
}

fn client(server: &ApiServer) -> Client {
    server.client.clone()
}

/// Starts the API server, installs the CRD, and runs the operator in this process.
async fn start() -> Result<ApiServer, Failure> {
    let server = ApiServer::start().await?;
    install_crd(&server.client).await?;
    let metrics = Metrics::default();
    let own = connect(server.config.clone(), &metrics.api_requests).map_err(failure)?;
    let operator = Operator::new(own, IMAGE.parse().map_err(failure)?, metrics);
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let ready = move || ready.send(()).unwrap_or_default();
        Arc::new(operator).run(&[Scope::Cluster], 8, ready, CancellationToken::new()).await;
    });
    is_ready.await.map_err(failure)?;
    Ok(server)
}

/// Applies the CRD as it is generated, and waits until it is served.
async fn install_crd(client: &Client) -> Result<(), Failure> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = api::crd();
    let name = SentimentService::crd_name();
    crds.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&crd)).await.map_err(failure)?;
    eventually("the CRD", || async {
        let crd = crds.get(name).await.map_err(failure)?;
        let conditions = crd.status.and_then(|status| status.conditions).unwrap_or_default();
        if let Some(wrong) = conditions.iter().find(|c| c.type_ == "NonStructuralSchema" && c.status == "True") {
            return Err(format!("{:?}", wrong.message));
        }
        let established = conditions.iter().any(|c| c.type_ == "Established" && c.status == "True");
        if established { Ok(()) } else { Err("not established".to_owned()) }
    })
    .await
}
