use kubesentiment_operator::testing::{Fault, Server, requests};

use super::*;
use crate::input::documents;

fn service(spec: &Value) -> SentimentService {
    let object = json!({
        "apiVersion": input::API_VERSION, "kind": input::KIND, "metadata": {"name": "reviews", "namespace": "demo"}, "spec": spec,
    });
    let services = render::services(&documents("a.yaml", &object.to_string()), None, &Settings::default()).unwrap();
    services.into_iter().next().unwrap().1
}

fn cluster(server: &Server) -> Cluster {
    Cluster { client: server.client(), namespace: "demo".to_owned() }
}

/// A server with a service of this spec and its children, as an operator would have applied them.
async fn serving(spec: &Value) -> Server {
    let server = Server::new();
    let stored = server.put(serde_json::to_value(service(spec)).unwrap());
    let stored: SentimentService = serde_json::from_value(stored).unwrap();
    let children = Settings::default().children(&stored, &References::default()).unwrap();
    let cluster = cluster(&server);
    for declaration in &KINDS {
        for child in (declaration.built)(&children) {
            let name = child["metadata"]["name"].as_str().unwrap().to_owned();
            let params = PatchParams::apply(MANAGER).force();
            api(&cluster, declaration, "demo").patch(&name, &params, &Patch::Apply(&child)).await.unwrap();
        }
    }
    server
}

async fn titles(server: &Server, spec: &Value) -> Vec<String> {
    let changes = changes(&cluster(server), &Settings::default(), "a.yaml:1", service(spec).into()).await.unwrap();
    changes.into_iter().map(|change| change.title).collect()
}

#[tokio::test]
async fn what_is_as_it_should_be_has_no_difference() {
    let spec = json!({"replicas": 2, "monitoring": {}});
    let server = serving(&spec).await;
    assert_eq!(titles(&server, &spec).await, [""; 0]);
    server.faults().inject(requests("patch", "*"), Fault::Refused(403, "no"));
    assert_eq!(titles(&server, &spec).await, [""; 0], "by fields");
}

#[tokio::test]
async fn a_change_is_shown_and_nothing_is_written() {
    for may_write in [true, false] {
        let server = serving(&json!({"replicas": 2})).await;
        if !may_write {
            server.faults().inject(requests("patch", "*"), Fault::Refused(403, "no"));
        }
        let wanted = service(&json!({"replicas": 3}));
        let changes = changes(&cluster(&server), &Settings::default(), "a.yaml:1", wanted.into()).await.unwrap();
        let text: String = changes.iter().map(|change| shown(change).unwrap()).collect();
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("-  replicas: 2\n+  replicas: 3\n"), "{text}");
        assert_eq!(changes.len(), 1, "{text}");
        let live = server.get("apps", "deployments", "demo", "reviews").unwrap();
        assert_eq!(live["spec"]["replicas"], 2);
    }
}

#[tokio::test]
async fn what_is_new_and_what_goes_is_told() {
    let server = serving(&json!({"replicas": 2})).await;
    assert_eq!(titles(&server, &json!({"replicas": 1})).await, ["Deployment reviews", "PodDisruptionBudget reviews"]);
    let scaled = titles(&server, &json!({"autoscaling": {"maxReplicas": 4}})).await;
    assert_eq!(scaled, ["HorizontalPodAutoscaler reviews"], "the number of pods stays until the autoscaler chooses");
    let nothing = Server::new();
    let all = titles(&nothing, &json!({"replicas": 1})).await;
    assert_eq!(all, ["ServiceAccount reviews", "NetworkPolicy reviews", "Service reviews", "Deployment reviews"]);
}

#[tokio::test]
async fn a_kind_that_the_cluster_does_not_have_is_no_difference() {
    let server = serving(&json!({})).await;
    let nowhere = Fault::Refused(404, "the server could not find the requested resource");
    server.faults().inject(requests("get", "podmonitors"), nowhere);
    for spec in [json!({}), json!({"monitoring": {}})] {
        assert_eq!(titles(&server, &spec).await, [""; 0], "{spec}");
    }
}

#[tokio::test]
async fn a_setting_of_a_newer_operator_is_a_difference() {
    let server = serving(&json!({})).await;
    let settings = Settings { default_image: Some("s:2".to_owned()), ..Settings::default() };
    let changes = changes(&cluster(&server), &settings, "a.yaml:1", service(&json!({})).into()).await.unwrap();
    let text: String = changes.iter().map(|change| shown(change).unwrap()).collect();
    assert!(text.contains("image: s:2"), "{text}");
}

#[test]
fn by_fields_what_others_have_stays_and_what_we_leave_out_goes() {
    let live = json!({
        "metadata": {"managedFields": [{"manager": MANAGER, "operation": "Apply", "fieldsV1": {
            "f:spec": {"f:a": {}, "f:gone": {}, "f:containers": {"k:{\"name\":\"s\"}": {".": {}, "f:image": {}, "f:env": {}}, "k:{\"name\":\"old\"}": {".": {}}}},
        }}]},
        "spec": {
            "a": 1, "gone": 2, "theirs": 3,
            "containers": [{"name": "s", "image": "s:1", "env": [1], "added": true, "resources": {"limits": {"cpu": "1"}}}, {"name": "old"}, {"name": "mesh"}],
        },
    });
    let wanted = json!({"spec": {"a": 5, "containers": [{"name": "s", "image": "s:2", "resources": {"limits": {"cpu": "1000m"}}}]}});
    let after = fields::applied(&live, &wanted);
    let expected = json!({
        "a": 5, "theirs": 3,
        "containers": [{"name": "s", "image": "s:2", "added": true, "resources": {"limits": {"cpu": "1"}}}, {"name": "mesh"}],
    });
    assert_eq!(after["spec"], expected);
}
