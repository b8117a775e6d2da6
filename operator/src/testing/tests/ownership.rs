//! Who owns which field.

#![expect(clippy::needless_pass_by_value, reason = "a case reads best with its value in place")]

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::testing::Server;

fn deployment(spec: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "reviews", "namespace": "demo"}, "spec": spec,
    })
}

fn with_env(env: Value) -> Value {
    let containers = json!([{"name": "server", "image": "a", "env": env}]);
    deployment(json!({"selector": {}, "replicas": 2, "template": {"spec": {"containers": containers}}}))
}

async fn apply(server: &Server, manager: &str, object: &Value, force: bool) -> kube::Result<Deployment> {
    let api: Api<Deployment> = Api::namespaced(server.client(), "demo");
    let params = PatchParams { force, ..PatchParams::apply(manager) };
    api.patch("reviews", &params, &Patch::Apply(object)).await
}

fn live(server: &Server) -> Value {
    server.get("apps", "deployments", "demo", "reviews").unwrap()
}

fn env(server: &Server) -> Value {
    live(server).pointer("/spec/template/spec/containers/0/env").cloned().unwrap_or_default()
}

fn managers(server: &Server) -> Vec<String> {
    server.managers("apps", "deployments", "demo", "reviews")
}

#[tokio::test]
async fn an_apply_of_the_same_moves_nothing() {
    let server = Server::new();
    let wanted = with_env(json!([{"name": "A", "value": "1"}]));
    let first = apply(&server, "us", &wanted, false).await.unwrap();
    let second = apply(&server, "us", &wanted, false).await.unwrap();
    assert_eq!(first.metadata.resource_version, second.metadata.resource_version);
    assert_eq!(managers(&server), ["us Apply"]);
}

#[tokio::test]
async fn what_is_applied_no_more_goes_and_what_others_hold_stays() {
    let server = Server::new();
    apply(&server, "us", &with_env(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])), false)
        .await
        .unwrap();
    apply(&server, "them", &deployment(json!({"replicas": 2})), false).await.unwrap();
    let mut less = with_env(json!([{"name": "A", "value": "1"}]));
    less["spec"].as_object_mut().unwrap().remove("replicas");
    apply(&server, "us", &less, false).await.unwrap();
    assert_eq!(env(&server), json!([{"name": "A", "value": "1"}]));
    assert_eq!(live(&server)["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_conflict_names_the_manager_and_the_field() {
    let server = Server::new();
    apply(&server, "them", &with_env(json!([{"name": "A", "value": "1"}])), false).await.unwrap();
    let ours = with_env(json!([{"name": "A", "value": "2"}]));
    let kube::Error::Api(status) = apply(&server, "us", &ours, false).await.unwrap_err() else { panic!() };
    assert_eq!(status.code, 409);
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(cause.message, r#"conflict with "them""#);
    assert_eq!(cause.field, r#".spec.template.spec.containers[name="server"].env[name="A"].value"#);

    apply(&server, "us", &ours, true).await.unwrap();
    assert_eq!(env(&server), json!([{"name": "A", "value": "2"}]));
    let kube::Error::Api(_) =
        apply(&server, "them", &with_env(json!([{"name": "A", "value": "1"}])), false).await.unwrap_err()
    else {
        panic!()
    };
}

#[tokio::test]
async fn an_edit_takes_a_field_and_is_told_with_its_version() {
    let server = Server::new();
    let wanted = with_env(json!([{"name": "A", "value": "1"}]));
    apply(&server, "us", &wanted, false).await.unwrap();
    server
        .edit("apps", "deployments", "demo", "reviews", "kubectl-edit", |object| object["spec"]["replicas"] = json!(5));
    assert_eq!(managers(&server), ["us Apply", "kubectl-edit Update"]);
    let kube::Error::Api(status) = apply(&server, "us", &wanted, false).await.unwrap_err() else { panic!() };
    let message = &status.details.unwrap().causes[0].message;
    assert!(message.starts_with(r#"conflict with "kubectl-edit" using apps/v1 at "#), "{message}");
    apply(&server, "us", &wanted, true).await.unwrap();
    assert_eq!(managers(&server), ["us Apply"], "who owns nothing any more is no manager");
}

#[tokio::test]
async fn a_value_beside_a_reference_is_refused_until_it_is_replaced() {
    let server = Server::new();
    let wanted = with_env(json!([{"name": "A", "value": "1"}]));
    apply(&server, "us", &wanted, false).await.unwrap();
    server.edit("apps", "deployments", "demo", "reviews", "kubectl-patch", |object| {
        let entry = object.pointer_mut("/spec/template/spec/containers/0/env/0").unwrap();
        *entry = json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
    });
    let kube::Error::Api(status) = apply(&server, "us", &wanted, true).await.unwrap_err() else { panic!() };
    assert_eq!(status.code, 422);
    let api: Api<Deployment> = Api::namespaced(server.client(), "demo");
    let params = PatchParams { field_manager: Some("us".to_owned()), ..PatchParams::default() };
    api.patch("reviews", &params, &Patch::Merge(&wanted)).await.unwrap();
    assert_eq!(
        managers(&server),
        ["us Apply", "us Update"],
        "one that updates is another manager than one that applies"
    );
    assert_eq!(env(&server), json!([{"name": "A", "value": "1"}]));
}

#[tokio::test]
async fn managers_can_be_taken_away() {
    let server = Server::new();
    apply(&server, "us", &with_env(json!([])), false).await.unwrap();
    let api: Api<Deployment> = Api::namespaced(server.client(), "demo");
    let none = Patch::Merge(json!({"metadata": {"managedFields": [{}]}}));
    api.patch("reviews", &PatchParams::default(), &none).await.unwrap();
    assert!(!managers(&server).contains(&"us Apply".to_owned()));
    let patch: json_patch::Patch =
        serde_json::from_value(json!([{"op": "replace", "path": "/spec/replicas", "value": 3}])).unwrap();
    api.patch("reviews", &PatchParams::default(), &Patch::Json::<Deployment>(patch)).await.unwrap();
    assert_eq!(live(&server)["spec"]["replicas"], 3);
}
