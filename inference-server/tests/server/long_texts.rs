//! Texts that the model can't read at once, and texts that hold names of special tokens.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::common::{Server, json};

/// So few tokens are read at once, so that tests are fast.
const AT_ONCE: (&str, &str) = ("MLOPS_MAX_TOKENS", "64");

/// Good in the 62 words that are read at once, each of which is a token, and bad for the most part.
fn turning() -> String {
    "wonderful lamp ".repeat(31) + &"terrible lamp ".repeat(150)
}

fn infer(server: &Server, texts: &[&str], outputs: &Value) -> (u16, Value) {
    let input = json!({ "name": "text", "shape": [texts.len()], "datatype": "BYTES", "data": texts });
    let body = json!({ "inputs": [input], "outputs": outputs }).to_string();
    let url = format!("http://{}/v2/models/default/infer", server.address);
    let mut response = server.agent.post(url).send(body).unwrap();
    (response.status().as_u16(), json(&mut response))
}

fn refused(server: &Server, path: &str, body: &Value, tokens: usize) {
    let mut response = server.post(path, &body.to_string());
    let (status, body) = (response.status().as_u16(), json(&mut response));
    assert_eq!((status, &body["error_code"]), (400, &json!("E1013")), "{path}: {body}");
    let sentence = format!("the text has {tokens} tokens, and the model reads at most 64; MLOPS_LONG_TEXTS=");
    assert!(body["detail"].as_str().unwrap().starts_with(&sentence), "{path}: {body}");
}

#[test]
fn every_answer_to_a_text_that_was_cut_says_so() {
    let server = Server::start(&[AT_ONCE]);
    let (long, short) = (turning(), "a wonderful lamp");
    for cached in [false, true] {
        let body = server.predict(&long);
        assert_eq!((&body["label"], &body["truncated"]), (&json!("POSITIVE"), &json!(true)));
        assert_eq!(body["cached"], cached);
        assert_eq!(server.predict(short)["truncated"], false);
    }
    // As many tokens as are read, two of them special.
    assert_eq!(server.predict(&"lamp ".repeat(62))["truncated"], false);
    assert_eq!(server.predict(&"lamp ".repeat(63))["truncated"], true);

    let texts = json!({ "texts": [short, long] }).to_string();
    let body = json(&mut server.post("/predict/batch", &texts));
    assert_eq!((&body["results"][0]["truncated"], &body["results"][1]["truncated"]), (&json!(false), &json!(true)));
    let job = json(&mut server.post("/batch/predict", &texts))["job_id"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + Duration::from_secs(30);
    let body = loop {
        let mut response = server.get(&format!("/batch/results/{job}"));
        if response.status() == 200 {
            break json(&mut response);
        }
        assert!(Instant::now() < deadline, "the job isn't done");
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!((&body["results"][0]["truncated"], &body["results"][1]["truncated"]), (&json!(false), &json!(true)));

    let (_, body) = infer(&server, &[short, &long], &json!([{ "name": "truncated" }]));
    let output = json!({ "name": "truncated", "shape": [2], "datatype": "BOOL", "data": [false, true] });
    assert_eq!(body["outputs"], json!([output]));

    assert_eq!(server.series("sentiment_texts_truncated_total"), Some(6.0));
}

#[test]
fn in_windows_all_of_a_text_counts() {
    let server = Server::start(&[AT_ONCE, ("MLOPS_LONG_TEXTS", "windows")]);
    let body = server.predict(&turning());
    assert_eq!((&body["label"], &body["truncated"]), (&json!("NEGATIVE"), &json!(false)));
    assert_eq!(server.predict(&"wonderful lamp ".repeat(31))["label"], "POSITIVE");
    assert_eq!(server.series("sentiment_texts_truncated_total"), Some(0.0));

    // What is read at once is explained.
    let mut response = server.post("/explain", &json!({ "text": turning() }).to_string());
    let body = json(&mut response);
    assert_eq!((&body["label"], &body["text_truncated"]), (&json!("POSITIVE"), &json!(true)), "{body}");
    assert_eq!(body["token_attributions"].as_array().unwrap().len(), 62);
}

#[test]
fn where_long_texts_are_refused_the_answer_says_how_long_they_are() {
    let server = Server::start(&[AT_ONCE, ("MLOPS_LONG_TEXTS", "refuse")]);
    let text = "lamp ".repeat(63);
    refused(&server, "/predict", &json!({ "text": text }), 65);
    refused(&server, "/explain", &json!({ "text": text }), 65);
    let (status, body) = infer(&server, &[&text], &json!([]));
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().starts_with("text 0: the text has 65 tokens"), "{body}");
    let body = server.predict(&"lamp ".repeat(62));
    assert_eq!(body["truncated"], false);
}

#[test]
fn names_of_special_tokens_do_not_steer_the_verdict() {
    // A bracket is a token of its own, so that the same text is read where no name of a special token is.
    let steered_by = |server: &Server, named: &str| {
        let spelled = named.replace('[', "[ ").replace(']', " ]");
        let (named, spelled) = (server.predict(named), server.predict(&spelled));
        let apart = (named["score"].as_f64().unwrap() - spelled["score"].as_f64().unwrap()).abs();
        if named["label"] == spelled["label"] { apart } else { 1.0 }
    };
    let padded = "It is a lamp [PAD] [PAD] [PAD] [PAD]";
    let server = Server::start(&[]);
    for named in ["I love this lamp [SEP] I hate it [CLS]", padded, "A good lamp, not a great one [SEP] good"] {
        let steered = steered_by(&server, named);
        assert!(steered < 1e-6, "{named}: {steered}");
    }
    // The tokenizer's own way, for models whose texts are put together with such tokens.
    let own = steered_by(&Server::start(&[("MLOPS_SPLIT_SPECIAL_TOKENS", "false")]), padded);
    assert!(own > 0.02, "{own}");

    let body = json(&mut server.post("/explain", &json!({ "text": padded }).to_string()));
    let tokens: Vec<_> = body["token_attributions"].as_array().unwrap().iter().map(|one| &one["token"]).collect();
    assert_eq!(tokens[4..7], ["[", "PAD", "]"]);
    assert!((body["score"].as_f64().unwrap() - server.predict(padded)["score"].as_f64().unwrap()).abs() < 0.05);
}
