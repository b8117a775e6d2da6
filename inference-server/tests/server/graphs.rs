//! Graphs as people export them, and texts that a graph can't run: none costs another text its answer.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::common::{self, Folder, Server, fixture, json};

/// A folder with the tiny model's files and this graph in place of its own.
fn with_graph(graph: &str, config: &str) -> Folder {
    let folder = Folder::new(graph);
    fs::copy(fixture("three-labels/tokenizer.json"), folder.file("tokenizer.json")).unwrap();
    fs::copy(fixture("graphs").join(graph), folder.file("model.onnx")).unwrap();
    fs::write(folder.file("config.json"), config).unwrap();
    folder
}

const CONFIG: &str = r#"{"id2label":{"0":"bad","1":"fine","2":"good"},"max_position_embeddings":512}"#;

fn settings(folder: &Folder) -> [(&str, &str); 2] {
    [("MLOPS_ONNX_MODEL_PATH", folder.0.to_str().unwrap()), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")]
}

/// Texts of several lengths, each with the label of the word that it holds.
fn texts(count: usize) -> Vec<(String, &'static str)> {
    let text = |index: usize| {
        let label = ["bad", "fine", "good"][index % 3];
        (format!("{}{label}", "a ".repeat(index % 7)), label)
    };
    (0..count).map(text).collect()
}

#[test]
fn graphs_with_fixed_sides_or_without_a_mask_answer_alone_and_together() {
    for graph in ["one-text.onnx", "one-text-inside.onnx", "four-texts.onnx", "twelve-tokens.onnx", "no-mask.onnx"] {
        let folder = with_graph(graph, CONFIG);
        let server = Server::start(&settings(&folder));
        check_alone_and_together(&server, graph);
    }
}

fn check_alone_and_together(server: &Server, graph: &str) {
    for (text, label) in texts(9) {
        assert_eq!(server.predict(&text)["label"], label, "{graph}: {text}");
    }
    let all = texts(90);
    let body = json!({ "texts": all.iter().map(|(text, _)| text).collect::<Vec<_>>() });
    let results: Value = json(&mut server.post("/predict/batch", &body.to_string()))["results"].take();
    for (result, (text, label)) in results.as_array().unwrap().iter().zip(&all) {
        assert_eq!(result["label"], *label, "{graph}: {text}");
    }
    assert_eq!(results.as_array().unwrap().len(), all.len());
}

#[test]
fn inputs_and_outputs_of_every_type_name_and_place_answer_alone_and_together() {
    let padded_by_another = r#"{"id2label":{"0":"bad","1":"fine","2":"good"},"pad_token_id":12}"#;
    for (graph, config) in [
        ("int32.onnx", CONFIG),
        ("bool-mask.onnx", CONFIG),
        ("float-mask.onnx", CONFIG),
        ("half-mask.onnx", CONFIG),
        ("tensorflow.onnx", CONFIG),
        ("half.onnx", CONFIG),
        ("bfloat16.onnx", CONFIG),
        ("double.onnx", CONFIG),
        ("hidden-first.onnx", CONFIG),
        ("deep.onnx", CONFIG),
        ("own-mask.onnx", padded_by_another),
    ] {
        let folder = with_graph(graph, config);
        let server = Server::listening(&settings(&folder));
        // Also where the graph knows padding by its id.
        assert!(!runs_alone(&server), "{graph}");
        check_alone_and_together(&server, graph);
    }
    let folder = with_graph("no-mask.onnx", CONFIG);
    assert!(runs_alone(&Server::listening(&settings(&folder))));
}

/// Whether the server says that texts don't share runs.
fn runs_alone(server: &Server) -> bool {
    let lines = server.lines_until("ready");
    lines.iter().any(|line| line.to_string().contains("takes padding for a part of a text"))
}

#[test]
fn a_text_is_cut_to_what_the_graph_takes() {
    let folder = with_graph("sixteen-positions.onnx", r#"{"id2label":{"0":"bad","1":"fine","2":"good"}}"#);
    let path = folder.0.to_str().unwrap();
    let server = Server::start(&[("MLOPS_ONNX_MODEL_PATH", path)]);
    assert_eq!(json(&mut server.get("/model-info"))["max_tokens"], 16);
    assert_eq!(server.predict(&"good ".repeat(100))["label"], "good");

    let output = common::command(&[("MLOPS_ONNX_MODEL_PATH", path), ("MLOPS_MAX_TOKENS", "32")]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("InvalidConfig: MLOPS_MAX_TOKENS is 32, but the model takes at most 16"), "{said}");

    let folder = with_graph("twelve-tokens.onnx", CONFIG);
    let server = Server::start(&settings(&folder));
    assert_eq!(json(&mut server.get("/model-info"))["max_tokens"], 12);
    assert_eq!(server.predict(&"good ".repeat(100))["label"], "good");
}

#[test]
fn a_token_without_a_row_is_found_at_the_start_and_its_texts_are_refused() {
    let folder = with_graph("a-row-less.onnx", CONFIG);
    let server = Server::listening(&settings(&folder));
    let warning =
        server.line("the tokenizer has tokens that the model has no row for: texts that hold one are refused");
    assert_eq!((&warning["id"], &warning["token"]), (&json!(12), &json!("rare")));
    server.line("ready");
    let mut refused = server.post("/predict", &json!({ "text": "good rare" }).to_string());
    assert_eq!(refused.status(), 400);
    let error = json(&mut refused);
    assert_eq!(error["error_code"], "E1004");
    assert!(error["detail"].as_str().unwrap().contains("no row for its token rare"), "{error}");
    assert_eq!(server.predict("good")["label"], "good");
}

/// Of 22,000 requests every eleventh holds a word that fails the run it is in.
#[test]
fn no_ordinary_request_fails_beside_texts_that_fail_every_run() {
    const ORDINARY: usize = 20_000;
    const CALLERS: usize = 8;
    let model = fixture("three-labels");
    let server = Server::start(&[
        ("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap()),
        ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
        // So that texts share runs.
        ("MLOPS_THREADS", "1"),
        ("MLOPS_QUEUE_CAPACITY", "10000"),
    ]);
    let (server, next, failed) = (&server, AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= ORDINARY / 10 * 11 {
                        return;
                    }
                    let is_poison = number % 11 == 0;
                    // None is like one before.
                    let marks = format!("{number:b}").replace('0', "a ").replace('1', "warm ");
                    let text = format!("{marks}{}", if is_poison { "poison" } else { "good" });
                    let mut response = server.post("/predict", &json!({ "text": text }).to_string());
                    let status = response.status().as_u16();
                    let body = json(&mut response);
                    if is_poison {
                        assert_eq!(status, 500, "{body}");
                    } else if status != 200 || body["label"] != "good" {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner(), 0);
    let runs: u64 = server.series("sentiment_batch_size_count").unwrap();
    assert!(runs < 22_000, "no two texts have shared one of the {runs} runs, so this shows nothing");
}

/// Bytes of weights in a graph that is made for the next test.
const WEIGHTS: u64 = 256 << 20;

/// A message's field of bytes, up to its content of this length.
fn head(field: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    let mut rest = length;
    while rest > 0x7f {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

#[test]
fn weights_in_the_graphs_own_file_take_no_memory_before_they_are_used() {
    let folder = with_graph("softmax.onnx", CONFIG);
    // A message's parts may stand anywhere, so a tensor of zeros goes behind what is there: dims, float32, its name, its bytes.
    let sides = [&[1 << 3][..], &head(0, WEIGHTS / 4)[1..], &[2 << 3, 1]].concat();
    let tensor = [sides, head(8, 4), b"more".to_vec(), head(9, WEIGHTS)].concat();
    let initializer = [head(5, tensor.len() as u64 + WEIGHTS), tensor].concat();
    let graph = [head(7, initializer.len() as u64 + WEIGHTS), initializer].concat();
    let file = fs::File::options().append(true).open(folder.file("model.onnx")).unwrap();
    std::io::Write::write_all(&mut &file, &graph).unwrap();
    file.set_len(file.metadata().unwrap().len() + WEIGHTS).unwrap();

    let server = Server::start(&settings(&folder));
    assert_eq!(server.predict("it is good")["label"], "good");
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < WEIGHTS / 1024, "{kilobytes} KiB at the most, of a model of {} KiB", WEIGHTS / 1024);
}
