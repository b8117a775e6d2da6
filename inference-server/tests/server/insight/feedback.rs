use super::{Server, Value, answer, assert_keys, json, post, refused};

const UNHEARD: &str = "96d7c911-f640-44b3-82f4-0ad05a41a878";

fn counted(server: &Server, predicted: &str, corrected: &str) -> Option<f64> {
    let name = format!(r#"sentiment_feedback_total{{predicted_label="{predicted}",corrected_label="{corrected}"}}"#);
    server.series(&name)
}

#[test]
fn feedback_is_counted_by_what_was_predicted_and_logged_without_its_text() {
    let server = Server::start(&[]);
    let id = server.predict("A wonderful lamp")["prediction_id"].clone();
    let body = json!({
        "prediction_id": id, "corrected_label": "NEGATIVE", "text": "A wonderful lamp", "score": 0.9,
        "user_id": "ann", "comments": "it was irony",
    });
    let accepted = answer(post(&server, "/feedback", &body), 201);
    assert_keys(&accepted, &["status", "message", "prediction_id"]);
    assert_eq!((&accepted["status"], &accepted["prediction_id"]), (&json!("success"), &id));
    assert_eq!(counted(&server, "POSITIVE", "NEGATIVE"), Some(1.0));
    let line = server.line("feedback");
    assert_eq!((&line["prediction_id"], &line["corrected_label"]), (&id, &json!("NEGATIVE")));
    assert_eq!((&line["predicted_label"], &line["score"]), (&json!("POSITIVE"), &json!(0.9)));
    assert!(line["span"]["correlation_id"].is_string(), "{line}");
    for personal in ["lamp", "ann", "irony"] {
        assert!(!line.to_string().contains(personal), "{line}");
    }

    // Of a batch too, again and again, and of an answer that came from the cache.
    let texts = json!({ "texts": ["It is awful", "A wonderful lamp"] });
    let batch = answer(post(&server, "/predict/batch", &texts), 200);
    for (index, label) in ["NEUTRAL", "POSITIVE"].into_iter().enumerate() {
        let id = &batch["results"][index]["prediction_id"];
        for _ in 0..2 {
            answer(post(&server, "/feedback", &json!({ "prediction_id": id, "corrected_label": label })), 201);
        }
    }
    assert_eq!(counted(&server, "NEGATIVE", "NEUTRAL"), Some(2.0));
    assert_eq!(counted(&server, "POSITIVE", "POSITIVE"), Some(2.0));
    // Another server's, or one from before the start.
    let unheard = json!({ "prediction_id": UNHEARD, "corrected_label": "POSITIVE", "text": null, "comments": null });
    answer(post(&server, "/feedback", &unheard), 201);
    assert_eq!(counted(&server, "unknown", "POSITIVE"), Some(1.0));
}

#[test]
fn the_text_is_logged_where_that_is_asked_for() {
    let server = Server::start(&[("MLOPS_FEEDBACK_LOG_CONTENT", "true")]);
    let body = json!({
        "prediction_id": UNHEARD, "corrected_label": "NEGATIVE", "text": "A lamp", "user_id": "ann", "comments": "no",
    });
    answer(post(&server, "/feedback", &body), 201);
    let line = server.line("feedback");
    for field in ["text", "user_id", "comments"] {
        assert_eq!(line[field], body[field], "{line}");
    }
    assert!(line.get("predicted_label").is_none(), "{line}");
}

#[test]
fn what_is_no_feedback_is_refused_and_not_counted() {
    let server = Server::start(&[("MLOPS_API_KEY", "s3cret"), ("MLOPS_LABELS", "bad,fair,good")]);
    let keyed = |body: &str| {
        let request = server.agent.post(server.url("/feedback")).header("X-API-Key", "s3cret");
        request.send(body).unwrap()
    };
    let good = json!({ "prediction_id": UNHEARD, "corrected_label": "good" });
    assert_eq!(refused(post(&server, "/feedback", &good), 401).0, "E3002");
    let with = |change: Value| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body.to_string()
    };
    for (body, kinds) in [
        ("{".to_owned(), vec!["json_invalid"]),
        ("[]".to_owned(), vec!["model_attributes_type"]),
        ("{}".to_owned(), vec!["missing", "missing"]),
        (with(json!({ "prediction_id": "seven" })), vec!["uuid_parsing"]),
        (with(json!({ "prediction_id": "c232ab00-9414-11ec-b3c8-9f68deced846" })), vec!["uuid_version"]),
        (with(json!({ "prediction_id": 7, "corrected_label": "positive" })), vec!["uuid_type", "literal_error"]),
        (with(json!({ "corrected_label": null })), vec!["literal_error"]),
        (with(json!({ "score": -0.1, "text": 1 })), vec!["string_type", "greater_than_equal"]),
        (with(json!({ "user_id": "u".repeat(257), "comments": "c".repeat(10_001) })), vec!["string_too_long"; 2]),
    ] {
        let (code, found) = refused(keyed(&body), 422);
        assert_eq!((code.as_str(), found), ("E1001", kinds.into_iter().map(str::to_owned).collect()), "{body}");
    }
    assert_eq!(refused(keyed(&with(json!({ "more": "m".repeat(256 * 1024) }))), 413).0, "E1005");
    assert!(!server.scrape().contains("sentiment_feedback_total{"));
    // The model's own labels are right, and so are version 1's.
    for label in ["good", "bad", "POSITIVE", "NEUTRAL"] {
        answer(keyed(&with(json!({ "corrected_label": label }))), 201);
        assert_eq!(counted(&server, "unknown", label), Some(1.0));
    }
}
