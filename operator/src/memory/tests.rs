use super::*;

fn service() -> ServiceRef {
    ServiceRef::new("reviews").within("demo")
}

#[test]
fn another_service_of_the_same_name_begins_anew() {
    let memories = Memories::default();
    memories.of(&service(), Some("a")).count_failure();
    assert_eq!(memories.of(&service(), Some("a")).count_failure(), 2);
    assert_eq!(memories.of(&service(), Some("b")).count_failure(), 1);
    memories.forget(&service());
    assert!(memories.known(&service()).is_none());
}

#[test]
fn a_source_that_holds_another_model_is_told_once() {
    let told = |source: &str, digest: Option<&str>, delivery| ModelStatus {
        source: source.to_owned(),
        digest: digest.map(str::to_owned),
        delivery: Some(delivery),
        ..ModelStatus::default()
    };
    let (memory, hub) = (Memory::default(), "huggingFace a/b@main");
    let fetched = |digest| memory.model_changed(&told(hub, digest, Delivery::Fetched));
    assert_eq!(fetched(Some("sha256:1")), None, "the first one");
    assert_eq!(fetched(None), None, "a rollout has begun");
    let note = fetched(Some("sha256:2")).unwrap();
    assert!(note.starts_with("huggingFace a/b@main holds another model than before, sha256:2 in place of sha256:1"));
    assert_eq!(fetched(Some("sha256:2")), None);
    assert_eq!(memory.model_changed(&told("s3 a", Some("sha256:3"), Delivery::Fetched)), None, "another source");
    let builtin = |digest| memory.model_changed(&told("builtin", Some(digest), Delivery::Builtin));
    assert_eq!((builtin("sha256:4"), builtin("sha256:5")), (None, None), "an upgrade brings another");
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_a_replica_set_that_another_has_replaced_comes_too_late() {
    let (memory, now) = (Memory::default(), Instant::now());
    assert!(matches!(memory.digest("a-1", now), DigestAsked::Not));
    memory.note_digest_asked("a-1".into());
    memory.note_digest_asked("a-2".into());
    memory.note_digest("a-1", None);
    assert!(matches!(memory.digest("a-2", now), DigestAsked::UnderWay));
    assert!(matches!(memory.digest("a-1", now), DigestAsked::Not));
    memory.note_digest("a-2", None);
    assert!(matches!(memory.digest("a-2", now), DigestAsked::Answered(None)));
}

#[tokio::test(start_paused = true)]
async fn questions_without_an_answer_are_counted_for_one_replica_set() {
    let (memory, now) = (Memory::default(), Instant::now());
    memory.note_digest_asked("a-1".into());
    assert_eq!(memory.count_digest_failure("a-1"), 1);
    memory.note_digest_failure("a-1", now + Duration::from_secs(1));
    assert!(matches!(memory.digest("a-1", now), DigestAsked::Later(left) if left == Duration::from_secs(1)));
    assert!(matches!(memory.digest("a-1", now + Duration::from_secs(1)), DigestAsked::Not));
    memory.note_digest_asked("a-1".into());
    assert_eq!(memory.count_digest_failure("a-1"), 2);
    memory.note_digest_asked("a-2".into());
    assert_eq!(memory.count_digest_failure("a-2"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_repeated_until_its_time_or_until_something_moves() {
    let memory = Memory::default();
    let situation = Situation { generation: Some(1), versions: 7 };
    let now = Instant::now();
    let until = now + Duration::from_secs(5);
    memory.note_failure(Failure { situation, is_unanswered: false, until });
    assert_eq!(memory.waits(situation, now), Some(Duration::from_secs(5)));
    assert_eq!(memory.waits(Situation { versions: 8, ..situation }, now), None);
    assert_eq!(memory.waits(Situation { generation: Some(2), ..situation }, now), None);
    assert_eq!(memory.waits(situation, now + Duration::from_secs(5)), None);
    memory.note_failure(Failure { situation, is_unanswered: true, until });
    assert!(memory.waits(Situation { versions: 8, ..situation }, now).is_some(), "the server is as it was");
    assert_eq!(memory.waits(Situation { generation: Some(2), ..situation }, now), None);
    memory.note_success();
    assert_eq!(memory.waits(situation, now), None);
}
