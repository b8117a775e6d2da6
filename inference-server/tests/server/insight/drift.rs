use std::{
    fs,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use super::{Server, Value, answer, assert_keys, json, post, refused, series};
use crate::common;

fn drift(server: &Server) -> Value {
    answer(server.get("/monitoring/drift"), 200)
}

fn window(server: &Server) -> u64 {
    drift(server)["current_window_size"].as_u64().unwrap()
}

#[test]
fn every_way_to_a_prediction_feeds_the_window() {
    let server = Server::start(&[("MLOPS_DRIFT_WINDOW_SIZE", "100")]);
    let texts = json!(["I love this product", "It is awful"]);
    assert_eq!(window(&server), 0);
    server.predict("I love this product");
    assert_eq!(window(&server), 1);
    assert_eq!(server.predict("I love this product")["cached"], true);
    assert_eq!(window(&server), 2, "an answer from the cache");
    answer(post(&server, "/predict/batch", &json!({ "texts": texts })), 200);
    assert_eq!(window(&server), 4, "a batch");
    let input = json!({ "name": "text", "shape": [2], "datatype": "BYTES", "data": texts });
    let url = format!("http://{}/v2/models/default/infer", server.address);
    answer(server.agent.post(url).send(json!({ "inputs": [input] }).to_string()).unwrap(), 200);
    assert_eq!(window(&server), 6, "the Open Inference Protocol");
    answer(post(&server, "/batch/predict", &json!({ "texts": ["A job's text", "Another"] })), 200);
    let deadline = Instant::now() + Duration::from_secs(30);
    while window(&server) < 8 {
        assert!(Instant::now() < deadline, "the texts of a job were not recorded");
        thread::sleep(Duration::from_millis(10));
    }

    // What is no prediction doesn't.
    answer(post(&server, "/explain", &json!({ "text": "I love it" })), 200);
    refused(post(&server, "/predict", &json!({ "text": "" })), 422);
    assert_eq!(window(&server), 8);
    answer(post(&server, "/predict/batch", &json!({ "texts": vec!["a"; 150] })), 200);
    assert_eq!(window(&server), 100, "the window is bounded");
}

#[test]
fn the_default_model_comes_with_a_baseline_and_drift_is_told() {
    let path = common::default_model().join("drift-baseline.json");
    let file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let baseline = u32::try_from(file["scores"].as_array().unwrap().len()).unwrap();
    let server = Server::start(&[]);
    let waiting = drift(&server);
    assert_keys(
        &waiting,
        &[
            "status",
            "drift_detected",
            "baseline_size",
            "baseline_source",
            "baseline_path",
            "current_window_size",
            "window_capacity",
            "min_samples",
            "thresholds",
            "features",
            "timestamp",
        ],
    );
    assert_eq!((&waiting["status"], &waiting["drift_detected"]), (&json!("collecting"), &Value::Null));
    assert_eq!((&waiting["baseline_size"], &waiting["baseline_source"]), (&json!(baseline), &json!("file")));
    assert_eq!(waiting["baseline_path"], path.to_str().unwrap());
    assert_eq!(waiting["thresholds"], json!({ "psi": 0.1, "ks_pvalue": 0.05 }));
    assert_eq!((&waiting["window_capacity"], &waiting["min_samples"]), (&json!(1000), &json!(500)));
    assert_eq!(waiting["features"], json!({ "score": null, "text_length": null, "label": null }));
    let before = server.scrape();
    assert_eq!(series(&before, "sentiment_drift_baseline_predictions"), Some(f64::from(baseline)));
    assert_eq!(series::<f64>(&before, r#"sentiment_drift_psi{feature="score"}"#), None);

    // One text again and again is another world than what many people write.
    answer(post(&server, "/predict/batch", &json!({ "texts": vec!["I love this product"; 500] })), 200);
    let found = drift(&server);
    assert_eq!((&found["status"], &found["drift_detected"]), (&json!("drift"), &json!(true)));
    let features = &found["features"];
    for feature in ["score", "text_length", "label"] {
        assert_eq!(features[feature]["drift_detected"], true, "{found}");
        assert!(features[feature]["psi"].as_f64().unwrap() > 0.1, "{found}");
    }
    assert!(features["text_length"]["ks_pvalue"].as_f64().unwrap() < 1e-6, "{found}");
    assert_eq!((&features["label"]["ks_pvalue"], &features["label"]["ks_statistic"]), (&Value::Null, &Value::Null));

    let after = server.scrape();
    assert_eq!(series(&after, "sentiment_drift_window_predictions"), Some(500.0));
    for (name, field) in [
        ("sentiment_drift_psi", "psi"),
        ("sentiment_drift_ks_statistic", "ks_statistic"),
        ("sentiment_drift_ks_p_value", "ks_pvalue"),
    ] {
        let told: f64 = series(&after, &format!(r#"{name}{{feature="score"}}"#)).unwrap();
        assert!((told - features["score"][field].as_f64().unwrap()).abs() < 1e-9, "{name} is {told}: {found}");
    }
    assert_eq!(series(&after, r#"sentiment_drift_detected{feature="label"}"#), Some(1.0));
}

fn make_baseline(texts: &str) -> Output {
    let mut command: Command = common::command(&[]);
    command.args(["--make-drift-baseline", texts]).output().unwrap()
}

#[test]
fn a_baseline_of_the_same_texts_shows_no_drift() {
    let texts = common::fixture("sentences.txt");
    let made = make_baseline(texts.to_str().unwrap());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let folder = common::Folder::new("drift-baseline");
    let file = folder.file("drift-baseline.json");
    fs::write(&file, made.stdout).unwrap();
    // Nothing of the texts is in it.
    assert!(!fs::read_to_string(&file).unwrap().contains("Tom"));

    // Found in the folder of settings before the model's own.
    fs::write(folder.file("settings.yaml"), "drift: {window_size: 500}").unwrap();
    let server =
        Server::start(&[("MLOPS_CONFIG_DIR", folder.0.to_str().unwrap()), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")]);
    for text in fs::read_to_string(&texts).unwrap().lines() {
        server.predict(text);
    }
    let found = drift(&server);
    assert_eq!((&found["status"], &found["baseline_path"]), (&json!("stable"), &json!(file.to_str().unwrap())));
    assert_eq!(found["window_capacity"], 500);
    for feature in ["score", "text_length"] {
        let feature = &found["features"][feature];
        assert!(feature["psi"].as_f64().unwrap() < 1e-12 && feature["ks_statistic"].as_f64().unwrap() < 1e-12);
        assert_eq!(feature["ks_pvalue"], 1.0);
    }
    assert_eq!(
        found["features"]["label"],
        json!({
            "psi": 0.0, "ks_statistic": null, "ks_pvalue": null, "drift_detected": false,
        })
    );
}

#[test]
fn a_baseline_that_can_not_be_made_ends_with_a_sentence() {
    let folder = common::Folder::new("drift-texts");
    let file = folder.file("texts.txt");
    for (texts, sentence) in [
        (
            "one\n\ntwo\n".to_owned(),
            "there is no baseline in these texts: it has 2 predictions, but must have 100 to 10000",
        ),
        (
            format!("a\n{}\n", "b".repeat(10_001)),
            "line 2: the text has 10001 characters, and MLOPS_MAX_TEXT_LENGTH is 10000",
        ),
        ("a\n\u{200b}\n".to_owned(), "line 2: nothing in it is visible to the model"),
    ] {
        fs::write(&file, texts).unwrap();
        let made = make_baseline(file.to_str().unwrap());
        assert_eq!((made.status.code(), String::from_utf8(made.stderr).unwrap()), (Some(1), format!("{sentence}\n")));
        assert!(made.stdout.is_empty());
    }
    let made = make_baseline("/nonexistent");
    assert!(String::from_utf8(made.stderr).unwrap().starts_with("the texts can't be read: "));
}

#[test]
fn a_model_without_a_baseline_takes_its_first_window() {
    let model = common::fixture("three-labels");
    let server =
        Server::start(&[("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap()), ("MLOPS_DRIFT_WINDOW_SIZE", "100")]);
    let send = |texts: &[&str], times: usize| {
        answer(post(&server, "/predict/batch", &json!({ "texts": texts.repeat(times) })), 200);
    };
    assert_eq!(drift(&server)["status"], "collecting_baseline");
    send(&["a good one", "not bad"], 50);
    let found = drift(&server);
    assert_eq!((&found["status"], &found["baseline_source"]), (&json!("collecting"), &json!("first_window")));
    assert_eq!((&found["baseline_size"], &found["current_window_size"]), (&json!(100), &json!(0)));
    assert_eq!(found["baseline_path"], Value::Null);
    send(&["a good one", "not bad"], 50);
    assert_eq!(drift(&server)["status"], "stable");
    send(&["somewhat longer than before"], 100);
    assert_eq!(drift(&server)["features"]["text_length"]["drift_detected"], true);
}

#[test]
fn a_baseline_in_which_a_label_won_that_is_left_out_is_not_compared_with() {
    let model = common::fixture("three-labels");
    let folder = common::Folder::new("drift-dropped");
    let texts = folder.file("texts.txt");
    let lines = ["a good one", "bad", "fine good fine", "fine"].repeat(30);
    fs::write(&texts, lines.join("\n")).unwrap();
    let base = [
        ("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap()),
        ("MLOPS_CONFIG_DIR", folder.0.to_str().unwrap()),
        ("MLOPS_DRIFT_WINDOW_SIZE", "120"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [&base[..], more].concat();
    let make = |more: &[(&'static str, &'static str)]| {
        let mut command = common::command(&with(more));
        let made = command.args(["--make-drift-baseline", texts.to_str().unwrap()]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        fs::write(folder.file("drift-baseline.json"), made.to_string()).unwrap();
        made["labels"].clone()
    };
    let dropping = &[("MLOPS_DROP_LABELS", "fine")][..];

    assert_eq!(make(&[]), json!({ "bad": 30, "fine": 60, "good": 30 }));
    assert_eq!(drift(&Server::start(&with(&[])))["baseline_source"], "file");
    let server = Server::listening(&with(dropping));
    let lines = server.lines_until("ready");
    let told = |line: &Value| line["level"] == "WARN" && line["label"] == "fine";
    assert!(lines.iter().any(told), "{lines:?}");
    assert_eq!(drift(&server)["status"], "collecting_baseline");

    // One that was made with it is, and labels that are left out count nowhere.
    let labels = make(dropping);
    assert_eq!((labels.get("fine"), labels["bad"].as_u64().unwrap() + labels["good"].as_u64().unwrap()), (None, 120));
    let server = Server::start(&with(dropping));
    assert_eq!(drift(&server)["baseline_source"], "file");
    let texts: Vec<String> = fs::read_to_string(&texts).unwrap().lines().map(str::to_owned).collect();
    answer(post(&server, "/predict/batch", &json!({ "texts": texts })), 200);
    let found = drift(&server);
    assert_eq!((&found["status"], &found["features"]["label"]["psi"]), (&json!("stable"), &json!(0.0)), "{found}");

    // NEUTRAL is the band's then.
    let banded = &[
        ("MLOPS_LABELS", "NEGATIVE,NEUTRAL,POSITIVE"),
        ("MLOPS_DROP_LABELS", "NEUTRAL"),
        ("MLOPS_NEUTRAL_BAND", "0.6"),
    ];
    assert_eq!(make(banded), json!({ "NEGATIVE": 30, "NEUTRAL": 30, "POSITIVE": 60 }));
    assert_eq!(drift(&Server::start(&with(banded)))["baseline_source"], "file");
}

#[test]
fn drift_can_be_off_and_a_bad_baseline_ends_the_start() {
    let server = Server::start(&[("MLOPS_DRIFT_DETECTION_ENABLED", "false")]);
    server.predict("I love this product");
    assert_eq!(refused(server.get("/monitoring/drift"), 404).0, "E8001");
    assert!(!server.scrape().contains("sentiment_drift_psi{"));

    let ended = |path: &str| {
        let output = common::command(&[("MLOPS_DRIFT_BASELINE_PATH", path)]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = ended("/nonexistent/baseline.json");
    assert!(said.contains("InvalidConfig: the drift baseline /nonexistent/baseline.json can't be read"), "{said}");
    let wrong = common::default_model().join("config.json");
    let said = ended(wrong.to_str().unwrap());
    assert!(said.contains("is not usable") && said.contains("make another with --make-drift-baseline"), "{said}");
}
