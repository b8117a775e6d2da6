//! The whole line on a real node: custom resource, operator, Deployment, distroless image, kubelet,
//! ONNX Runtime, prediction; and what becomes of it when something fails.
//!
//! `make deploy` has started the node and installed the operator.

mod node {
    pub mod autoscaling;
    pub mod depending;
    pub mod disrupting;
    pub mod documented;
    pub mod failing;
    pub mod flux;
    pub mod following;
    pub mod healing;
    pub mod namespaced;
    pub mod operating;
    pub mod refused;
    pub mod releasing;
    pub mod rolling;
    pub mod running;
    pub mod serving;
    pub mod sourcing;
    pub mod upgrading;
}

use std::{process::ExitCode, sync::Arc};

use kube::Client;
use kubesentiment_e2e::{Case, Outcome, cluster, run_cases, sweep};
use node::{
    autoscaling, depending, disrupting, documented, failing, flux, following, healing, namespaced, operating, refused,
    releasing, rolling, running, serving, sourcing, upgrading,
};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let start = || -> Result<(Runtime, Client), String> {
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        let client = runtime.block_on(cluster::client())?;
        Ok((runtime, client))
    };
    let (runtime, client) = match start() {
        Ok(started) => started,
        Err(error) => {
            eprintln!("the tests can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let cases = vec![
        case("a_service_answers_from_a_hardened_pod", serving::demo),
        case("the_predecessors_routes_answer", serving::routes),
        case("a_client_keeps_its_pod_where_asked", serving::sticky_client),
        case("kubectl_explains_and_lists", serving::kubectl_face),
        case("the_crd_applies_client_side", |_| async { serving::client_side_crd() }),
        case("a_pod_is_debugged_without_a_shell_of_its_own", serving::debugging),
        case("deleted_children_come_back", healing::deleted_children),
        case("nothing_moves_for_a_minute", healing::quiet_minute),
        case("a_rollout_loses_no_request", rolling::update),
        case("an_eviction_loses_no_request", rolling::eviction),
        case("an_eviction_by_the_kubelet_loses_no_request", rolling::full_disk),
        case("a_preemption_by_the_kubelet_loses_no_request", rolling::critical_pod),
        case("a_resumed_service_loses_no_request", rolling::resume),
        case("scale_suspend_and_resume", healing::scale_and_suspend),
        case("a_change_is_followed_from_a_terminal", following::progress),
        case("version_1_settings_move_no_port", running::version_1_settings),
        case("a_rotated_key_needs_no_restart", running::rotated_key),
        case("https_and_grpc_reach_the_service", running::https_and_grpc),
        case("ids_may_be_the_platforms", running::ids_of_the_platform),
        case("one_restart_is_no_crash_loop", running::one_restart),
        case("a_container_of_somebody_else_is_named", running::injected_container),
        case("a_wrong_tag_is_told_while_the_old_pods_serve", failing::wrong_tag),
        case("a_late_push_heals", failing::late_push),
        case("a_model_that_is_not_there_is_named", failing::model_missing),
        case("a_bad_setting_is_named", failing::bad_setting),
        case("a_missing_secret_is_named", failing::missing_secret),
        case("a_limit_below_the_model_is_named", failing::out_of_memory),
        case("a_model_comes_from_a_hub_that_breaks_off", sourcing::hub),
        case("a_source_that_refuses_lies_or_attacks_is_told", sourcing::broken),
        case("a_kept_model_is_fetched_once", sourcing::kept),
        case("a_volume_without_room_is_told", sourcing::full_disk),
        case("a_model_comes_from_a_claim", sourcing::claimed),
        case("a_model_comes_in_an_image", sourcing::image),
        case("a_bucket_of_each_kind_has_models", sourcing::buckets),
        case("a_kind_that_isnt_installed_is_named", depending::late_api),
        case("a_pod_that_fits_nowhere_is_told", failing::unschedulable),
        case("an_exceeded_quota_is_told", failing::quota),
        case("a_spec_from_before_the_rule_is_refused", refused::stored_before_the_rule),
        case("another_managers_field_is_left_to_it", refused::another_manager),
        case("a_name_that_is_taken_is_left_alone", refused::name_taken),
        case("load_takes_it_from_one_pod_to_three_and_back", autoscaling::load),
        case("no_ready_pod_is_lost_in_a_handover", autoscaling::handover),
        case("a_budget_blocks_an_eviction", disrupting::budget),
        case("a_network_policy_blocks_who_isnt_listed", disrupting::network_policy),
        case("flux_deploys_a_folder_and_prunes", flux::folder),
        case("flux_tells_a_failure_at_once", flux::failure_is_told),
        case("the_documented_commands_work", documented::commands),
        case("an_operator_for_listed_namespaces_needs_roles_only", namespaced::roles_only),
        case("a_release_of_another_name_takes_the_definition_over", releasing::under_another_name),
        case("an_upgrade_by_chart_disturbs_no_service", upgrading::by_chart),
        case("an_upgrade_by_kustomize_disturbs_no_service", upgrading::by_kustomize),
        case("the_operator_stops_in_order_and_disturbs_nothing", operating::restart),
        case("a_hanging_leader_is_replaced", operating::hanging_leader),
        case("the_operators_endpoints_answer", operating::endpoints),
        case("children_go_without_the_operator", operating::deletion_without_operator),
    ];
    run_cases(&runtime, &Arc::new(client), cases).exit_code()
}

/// A test on a cluster that the tests before it have left empty.
fn case<F, Fut>(name: &'static str, test: F) -> Case<Client>
where
    F: FnOnce(Client) -> Fut + Send + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    Case::new(name, |client: Arc<Client>| async move {
        let outcome = test(Client::clone(&client)).await;
        if outcome.is_err() {
            eprintln!("{}", cluster::scene());
        }
        outcome.and(sweep(&client).await)
    })
}
