//! Objects, versions, lists and watches.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{
        DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
    },
    core::PartialObjectMeta,
};
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};

use crate::testing::Server;

pub(super) fn config_map(name: &str, team: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"key": "value"},
        "metadata": {"name": name, "namespace": "demo", "labels": {"team": team}},
    })
}

fn config_maps(server: &Server) -> Api<ConfigMap> {
    Api::namespaced(server.client(), "demo")
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

#[tokio::test]
async fn who_writes_what_has_changed_since_is_refused() {
    let api = config_maps(&Server::new());
    let wanted: ConfigMap = serde_json::from_value(config_map("a", "x")).unwrap();
    let made = api.create(&PostParams::default(), &wanted).await.unwrap();
    assert!(made.uid().is_some() && made.resource_version().is_some());
    assert_eq!(code(&api.create(&PostParams::default(), &wanted).await.unwrap_err()), 409);

    let mut changed = made.clone();
    changed.data.as_mut().unwrap().insert("key".to_owned(), "other".to_owned());
    let written = api.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_ne!(written.resource_version(), made.resource_version());
    assert_eq!(code(&api.replace("a", &PostParams::default(), &changed).await.unwrap_err()), 409);

    let again = api.replace("a", &PostParams::default(), &written).await.unwrap();
    assert_eq!(again.resource_version(), written.resource_version(), "nothing has changed");
}

#[tokio::test]
async fn a_list_comes_in_pages_and_by_label() {
    let server = Server::new();
    for (name, team) in [("a", "x"), ("b", "y"), ("c", "x"), ("d", "x")] {
        server.put(config_map(name, team));
    }
    let api = config_maps(&server);
    let page = api.list(&ListParams::default().labels("team=x").limit(2)).await.unwrap();
    let names =
        |list: &kube::core::ObjectList<ConfigMap>| list.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>();
    assert_eq!(names(&page), ["a", "c"]);
    let token = page.metadata.continue_.unwrap();
    let rest = api.list(&ListParams::default().labels("team=x").limit(2).continue_token(&token)).await.unwrap();
    assert_eq!(names(&rest), ["d"]);
    assert_eq!(rest.metadata.continue_, None);
    assert_eq!(rest.metadata.resource_version, page.metadata.resource_version, "all pages are of one version");

    let partial = api.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(partial.items.len(), 4);
    let all: Api<PartialObjectMeta<ConfigMap>> = Api::all(server.client());
    assert_eq!(all.list(&ListParams::default().fields("metadata.name=b")).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_enters_and_leaves_its_selection() {
    let server = Server::new();
    let api = config_maps(&server);
    let version = server.put(config_map("a", "x"))["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let params = WatchParams::default().labels("team=x").timeout(120);
    let mut watch = api.watch(&params, &version).await.unwrap().boxed();
    server.put(config_map("b", "x"));
    server.put(config_map("a", "y"));
    server.put(config_map("c", "y"));
    server.remove("", "configmaps", "demo", "b");
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(match watch.try_next().await.unwrap().unwrap() {
            WatchEvent::Added(object) => format!("+{}", object.name_any()),
            WatchEvent::Modified(object) => format!("~{}", object.name_any()),
            WatchEvent::Deleted(object) => format!("-{}", object.name_any()),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(told, ["+b", "-a", "-b"]);
    let bookmark = watch.try_next().await.unwrap().unwrap();
    assert!(matches!(bookmark, WatchEvent::Bookmark(_)), "{bookmark:?}");
    while let Some(event) = timeout(Duration::from_secs(121), watch.try_next()).await.unwrap().unwrap() {
        assert!(matches!(event, WatchEvent::Bookmark(_)), "{event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_what_is_forgotten_is_told_so() {
    let server = Server::new();
    server.put(config_map("a", "x"));
    server.put(config_map("b", "x"));
    server.forget_history();
    let mut watch = config_maps(&server).watch(&WatchParams::default(), "1").await.unwrap().boxed();
    let event = watch.try_next().await.unwrap().unwrap();
    assert!(matches!(event, WatchEvent::Error(status) if status.code == 410));
    assert!(watch.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_deletion_keeps_to_its_preconditions() {
    let server = Server::new();
    let api = config_maps(&server);
    server.put(config_map("a", "x"));
    let of_another = Preconditions { uid: Some("another".to_owned()), resource_version: None };
    let params = DeleteParams { preconditions: Some(of_another), ..DeleteParams::default() };
    assert_eq!(code(&api.delete("a", &params).await.unwrap_err()), 409);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(&api.delete("a", &DeleteParams::default()).await.unwrap_err()), 404);
}

#[tokio::test]
async fn who_names_a_version_or_a_uid_means_that_object_and_no_other() {
    let server = Server::new();
    let api = config_maps(&server);
    let apply = |metadata: Value| {
        let mut object = config_map("a", "x");
        object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        let api = api.clone();
        async move {
            let applied = api.patch("a", &PatchParams::apply("us"), &Patch::Apply(object)).await;
            applied.map_or_else(|error| code(&error), |_| 200)
        }
    };
    let (of_none, of_another) =
        (json!({"resourceVersion": "1"}), json!({"uid": "00000000-0000-4000-8000-0000000000ff"}));
    assert_eq!(apply(of_another.clone()).await, 409, "it makes none");
    assert_eq!(apply(of_none.clone()).await, 200);
    assert_eq!(apply(of_none).await, 409, "now there is one");
    assert_eq!(apply(of_another).await, 422);
    let uid = server.get("", "configmaps", "demo", "a").unwrap()["metadata"]["uid"].clone();
    assert_eq!(apply(json!({"uid": uid})).await, 200);
}

#[tokio::test]
async fn in_a_namespace_that_is_going_nothing_new_is_made() {
    let server = Server::new();
    server.put(config_map("a", "x"));
    server.terminate("demo");
    let api = config_maps(&server);
    let params = PatchParams::apply("us");
    api.patch("a", &params, &Patch::Apply(config_map("a", "x"))).await.unwrap();
    let kube::Error::Api(status) = api.patch("b", &params, &Patch::Apply(config_map("b", "x"))).await.unwrap_err()
    else {
        panic!()
    };
    assert_eq!((status.code, status.details.unwrap().causes[0].reason.as_str()), (403, "NamespaceTerminating"));
}

#[tokio::test]
async fn a_pod_on_a_node_is_ended_by_its_kubelet() {
    let server = Server::new();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "demo"}, "spec": {"nodeName": "node"},
    });
    server.put(pod);
    let pods: Api<Pod> = Api::namespaced(server.client(), "demo");
    pods.evict("a", &EvictParams::default()).await.unwrap();
    assert!(server.get("", "pods", "demo", "a").unwrap()["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(server.faults().seen(), ["create pods/a/eviction"]);
}

#[tokio::test]
async fn the_status_has_a_door_of_its_own() {
    let server = Server::new();
    let deployments: Api<Deployment> = Api::namespaced(server.client(), "demo");
    server.put(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "demo"},
        "spec": {"replicas": 1},
    }));
    let both = Patch::Merge(json!({"spec": {"replicas": 2}, "status": {"replicas": 7}}));
    let after = deployments.patch_status("a", &PatchParams::default(), &both).await.unwrap();
    assert_eq!((after.spec.unwrap().replicas, after.status.unwrap().replicas), (Some(1), Some(7)));
    assert_eq!(after.metadata.generation, Some(1));
    let after = deployments.patch("a", &PatchParams::default(), &both).await.unwrap();
    assert_eq!((after.spec.unwrap().replicas, after.status.unwrap().replicas), (Some(2), Some(7)));
    assert_eq!(after.metadata.generation, Some(2));
    let four = Patch::Merge(json!({"spec": {"replicas": 4}}));
    let scale = deployments.patch_scale("a", &PatchParams::default(), &four).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(4));
}

#[tokio::test]
async fn a_kind_that_isn_t_installed_is_a_bare_404() {
    let server = Server::new();
    server.uninstall("configmaps");
    let error = config_maps(&server).list(&ListParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!("{error}") };
    assert_eq!(status.code, 404);
    assert!(status.details.unwrap().name.is_empty());
    server.install("configmaps");
    config_maps(&server).list(&ListParams::default()).await.unwrap();
    assert_eq!(server.faults().count("list configmaps"), 2);
}
