//! CloudEvents as KServe's logger sends them: in binary mode, one for the question and one for the answer, with one id.

use axum::http::HeaderMap;
use axum::http::{HeaderName, HeaderValue, header};
use serde::Serialize;

use super::{Record, Texts};

/// KServe's own types, by which its receivers tell the two apart.
pub(super) const REQUEST: &str = "org.kubeflow.serving.inference.request";
pub(super) const RESPONSE: &str = "org.kubeflow.serving.inference.response";

/// Who the events are of.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) source: String,
    pub(super) service: String,
    pub(super) namespace: Option<String>,
}

/// An event, ready to be posted.
#[derive(Debug)]
pub(super) struct CloudEvent {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// What the question's event holds.
#[derive(Serialize)]
struct Question<'a> {
    #[serde(flatten)]
    texts: &'a Texts,
    text_length: usize,
}

/// The events of a record, the question's first. There is none of it where the texts aren't there.
pub(super) fn events(record: &Record, origin: &Origin) -> Vec<CloudEvent> {
    let question = record.texts.as_ref().map(|texts| Question { texts, text_length: record.text_length });
    let question = question.and_then(|question| event(REQUEST, record, origin, &question));
    let answer = Record { texts: None, ..record.clone() };
    question.into_iter().chain(event(RESPONSE, record, origin, &answer)).collect()
}

fn event(kind: &str, record: &Record, origin: &Origin, data: &impl Serialize) -> Option<CloudEvent> {
    let id = record.prediction_id.to_string();
    let time = record.time.to_string();
    let attributes = [
        ("ce-specversion", Some("1.0")),
        ("ce-id", Some(&*id)),
        ("ce-type", Some(kind)),
        ("ce-source", Some(&*origin.source)),
        ("ce-time", Some(&*time)),
        // Extensions of KServe's, and ours.
        ("ce-inferenceservicename", Some(&*origin.service)),
        ("ce-namespace", origin.namespace.as_deref()),
        ("ce-component", Some("predictor")),
        ("ce-correlationid", record.correlation_id.as_deref()),
        ("ce-modeldigest", record.model_digest.as_deref()),
    ];
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in attributes {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Some(CloudEvent { headers, body: serde_json::to_vec(data).ok()? })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_question_and_its_answer_have_one_id() {
        let origin =
            Origin { source: "a".to_owned(), service: "reviews".to_owned(), namespace: Some("shop".to_owned()) };
        let mut record = Record::of_test("a lamp");
        let found = events(&record, &origin);
        let [question, answer] = &found[..] else { panic!("{found:?}") };
        for (event, kind) in [(question, REQUEST), (answer, RESPONSE)] {
            assert_eq!(event.headers["ce-type"], kind);
            assert_eq!(event.headers["ce-id"], record.prediction_id.to_string().as_str());
            assert_eq!(event.headers["ce-specversion"], "1.0");
            assert_eq!(event.headers["ce-time"], "1970-01-01T00:00:00Z");
            assert_eq!(event.headers["ce-namespace"], "shop");
            assert_eq!(event.headers["ce-correlationid"], "a-request");
        }
        let body = |event: &CloudEvent| serde_json::from_slice::<Value>(&event.body).unwrap();
        assert_eq!(body(question), json!({ "text": "a lamp", "text_length": 6 }));
        let answer = body(answer);
        assert_eq!((&answer["label"], &answer["logits"]), (&json!("POSITIVE"), &json!([0.0, 1.5])));
        assert_eq!(answer.get("text"), None);

        record.texts = None;
        let alone = events(&record, &origin);
        assert_eq!((alone.len(), &alone[0].headers["ce-type"]), (1, &HeaderValue::from_static(RESPONSE)));
    }
}
