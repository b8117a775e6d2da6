//! Who may do what: the roles and the admission policies as `config/` installs them, on servers of their own.

use std::{fs, sync::Arc};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Secret, Service},
    policy::v1::PodDisruptionBudget,
    rbac::v1::ClusterRole,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use kubesentiment_e2e::{
    Failure, Outcome,
    api_server::{ApiServer, OPERATOR},
    ensure, eventually, failure, namespace, ready, repository, service,
};
use kubesentiment_operator::{
    api::SentimentService, controller::Operator, metrics::Metrics, runtime::client::connect, watches::Scope,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::children::definitions;

/// Where the operator is installed.
const HOME: &str = "kubesentiment-system";

/// An API server with all that an installation gives it, and no operator.
async fn installed() -> Result<ApiServer, Failure> {
    let server = ApiServer::start().await?;
    crate::install_crd(&server.client).await?;
    for file in [
        "config/default/namespace.yaml",
        "config/rbac/serviceaccount.yaml",
        "config/rbac/clusterrole.yaml",
        "config/rbac/clusterrole-users.yaml",
        "config/rbac/leader.yaml",
        "config/admission/policies.yaml",
    ] {
        let text = fs::read_to_string(repository().join(file)).map_err(failure)?;
        let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
        for object in documents.collect::<Result<Vec<_>, _>>().map_err(failure)? {
            apply(&server.client, HOME, &object).await?;
        }
    }
    // The controller that fills these is not there: each is all roles with its label, and so are the others of these.
    for role in ["view", "edit", "admin"] {
        let roles: Api<ClusterRole> = Api::all(server.client.clone());
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{role}=true");
        eventually("the default roles", || async { roles.get(role).await.map_err(failure) }).await?;
        let parts = roles.list(&ListParams::default().labels(&label)).await.map_err(failure)?;
        let together: Vec<_> = parts.items.into_iter().filter_map(|role| role.rules).flatten().collect();
        let filled = Patch::Merge(json!({ "rules": together }));
        roles.patch(role, &PatchParams::default(), &filled).await.map_err(failure)?;
    }
    Ok(server)
}

async fn apply(client: &Client, namespace: &str, object: &Value) -> Outcome {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    let is_in_one = matches!(text("/kind"), "ServiceAccount" | "Role" | "RoleBinding" | "Deployment" | "Service");
    let api: Api<DynamicObject> = if is_in_one {
        Api::namespaced_with(client.clone(), namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    };
    let applied = api.patch(text("/metadata/name"), &PatchParams::apply("test"), &Patch::Apply(object)).await;
    applied.map(drop).map_err(failure)
}

/// Gives a user a role in a namespace.
async fn bind(client: &Client, namespace: &str, user: &str, kind: &str, role: &str) -> Outcome {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": format!("{user}-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    apply(client, namespace, &binding).await
}

/// Checks that something is refused, and by which words.
fn refused<T>(what: &str, outcome: kube::Result<T>, words: &str) -> Outcome {
    match outcome {
        Ok(_) => Err(format!("{what} is allowed")),
        Err(kube::Error::Api(status)) => {
            let is_refusal = matches!(status.code, 403 | 422) && status.message.contains(words);
            ensure!(is_refusal, "{what} is refused by {}: {}", status.code, status.message);
            Ok(())
        }
        Err(error) => Err(format!("{what}: {error}")),
    }
}

fn allowed<T>(what: &str, outcome: kube::Result<T>) -> Result<T, Failure> {
    outcome.map_err(|error| format!("{what} is not allowed: {error}"))
}

fn route(host: &str) -> Value {
    json!({"parentRefs": [{"name": "public"}], "hostnames": [host]})
}

const NO_ROUTE: &str = "may not create httproutes.gateway.networking.k8s.io in namespace";
const NO_GRPC_ROUTE: &str = "may not create grpcroutes.gateway.networking.k8s.io in namespace";
const NO_MONITOR: &str = "may not create podmonitors.monitoring.coreos.com in namespace";

/// What `docs/security.md` says of each role.
pub async fn roles() -> Outcome {
    let server = installed().await?;
    let admin = &server.client;
    let namespace = namespace(admin, "roles").await?;
    for (user, role) in [("viewer", "view"), ("editor", "edit"), ("owner", "admin"), ("publisher", "edit")] {
        bind(admin, &namespace, user, "ClusterRole", role).await?;
    }
    let publish = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "publish"},
        "rules": [
            {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": ["create"]},
            {"apiGroups": ["monitoring.coreos.com"], "resources": ["podmonitors"], "verbs": ["create"]},
        ],
    });
    apply(admin, &namespace, &publish).await?;
    bind(admin, &namespace, "publisher", "Role", "publish").await?;

    let viewer = server.client_of("viewer")?;
    let seen: Api<SentimentService> = Api::namespaced(viewer.clone(), &namespace);
    allowed("a list as viewer", seen.list(&ListParams::default()).await)?;
    refused("a creation as viewer", service(&viewer, &namespace, "a", json!({})).await, "cannot patch resource")?;

    for user in ["editor", "owner"] {
        let client = server.client_of(user)?;
        let (plain, published) = (format!("{user}-plain"), format!("{user}-published"));
        eventually("the policies", || async {
            let routed = service(&client, &namespace, &published, json!({"route": route("a.example.com")})).await;
            refused("a route", routed, &format!("spec.route: {user} {NO_ROUTE} {namespace}: ask for that right"))
        })
        .await?;
        let monitored = service(&client, &namespace, &published, json!({"monitoring": {}})).await;
        refused("a monitor", monitored, &format!("spec.monitoring: {user} {NO_MONITOR} {namespace}"))?;
        allowed("a plain service", service(&client, &namespace, &plain, json!({})).await)?;
        let later = service(&client, &namespace, &plain, json!({"route": route("a.example.com")})).await;
        refused("a route that is added", later, NO_ROUTE)?;

        // What another has published is changed in all but that.
        let spec = json!({"route": route("b.example.com"), "monitoring": {}});
        allowed("both as administrator", service(admin, &namespace, &published, spec).await)?;
        let api: Api<SentimentService> = Api::namespaced(client.clone(), &namespace);
        let merge = |spec: Value| Patch::Merge(json!({ "spec": spec }));
        let params = PatchParams::default();
        allowed("replicas", api.patch(&published, &params, &merge(json!({"replicas": 3}))).await)?;
        let moved = api.patch(&published, &params, &merge(json!({"route": route("c.example.com")}))).await;
        refused("another host name", moved, NO_ROUTE)?;
        let often = api.patch(&published, &params, &merge(json!({"monitoring": {"interval": "1s"}}))).await;
        refused("another interval", often, NO_MONITOR)?;
        allowed("an end", api.patch(&published, &params, &merge(json!({"route": null, "monitoring": null}))).await)?;
        let scale = Patch::Merge(json!({"spec": {"replicas": 2}}));
        allowed("a scale", api.patch_scale(&published, &params, &scale).await)?;
        let status = Patch::Merge(json!({"status": {"replicas": 7}}));
        refused("a status", api.patch_status(&published, &params, &status).await, "cannot patch resource")?;
        allowed("a deletion", api.delete(&plain, &DeleteParams::default()).await)?;
    }

    let publisher = server.client_of("publisher")?;
    let spec = json!({"route": route("p.example.com"), "monitoring": {}});
    allowed("both as publisher", service(&publisher, &namespace, "published", spec).await)?;
    let mut spec = json!({"route": route("p.example.com"), "monitoring": {}});
    spec["route"]["grpc"] = json!({});
    refused("gRPC as publisher of HTTP", service(&publisher, &namespace, "published", spec).await, NO_GRPC_ROUTE)?;
    let elsewhere: String = kubesentiment_e2e::namespace(admin, "elsewhere").await?;
    bind(admin, &elsewhere, "publisher", "ClusterRole", "edit").await?;
    let spec = json!({"route": route("p.example.com")});
    refused("the same elsewhere", service(&publisher, &elsewhere, "published", spec).await, NO_ROUTE)
}

/// A Deployment as somebody with the operator's token might want it.
fn deployment(owner: Option<&str>, pod: Value) -> Value {
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "containers": [{"name": "c", "image": "i", "securityContext": {"allowPrivilegeEscalation": false}}],
    });
    if let (Some(spec), Value::Object(pod)) = (spec.as_object_mut(), pod) {
        spec.extend(pod);
    }
    let owners: Vec<Value> = owner
        .map(|kind| json!({"apiVersion": "kubesentiment.io/v1alpha1", "kind": kind, "name": "a", "uid": "1", "controller": true}))
        .into_iter()
        .collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "made", "labels": {"app.kubernetes.io/managed-by": "kubesentiment-operator"}, "ownerReferences": owners},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}},
    })
}

/// The operator does its work with its own account, and what else could be done with its token is little.
pub async fn own_account() -> Outcome {
    let server = installed().await?;
    let admin = &server.client;
    let namespace = namespace(admin, "own").await?;
    for definition in definitions() {
        apply(admin, "", &definition).await?;
    }
    let own = server.client_of(OPERATOR)?;
    let made: Api<Deployment> = Api::namespaced(own.clone(), &namespace);
    let create = async |object: Value| {
        made.create(&PostParams::default(), &serde_json::from_value(object).map_err(kube::Error::SerdeError)?).await
    };
    eventually("the policies", || async {
        let outcome = create(deployment(None, json!({}))).await;
        if outcome.is_ok() {
            made.delete("made", &DeleteParams::default()).await.map_err(failure)?;
        }
        refused("a Deployment of nobody", outcome, "has a SentimentService as its controller")
    })
    .await?;

    works(&server, &namespace).await?;
    for (what, object, words) in [
        ("an owner of another kind", deployment(Some("Other"), json!({})), "has a SentimentService as its controller"),
        ("the node's network", deployment(Some("SentimentService"), json!({"hostNetwork": true})), "reaches its node"),
        (
            "the node's files",
            deployment(Some("SentimentService"), json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
            "reaches its node",
        ),
        (
            "a container that may gain rights",
            deployment(Some("SentimentService"), json!({"containers": [{"name": "c", "image": "i"}]})),
            "reaches its node",
        ),
        (
            "a token",
            deployment(Some("SentimentService"), json!({"automountServiceAccountToken": true})),
            "the token of a service account",
        ),
    ] {
        refused(what, create(object).await, words)?;
    }

    of_strangers(admin, &own, &namespace).await?;
    beyond_its_roles(&own, &namespace).await
}

/// All that the operator does, with its own account.
async fn works(server: &ApiServer, namespace: &str) -> Outcome {
    let admin = &server.client;
    let metrics = Metrics::default();
    let client = connect(server.config_of(OPERATOR), &metrics.api_requests).map_err(failure)?;
    let operator = Operator::new(client, crate::IMAGE.parse().map_err(failure)?, metrics.clone());
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let running = tokio::spawn(async move { Arc::new(operator).run(&[Scope::Cluster], 2, || (), stopping).await });

    let model = json!({"source": {"s3": {"bucket": "models"}}, "cache": {"size": "1Gi"}});
    let all = json!({"replicas": 2, "route": route("own.example.com"), "monitoring": {}, "model": model});
    service(admin, namespace, "reviews", all).await.map_err(failure)?;
    eventually("the children", || ready(admin, namespace, "reviews", "False", "RollingOut")).await?;
    let deployments: Api<Deployment> = Api::namespaced(admin.clone(), namespace);
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(admin.clone(), namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(admin.clone(), namespace);
    claims.get("reviews-model").await.map_err(failure)?;
    let edit = Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/name": "edited"}}}));
    deployments.patch("reviews", &PatchParams::default(), &edit).await.map_err(failure)?;
    eventually("the repair", || async {
        let labels = deployments.get("reviews").await.map_err(failure)?;
        ensure!(labels.labels()["app.kubernetes.io/name"] == "sentiment-service", "it is as it was edited");
        Ok(())
    })
    .await?;
    service(admin, namespace, "reviews", json!({"replicas": 1})).await.map_err(failure)?;
    eventually("the end of the budget", || async {
        let budget = budgets.get_opt("reviews").await.map_err(failure)?;
        ensure!(budget.is_none(), "the budget is still there");
        // No controller takes a claim away that pods may use, so the mark is all there is.
        let claim = claims.get_opt("reviews-model").await.map_err(failure)?;
        let is_going = claim.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some());
        ensure!(is_going, "the claim is still there");
        Ok(())
    })
    .await?;
    stop.cancel();
    running.await.map_err(failure)
}

/// What belongs to others.
async fn of_strangers(admin: &Client, own: &Client, namespace: &str) -> Outcome {
    let strangers = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "stranger"}, "spec": {"ports": [{"port": 80}]},
    });
    apply(admin, namespace, &strangers).await?;
    let services: Api<Service> = Api::namespaced(own.clone(), namespace);
    let taken = Patch::Merge(json!({
        "metadata": {
            "labels": {"app.kubernetes.io/managed-by": "kubesentiment-operator"},
            "ownerReferences": [
                {"apiVersion": "kubesentiment.io/v1alpha1", "kind": "SentimentService", "name": "a", "uid": "1", "controller": true},
            ],
        },
    }));
    let taken = services.patch("stranger", &PatchParams::default(), &taken).await;
    refused("a stranger's Service", taken, "only children of a SentimentService")?;
    let deleted = services.delete("stranger", &DeleteParams::default()).await;
    refused("the end of a stranger's Service", deleted, "only children of a SentimentService")
}

/// What no role of the operator's allows.
async fn beyond_its_roles(own: &Client, namespace: &str) -> Outcome {
    let secrets: Api<Secret> = Api::all(own.clone());
    refused("a look at Secrets", secrets.list(&ListParams::default()).await, "cannot list resource")?;
    let namespaces: Api<Namespace> = Api::all(own.clone());
    refused("the end of a namespace", namespaces.delete(namespace, &DeleteParams::default()).await, "cannot delete")?;
    let config_maps: Api<ConfigMap> = Api::namespaced(own.clone(), namespace);
    let config_map = ConfigMap {
        metadata: kube::core::ObjectMeta { name: Some("a".to_owned()), ..Default::default() },
        ..Default::default()
    };
    refused("a ConfigMap", config_maps.create(&PostParams::default(), &config_map).await, "cannot create")?;
    let wanted: Api<SentimentService> = Api::namespaced(own.clone(), namespace);
    let spec = Patch::Merge(json!({"spec": {"replicas": 9}}));
    refused("another spec", wanted.patch("reviews", &PatchParams::default(), &spec).await, "cannot patch")?;

    let crds: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
        Api::all(own.clone());
    let one = ListParams::default().fields("metadata.name=httproutes.gateway.networking.k8s.io");
    ensure!(allowed("a look for an optional kind", crds.list(&one).await)?.items.len() == 1, "it is not found");
    refused("a look at all kinds", crds.list(&ListParams::default()).await, "cannot list resource")
}
