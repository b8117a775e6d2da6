//! The digest of the model that the pods have loaded.

use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use super::world::{DEPLOYMENT, SOON, World};

fn digest(digit: &str) -> String {
    format!("sha256:{}", digit.repeat(64))
}

fn told(world: &World) -> Value {
    world.status()["model"]["digest"].clone()
}

#[tokio::test(start_paused = true)]
async fn one_pod_is_asked_once_for_each_rollout() {
    let mut world = World::new();
    world.models.say(&digest("a"));
    world.ask_for(json!({}));
    world.start();
    world.settles().await;
    assert_eq!((world.reason().as_str(), told(&world)), ("Serving", json!(digest("a"))));
    assert_eq!(world.models.asked(), ["192.0.2.0:8081/api/v1/model-info"]);

    // At rest nothing is asked, whatever is looked at, and neither is by another operator.
    world.touch();
    world.edit(DEPLOYMENT, |object| object["spec"]["replicas"] = json!(7));
    world.restart().await;
    sleep(Duration::from_hours(2)).await;
    assert_eq!((world.models.asked().len(), told(&world)), (1, json!(digest("a"))));

    world.models.say(&digest("b"));
    let mut spec = json!({"profile": "Staging", "env": [{"name": "MLOPS_DEBUG", "value": "true"}]});
    world.ask_for(spec.clone());
    world.settles().await;
    assert_eq!((world.reason().as_str(), told(&world)), ("Serving", json!(digest("b"))));
    assert_eq!(world.models.asked()[1..], ["192.0.2.0:8081/model-info"]);

    spec["suspend"] = json!(true);
    world.ask_for(spec);
    world.settles().await;
    assert_eq!((world.reason().as_str(), told(&world)), ("Suspended", json!(digest("b"))), "it is the same template");
    assert_eq!(world.models.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn pods_that_do_not_answer_are_asked_ever_more_rarely_and_serve_all_the_same() {
    let mut world = World::new();
    world.models.fall_silent();
    world.ask_for(json!({}));
    world.start();
    world.settles().await;
    assert_eq!((world.reason().as_str(), told(&world)), ("Serving", json!(null)));
    sleep(Duration::from_hours(12)).await;
    let asked = world.models.asked().len();
    assert!((12..40).contains(&asked), "{asked} times");
    assert_eq!((world.reason().as_str(), &world.status()["conditions"][0]["status"]), ("Serving", &json!("True")));
    world.models.say(&digest("a"));
    sleep(Duration::from_hours(2)).await;
    assert_eq!(told(&world), json!(digest("a")));
    let asked = world.models.asked().len();
    sleep(Duration::from_hours(2)).await;
    assert_eq!(world.models.asked().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_too_old_to_tell_is_asked_once() {
    let mut world = World::new();
    world.ask_for(json!({}));
    world.start();
    world.settles().await;
    assert_eq!((world.reason().as_str(), told(&world)), ("Serving", json!(null)));
    world.restart().await;
    sleep(SOON * 100).await;
    assert_eq!(world.models.asked().len(), 1);
    assert!(world.status()["model"]["replicaSet"].as_str().unwrap().starts_with("reviews-"));
}
