//! Each fault does what it says.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams, WatchEvent, WatchParams},
};
use tokio::time::{Duration, Instant, sleep, timeout};

use super::objects::config_map;
use crate::{
    runtime::client::is_timeout,
    testing::{Fault, Server, requests},
};

const SECOND: Duration = Duration::from_secs(1);

fn api(server: &Server) -> Api<ConfigMap> {
    Api::namespaced(server.client(), "demo")
}

async fn create(server: &Server, name: &str) -> kube::Result<ConfigMap> {
    let object = serde_json::from_value(config_map(name, "x")).unwrap();
    api(server).create(&PostParams::default(), &object).await
}

fn is_there(server: &Server, name: &str) -> bool {
    server.get("", "configmaps", "demo", name).is_some()
}

#[tokio::test(start_paused = true)]
async fn the_requests_that_are_meant_and_no_other_meet_a_fault() {
    let server = Server::new();
    let faults = server.faults();
    faults.inject(requests("create", "configmaps").after(1).times(2), Fault::Answer(503));
    let mut codes = Vec::new();
    for name in ["a", "b", "c", "d"] {
        codes.push(create(&server, name).await.is_ok());
    }
    assert_eq!(codes, [true, false, false, true]);
    faults.inject(requests("get", "configmaps").named("a"), Fault::Answer(500));
    assert!(api(&server).get("a").await.is_err());
    assert!(api(&server).get("d").await.is_ok());
    faults.heal();
    assert!(api(&server).get("a").await.is_ok());
    assert_eq!(faults.count("get configmaps/a"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cut_comes_before_or_after_the_server_acts() {
    let server = Server::new();
    server.faults().inject(requests("create", "configmaps").once(), Fault::CutBeforeActing);
    assert!(create(&server, "a").await.is_err());
    assert!(!is_there(&server, "a"));
    server.faults().inject(requests("create", "configmaps").once(), Fault::CutAfterActing);
    assert!(create(&server, "b").await.is_err());
    assert!(is_there(&server, "b"));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_late_and_so_is_an_answer() {
    let server = Server::new();
    server.faults().inject(requests("create", "configmaps").once(), Fault::Delayed(SECOND * 2));
    let (made, there) = tokio::join!(create(&server, "a"), async {
        sleep(SECOND).await;
        is_there(&server, "a")
    });
    assert!(made.is_ok() && !there);
    server.faults().inject(requests("create", "configmaps").once(), Fault::AnsweredLate(SECOND * 2));
    let (made, there) = tokio::join!(create(&server, "b"), async {
        sleep(SECOND).await;
        is_there(&server, "b")
    });
    assert!(made.is_ok() && there);
    server.faults().inject(requests("create", "configmaps").once(), Fault::AnsweredLate(SECOND * 60));
    assert!(is_timeout(&create(&server, "c").await.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_when_to_come_again() {
    let server = Server::new();
    server.faults().inject(requests("get", "*"), Fault::TooManyRequests(7));
    let request = http::Request::get("/api/v1/namespaces/demo/configmaps/a").body(Vec::new().into()).unwrap();
    let answer = server.client().send(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "7"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_its_words_and_they_may_vary() {
    let server = Server::new();
    server.faults().inject(requests("get", "configmaps"), Fault::Refused(403, "no, for the time number {}"));
    let mut words = Vec::new();
    for _ in 0..2 {
        let kube::Error::Api(status) = api(&server).get("a").await.unwrap_err() else { panic!() };
        words.push((status.code, status.message));
    }
    let said = |number| (403, format!("no, for the time number {number}"));
    assert_eq!(words, [said(0), said(1)]);
}

#[tokio::test(start_paused = true)]
async fn later_pages_are_late_and_the_first_is_not() {
    let server = Server::new();
    server.put(config_map("a", "x"));
    server.put(config_map("b", "x"));
    server.faults().inject(requests("list", "configmaps"), Fault::LaterPagesLate(SECOND * 5));
    let began = Instant::now();
    let page = api(&server).list(&ListParams::default().limit(1)).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    let token = page.metadata.continue_.unwrap();
    api(&server).list(&ListParams::default().limit(1).continue_token(&token)).await.unwrap();
    assert_eq!(began.elapsed(), SECOND * 5);
}

/// What a watch tells in a minute, while three things happen in a row.
async fn told(fault: Option<Fault>) -> Vec<String> {
    let server = Server::new();
    let began = Instant::now();
    if let Some(fault) = fault {
        server.faults().inject(requests("watch", "configmaps"), fault);
    }
    let params = WatchParams { bookmarks: false, ..WatchParams::default() };
    let mut watch = api(&server).watch(&params, "0").await.unwrap().boxed();
    let mut told = Vec::new();
    for (name, team) in [("a", "x"), ("a", "y"), ("b", "x")] {
        server.put(config_map(name, team));
    }
    while let Ok(Ok(Some(event))) = timeout(SECOND * 60, watch.try_next()).await {
        told.push(match event {
            WatchEvent::Added(object) => format!("+{}", object.name_any()),
            WatchEvent::Modified(object) => format!("~{}", object.name_any()),
            WatchEvent::Error(status) => format!("{} after {}", status.code, began.elapsed().as_secs()),
            other => format!("{other:?}"),
        });
    }
    told
}

#[tokio::test(start_paused = true)]
async fn events_are_dropped_repeated_coalesced_and_expire() {
    assert_eq!(told(None).await, ["+a", "~a", "+b"]);
    assert_eq!(told(Some(Fault::EventsDropped(1))).await, ["~a", "+b"]);
    assert_eq!(told(Some(Fault::EventsRepeated)).await, ["+a", "+a", "~a", "~a", "+b", "+b"]);
    assert_eq!(told(Some(Fault::EventsCoalesced(SECOND))).await, ["~a", "+b"]);
    assert_eq!(told(Some(Fault::EventsLate(SECOND))).await, ["+a", "~a", "+b"]);
    assert_eq!(told(Some(Fault::Expires(1))).await, ["+a", "410 after 0"]);
}
