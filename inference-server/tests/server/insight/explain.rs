use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Server, Value, answer, assert_keys, json, post, refused, series};

fn explain(server: &Server, text: &str) -> Value {
    answer(post(server, "/explain", &json!({ "text": text })), 200)
}

fn attributions(explanation: &Value) -> Vec<(String, f64)> {
    let all = explanation["token_attributions"].as_array().unwrap();
    all.iter().map(|one| (one["token"].as_str().unwrap().to_owned(), one["attribution"].as_f64().unwrap())).collect()
}

/// Checks that spans are the tokens, in order.
fn assert_spans(explanation: &Value) {
    let text: Vec<char> = explanation["text"].as_str().unwrap().chars().collect();
    let place = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let mut last_end = 0;
    for (index, one) in explanation["token_attributions"].as_array().unwrap().iter().enumerate() {
        let (start, end) = (place(&one["start"]), place(&one["end"]));
        assert!(last_end <= start && start < end, "{one}");
        assert_eq!(text[start..end].iter().collect::<String>(), one["token"].as_str().unwrap());
        assert_eq!(place(&one["position"]), index);
        last_end = end;
    }
}

#[test]
fn each_word_has_its_share_in_order_and_all_run_as_one_batch() {
    let server = Server::start(&[]);
    let body = explain(&server, "  The café was nice, but the food was terrible 😀 ");
    assert_keys(
        &body,
        &[
            "text",
            "label",
            "score",
            "prediction",
            "confidence",
            "method",
            "token_attributions",
            "top_contributing_words",
            "words_per_token",
            "text_truncated",
            "model_name",
            "backend",
            "total_time_ms",
        ],
    );
    assert_keys(&body["token_attributions"][0], &["token", "position", "start", "end", "attribution"]);
    assert_eq!((&body["method"], &body["words_per_token"]), (&json!("occlusion"), &json!(1)));
    assert_eq!((&body["text_truncated"], &body["prediction"]), (&json!(false), &body["label"]));
    let found = attributions(&body);
    let words: Vec<&str> = found.iter().map(|(word, _)| word.as_str()).collect();
    assert_eq!(words, ["The", "café", "was", "nice", ",", "but", "the", "food", "was", "terrible", "😀"]);
    assert_spans(&body);
    assert_eq!((&body["label"], &body["top_contributing_words"][0]), (&json!("NEGATIVE"), &json!("terrible")));
    assert!(found[9].1 > 0.3, "without its verdict the text is another one: {found:?}");

    // The text and eleven without a word, in fewer runs than texts; and none of them is a prediction.
    let scrape = server.scrape();
    assert_eq!(series(&scrape, "sentiment_batch_size_sum"), Some(12.0));
    assert!(series(&scrape, "sentiment_batch_size_count").is_some_and(|runs: f64| runs < 12.0), "{scrape}");
    assert_eq!(series(&scrape, "sentiment_prediction_score_count"), Some(0.0));
    assert_eq!(series(&scrape, "sentiment_cache_misses_total"), Some(0.0));

    let predicted = server.predict(body["text"].as_str().unwrap());
    assert_eq!(predicted["label"], body["label"]);
    // Dynamic quantization takes its scale from the whole batch, so the score moves a little.
    assert!((predicted["score"].as_f64().unwrap() - body["score"].as_f64().unwrap()).abs() < 0.05);
    assert_eq!(predicted["cached"], false);
}

#[test]
fn of_two_labels_one_has_the_opposite_shares_of_the_other() {
    // One thread and one text a run: quantization's scale is each text's own, so runs can be compared.
    let server =
        Server::start(&[("MLOPS_MAX_BATCH_SIZE", "1"), ("MLOPS_THREADS", "1"), ("MLOPS_DROP_LABELS", "NEUTRAL")]);
    let text = "Nice lamp, terrible support";
    let asked = |label: &str| {
        // As a client of version 1 sends it.
        let body = json!({
            "text": text, "prediction": label, "confidence": 0.7, "use_attention": true, "use_gradients": false,
        });
        answer(post(&server, "/explain", &body), 200)
    };
    let (positive, negative) = (asked("POSITIVE"), asked("NEGATIVE"));
    assert_eq!((&positive["label"], &positive["score"]), (&negative["label"], &negative["score"]));
    assert_eq!((&positive["prediction"], &negative["prediction"]), (&json!("POSITIVE"), &json!("NEGATIVE")));
    let (positive, negative) = (attributions(&positive), attributions(&negative));
    for ((word, for_positive), (_, for_negative)) in positive.iter().zip(&negative) {
        assert!((for_positive + for_negative).abs() < 1e-5, "{word}: {for_positive} and {for_negative}");
    }
    // Each share is what the score loses when the word isn't there.
    let score = |text: &str| {
        let body = server.predict(text);
        let score = body["score"].as_f64().unwrap();
        if body["label"] == "POSITIVE" { score } else { 1.0 - score }
    };
    let lost = score(text) - score("Nice lamp, support");
    assert!((positive[3].1 - lost).abs() < 1e-5, "{positive:?}, not {lost}");
    assert!(lost < -0.2, "{lost}");
}

#[test]
fn long_texts_are_explained_by_groups_and_only_as_far_as_they_are_read() {
    let server = Server::start(&[("MLOPS_MAX_TEXT_LENGTH", "10000"), ("MLOPS_MAX_TOKENS", "100")]);
    let body = explain(&server, &"good ".repeat(70));
    assert_eq!((&body["words_per_token"], &body["text_truncated"]), (&json!(2), &json!(false)));
    assert_eq!((attributions(&body).len(), body["token_attributions"][34]["token"].as_str()), (35, Some("good good")));
    assert_spans(&body);

    // A hundred tokens, of which two are special.
    let body = explain(&server, &("good ".repeat(98) + &"awful ".repeat(900)));
    assert_eq!((&body["words_per_token"], &body["text_truncated"]), (&json!(2), &json!(true)));
    let found = attributions(&body);
    assert_eq!(found.len(), 49);
    assert_spans(&body);
    // What is behind the cut doesn't take the place of a word that is left out.
    assert!(found.iter().all(|(token, share)| token == "good good" && share.abs() < 0.01), "{found:?}");
}

#[test]
fn what_leaves_nothing_behind_is_compared_with_an_even_chance() {
    let server = Server::start(&[]);
    for text in ["wonderful", "wonderful \u{200b}"] {
        let body = explain(&server, text);
        let confidence = body["confidence"].as_f64().unwrap();
        let found = attributions(&body);
        assert_eq!(found[0].0, "wonderful");
        assert!((found[0].1 - (confidence - 1.0 / 3.0)).abs() < 1e-6, "{body}");
    }
    assert_eq!(refused(post(&server, "/explain", &json!({ "text": "\u{200b}" })), 400).0, "E1004");
}

#[test]
fn words_are_ranked_for_the_label_that_is_answered_and_none_that_is_left_out() {
    let model = crate::common::fixture("three-labels");
    let model = ("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap());
    let text = "fine good fine";
    let whole = explain(&Server::start(&[model]), text);
    assert_eq!((&whole["prediction"], &whole["top_contributing_words"]), (&json!("fine"), &json!(["fine", "fine"])));
    let server = Server::start(&[model, ("MLOPS_DROP_LABELS", "fine")]);
    let body = explain(&server, text);
    assert_eq!((&body["label"], &body["prediction"]), (&json!("good"), &json!("good")));
    assert_eq!((&body["confidence"], &body["top_contributing_words"]), (&body["score"], &json!(["good"])));
    let shares = attributions(&body);
    assert!(shares[0].1.abs() < 1e-6 && (shares[1].1 - 0.5).abs() < 1e-3 && shares[2].1.abs() < 1e-6, "{shares:?}");
    let other = answer(post(&server, "/explain", &json!({ "text": text, "prediction": "bad" })), 200);
    assert!((attributions(&other)[1].1 + 0.5).abs() < 1e-3, "{other}");
    let refusal = answer(post(&server, "/explain", &json!({ "text": text, "prediction": "fine" })), 422);
    assert!(refusal.to_string().contains("Input should be one of bad, good"), "{refusal}");
    // Where nothing is left, either of the two is as probable.
    assert!((attributions(&explain(&server, "good"))[0].1 - 0.5).abs() < 1e-3);
}

#[test]
fn bad_bodies_are_refused_as_those_of_predictions() {
    let server = Server::start(&[("MLOPS_API_KEY", "s3cret"), ("MLOPS_NEUTRAL_BAND", "0.6")]);
    let keyed = |body: &Value| {
        let request = server.agent.post(server.url("/explain")).header("X-API-Key", "s3cret");
        request.send(body.to_string()).unwrap()
    };
    assert_eq!(refused(post(&server, "/explain", &json!({ "text": "a" })), 401).0, "E3002");
    assert_eq!(answer(keyed(&json!({ "text": "a", "prediction": "NEUTRAL" })), 200)["method"], "occlusion");
    for (body, kinds) in [
        (json!({}), vec!["missing"]),
        (json!({ "text": " " }), vec!["string_too_short"]),
        (json!({ "text": "a", "prediction": "GREAT" }), vec!["literal_error"]),
        (
            json!({ "text": 1, "prediction": 2, "confidence": 1.1, "use_attention": "yes", "use_gradients": 0 }),
            vec!["string_type", "string_type", "less_than_equal", "bool_type", "bool_type"],
        ),
    ] {
        let (code, found) = refused(keyed(&body), 422);
        assert_eq!((code.as_str(), found), ("E1001", kinds.into_iter().map(str::to_owned).collect()), "{body}");
    }
    assert_eq!(refused(keyed(&json!({ "text": "a".repeat(10_001) })), 422).0, "E1001");
    assert_eq!(refused(keyed(&json!({ "text": "a", "more": "b".repeat(128 * 1024) })), 413).0, "E1005");
}

#[test]
fn explanations_end_with_their_time_and_hold_no_prediction_up() {
    let server = Server::start(&[
        ("MLOPS_MAX_TEXT_LENGTH", "10000"),
        ("MLOPS_MAX_REQUEST_TIMEOUT", "2"),
        ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
        ("MLOPS_THREADS", "1"),
    ]);
    let text = "this long story goes on and on ".repeat(120);
    let begun = Instant::now();
    thread::scope(|scope| {
        let all: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| post(&server, "/explain", &json!({ "text": text })).status().as_u16()))
            .collect();
        while all.iter().any(|one| !one.is_finished()) {
            assert_eq!(server.predict("lovely")["label"], "POSITIVE");
        }
        let statuses: Vec<u16> = all.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(statuses.iter().all(|status| [200, 503, 504].contains(status)), "{statuses:?}");
        assert!(statuses.contains(&504) && statuses.contains(&503), "more work than two seconds hold: {statuses:?}");
    });
    // What was withdrawn leaves the queue as soon as a worker looks at it.
    while server.series("sentiment_queue_depth") != Some(0.0) {
        assert!(begun.elapsed() < Duration::from_secs(20), "texts are still queued");
        thread::sleep(Duration::from_millis(10));
    }
}
