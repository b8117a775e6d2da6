//! What a service costs.

use serde_json::json;
use tokio::time::{Duration, sleep};

use super::world::{SOON, World};

#[tokio::test(start_paused = true)]
async fn a_new_service_and_a_changed_one_cost_few_requests() {
    let mut world = World::new();
    world.start();
    sleep(SOON).await;
    let mark = world.mark();
    // One of them is for the digest of the model, which here comes no earlier than the last pod.
    world.ask_for(json!({"replicas": 1}));
    world.settles().await;
    let asked = world.asked_since(mark);
    assert!(world.reason() == "Serving" && asked.len() <= 8, "{asked:#?}");

    let mark = world.mark();
    world.ask_for(json!({"replicas": 1, "profile": "Staging"}));
    world.settles().await;
    let asked = world.asked_since(mark);
    assert!(world.reason() == "Serving" && asked.len() <= 6, "{asked:#?}");

    let mark = world.mark();
    sleep(Duration::from_mins(30)).await;
    assert_eq!(world.asked_since(mark), Vec::<String>::new());
}
