//! Start, readiness, drain and end of the real process.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::Output,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::common::{self, Folder, Server, command, json};

fn run(settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    command(settings).args(arguments).output().unwrap()
}

/// The one sentence with which a start failed, from the log line and the termination log alike.
fn failure(name: &str, settings: &[(&str, &str)]) -> String {
    let folder = Folder::new(name);
    let file = folder.file("termination-log");
    fs::write(&file, "").unwrap();
    let mut all = settings.to_vec();
    all.push(("MLOPS_TERMINATION_LOG", file.to_str().unwrap()));
    let output = run(&all, &[]);
    assert_eq!(output.status.code(), Some(1));
    let lines = String::from_utf8(output.stdout).unwrap();
    let errors: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["level"] == "ERROR")
        .collect();
    assert_eq!(errors.len(), 1, "{lines}");
    let sentence = fs::read_to_string(&file).unwrap();
    assert_eq!(errors[0]["message"], sentence.as_str());
    sentence
}

#[test]
fn ready_only_when_a_prediction_is_answered_and_alive_from_the_start() {
    let server = Server::listening(&[]);
    let mut refused = 0;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        assert_eq!(server.get("/health").status(), 200);
        let mut ready = server.get("/ready");
        if ready.status() == 200 {
            break;
        }
        assert_eq!(ready.status(), 503);
        assert_eq!(json(&mut ready)["error_code"], "E4002");
        refused += 1;
        assert!(Instant::now() < deadline);
    }
    assert!(refused > 0, "ready before the model can have been loaded");
    assert_eq!(server.predict("I love this product")["label"], "POSITIVE");
}

#[test]
fn a_prediction_while_the_model_loads_is_a_503() {
    let server = Server::listening(&[]);
    let mut response = server.post("/predict", r#"{"text":"early"}"#);
    if response.status() == 503 {
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(json(&mut response)["error_code"], "E2001");
    } else {
        // A machine fast enough to have loaded it by now.
        assert_eq!(response.status(), 200);
    }
}

#[test]
fn sigterm_under_load_loses_no_request() {
    let mut server = Server::start(&[("MLOPS_DRAIN_SECONDS", "2")]);
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    server.predict("a request that must not be lost");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(Duration::from_millis(300));
        server.signal("TERM");
        server.line("draining");
        let before = answered.load(Ordering::Relaxed);
        let mut ready = server.get("/ready");
        assert_eq!((ready.status().as_u16(), &json(&mut ready)["error_code"]), (503, &"E4002".into()));
        // As long as others may still route here, it serves; then they have stopped.
        thread::sleep(Duration::from_millis(1200));
        assert!(answered.load(Ordering::Relaxed) > before, "nothing was served while draining");
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(server.exit(Duration::from_secs(10)).code(), Some(0));
    assert!(answered.load(Ordering::Relaxed) > 0);
}

#[test]
fn requests_in_flight_at_the_end_of_the_drain_are_finished() {
    let mut server = Server::start(&[("MLOPS_THREADS", "1")]);
    let text = "many words that take a while to read ".repeat(13);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..16).map(|_| scope.spawn(|| server.predict(&text))).collect();
        // All are accepted by then, and one after the other takes longer than this.
        thread::sleep(Duration::from_millis(200));
        server.signal("TERM");
        for call in calls {
            assert!(call.join().unwrap()["label"].is_string());
        }
    });
    assert_eq!(server.exit(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn a_second_signal_and_an_interrupt_end_without_the_drain() {
    let mut server = Server::start(&[("MLOPS_DRAIN_SECONDS", "600")]);
    server.signal("TERM");
    server.line("draining");
    server.signal("TERM");
    assert_eq!(server.exit(Duration::from_secs(5)).code(), Some(0));

    let mut server = Server::start(&[("MLOPS_DRAIN_SECONDS", "600")]);
    server.signal("INT");
    assert_eq!(server.exit(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn a_failed_start_says_why_in_one_sentence() {
    assert_eq!(
        failure("bad-port", &[("MLOPS_PORT", "http")]),
        r#"InvalidConfig: MLOPS_PORT is "http", but must be a whole number from 0 to 65535"#
    );
    let authority = failure(
        "no-authority",
        &[("MLOPS_REDIS_ENABLED", "true"), ("MLOPS_REDIS_TLS", "true"), ("MLOPS_REDIS_TLS_CA", "/nowhere/ca.crt")],
    );
    assert!(authority.starts_with("InvalidConfig: /nowhere/ca.crt: can't be read: "), "{authority}");
    assert_eq!(
        failure("many-tokens", &[("MLOPS_MAX_TOKENS", "1024")]),
        "InvalidConfig: MLOPS_MAX_TOKENS is 1024, but the model takes at most 512"
    );
    let sentence = failure("no-model", &[("MLOPS_ONNX_MODEL_PATH", "/nowhere")]);
    assert!(sentence.starts_with("ModelLoadFailed: model path /nowhere can't be read: "), "{sentence}");

    let digest = model::digest_of(&common::default_model()).unwrap().to_string();
    let another = format!("sha256:{}", "0".repeat(64));
    let sentence = failure("another-model", &[("MLOPS_MODEL_DIGEST", &another)]);
    let expected =
        format!("the model's digest is {digest}, not {another} as MLOPS_MODEL_DIGEST has it: it isn't served");
    assert_eq!(sentence, format!("ModelLoadFailed: {expected}"));

    let sentence = failure("no-library", &[("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")]);
    assert!(sentence.starts_with("ModelLoadFailed: ONNX Runtime can't be loaded ("), "{sentence}");
    assert!(sentence.contains("set ORT_DYLIB_PATH to its libonnxruntime.so"), "{sentence}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let sentence = failure("taken-port", &[("MLOPS_PORT", &port)]);
    assert!(sentence.starts_with(&format!("StartFailed: can't listen on 127.0.0.1:{port}: ")), "{sentence}");
    for setting in ["MLOPS_MANAGEMENT_PORT", "MLOPS_GRPC_PORT"] {
        let sentence = failure("taken-other-port", &[(setting, &port)]);
        assert!(sentence.starts_with(&format!("StartFailed: can't listen on 127.0.0.1:{port}: ")), "{sentence}");
        assert!(sentence.ends_with(&format!("; {setting} sets another port")), "{sentence}");
    }
    let sentence = failure("one-port-for-both", &[("MLOPS_PORT", "8081"), ("MLOPS_MANAGEMENT_PORT", "8081")]);
    assert!(
        sentence.starts_with("InvalidConfig: MLOPS_MANAGEMENT_PORT is 8081, which is MLOPS_PORT already"),
        "{sentence}"
    );
}

/// At any moment of the load: the process must not tear down the library that a thread is in.
#[test]
fn a_stop_while_the_model_loads_ends_with_success() {
    for round in 0..30 {
        let mut server = Server::listening(&[]);
        thread::sleep(Duration::from_millis(10 * round));
        server.signal("TERM");
        let status = server.exit(Duration::from_secs(10));
        assert!(status.success(), "{} ms into the load: {status}", 10 * round);
    }
}

/// ONNX Runtime would keep an identifier there, and tell its makers of it.
#[test]
fn nothing_is_left_in_the_home_folder() {
    let home = Folder::new("home");
    let mut server = Server::start(&[("HOME", home.0.to_str().unwrap())]);
    server.predict("quiet");
    server.signal("TERM");
    assert!(server.exit(Duration::from_secs(10)).success());
    let lines = server.lines_to_the_end();
    assert!(!lines.iter().any(|line| line.to_string().contains("telemetry")), "{lines:?}");
    assert_eq!(fs::read_dir(&home.0).unwrap().count(), 0);
}

#[test]
fn a_broken_model_directory_says_which_file() {
    let folder = Folder::new("broken-model");
    let path = folder.0.to_str().unwrap().to_owned();
    let setting = [("MLOPS_ONNX_MODEL_PATH", path.as_str())];
    let sentence = failure("broken-1", &setting);
    assert!(
        sentence.starts_with(&format!("ModelLoadFailed: model directory {path} holds no *.onnx file; ")),
        "{sentence}"
    );

    for file in ["config.json", "tokenizer.json", "model.onnx"] {
        fs::copy(common::fixture("three-labels").join(file), folder.file(file)).unwrap();
    }
    fs::write(folder.file("model.onnx"), "not a model").unwrap();
    let sentence = failure("broken-2", &setting);
    assert!(sentence.starts_with(&format!("ModelLoadFailed: {path}/model.onnx is not usable: ")), "{sentence}");

    fs::copy(common::fixture("three-labels/model.onnx"), folder.file("model.onnx")).unwrap();
    fs::write(folder.file("tokenizer.json"), "{}").unwrap();
    let sentence = failure("broken-3", &setting);
    assert!(sentence.starts_with(&format!("ModelLoadFailed: {path}/tokenizer.json is not usable: ")), "{sentence}");

    fs::remove_file(folder.file("tokenizer.json")).unwrap();
    let sentence = failure("broken-4", &setting);
    let expected = format!("ModelLoadFailed: model directory {path} holds no tokenizer.json; transformers writes it: ");
    assert!(sentence.starts_with(&expected), "{sentence}");

    fs::copy(common::fixture("three-labels/tokenizer.json"), folder.file("tokenizer.json")).unwrap();
    fs::write(folder.file("config.json"), r#"{"id2label":{"0":"a","1":"b"}}"#).unwrap();
    let sentence = failure("broken-5", &setting);
    let named =
        "ModelLoadFailed: config.json names 2 labels, but the model has 3 classes; MLOPS_LABELS names them otherwise";
    assert_eq!(sentence, named);
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let output = run(&[("MLOPS_MAX_BATCHSIZE", "4"), ("MLOPS_ONNX_MODEL_PATH", "/nowhere")], &[]);
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(
        lines.contains(
            "MLOPS_MAX_BATCHSIZE is not a known variable and has no effect; did you mean MLOPS_MAX_BATCH_SIZE?"
        ),
        "{lines}"
    );
}

#[test]
fn the_command_line_shows_what_it_is_asked_for() {
    let help = String::from_utf8(run(&[], &["--help"]).stdout).unwrap();
    assert!(help.contains("MLOPS_MAX_BATCH_TOKENS") && help.contains("[default: 8000]"), "{help}");
    let version = String::from_utf8(run(&[], &["--version"]).stdout).unwrap();
    assert!(version.starts_with("sentiment-server "), "{version}");
    let output = run(&[("MLOPS_API_KEY", "hunter2"), ("MLOPS_PORT", "8123")], &["--print-config"]);
    let settings = String::from_utf8(output.stdout).unwrap();
    assert!(settings.contains("MLOPS_PORT=8123 ") && settings.contains("MLOPS_API_KEY=*** "), "{settings}");
    assert!(!settings.contains("hunter2"));
}

#[test]
fn settings_from_files_are_in_force_unless_the_environment_has_them() {
    let folder = Folder::new("settings");
    let file = folder.file("server.yaml");
    fs::write(&file, "max:\n  text_length: 5\nmodel_name: of-the-file\n").unwrap();
    let path = folder.0.to_str().unwrap();
    let mut server = Server::start(&[("MLOPS_CONFIG_DIR", path), ("MLOPS_MODEL_NAME", "of-the-environment")]);
    assert_eq!(server.post("/predict", r#"{"text":"too long"}"#).status(), 400);
    assert_eq!(server.predict("short")["model_name"], "of-the-environment");
    server.signal("INT");
    server.exit(Duration::from_secs(5));

    let printed = run(&[("MLOPS_MODEL_NAME", "b")], &["--config-dir", path, "--print-config"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    let line = |start: &str| printed.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    assert!(line("MLOPS_MAX_TEXT_LENGTH=5 ").ends_with(&format!("# {}", file.display())), "{printed}");
    assert!(line("MLOPS_MODEL_NAME=b ").ends_with("# environment, MLOPS_MODEL_NAME"), "{printed}");
    assert!(line("MLOPS_MAX_BATCH_SIZE=32 ").ends_with("# default"), "{printed}");

    fs::write(&file, "max_text_lenght: 5").unwrap();
    assert_eq!(
        failure("unknown-key", &[("MLOPS_CONFIG_DIR", path)]),
        format!("InvalidConfig: {}: max_text_lenght is not a known key; did you mean max_text_length?", file.display())
    );
    fs::write(&file, "max_tokens: 1024").unwrap();
    assert_eq!(
        failure("bad-tokens", &[("MLOPS_CONFIG_DIR", path)]),
        format!("InvalidConfig: max_tokens in {} is 1024, but the model takes at most 512", file.display())
    );
    fs::write(&file, "max_text_length: long").unwrap();
    assert_eq!(
        failure("bad-value", &[("MLOPS_CONFIG_DIR", path)]),
        format!(
            "InvalidConfig: max_text_length in {} is \"long\", but must be a whole number of characters from 1 to 10000",
            file.display()
        )
    );
}

#[test]
fn logs_carry_the_correlation_id_and_never_a_text() {
    let mut server = Server::start(&[("MLOPS_LOG_LEVEL", "DEBUG")]);
    let request = server.agent.post(server.url("/predict")).header("X-Correlation-ID", "find-me");
    request.send(r#"{"text":"a most private remark"}"#).unwrap();
    server.signal("INT");
    server.exit(Duration::from_secs(5));
    let lines = server.lines_to_the_end();
    assert!(lines.iter().any(|line| line["span"]["correlation_id"] == "find-me"), "{lines:?}");
    assert!(lines.iter().all(|line| !line.to_string().contains("private")), "{lines:?}");
}

#[test]
fn the_version_is_the_images() {
    let folder = Folder::new("version");
    let program = folder.file("sentiment-server");
    fs::copy(env!("CARGO_BIN_EXE_sentiment-server"), &program).unwrap();
    fs::write(folder.file("build-info.json"), r#"{"version":"1.2.3","revision":"abc","buildtime":"now"}"#).unwrap();
    let output = std::process::Command::new(&program).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "sentiment-server 1.2.3\n");
}

/// Over which family a server is reached, by its port.
fn reached(server: &Server) -> Vec<&'static str> {
    let port = server.address.rsplit_once(':').unwrap().1;
    let answers = |host: &&str| server.agent.get(format!("http://{host}:{port}/health")).call().is_ok();
    ["127.0.0.1", "[::1]"].into_iter().filter(answers).collect()
}

#[test]
fn both_families_are_served_unless_one_is_asked_for() {
    let ipv6 = TcpListener::bind("[::1]:0").is_ok();
    for (host, over_v4, over_v6) in [
        ("", true, true),
        ("localhost", true, true),
        ("0.0.0.0", true, false),
        ("::", true, true),
        ("::1", false, true),
    ] {
        if host.contains(':') && !ipv6 {
            eprintln!("no IPv6 on this machine");
            continue;
        }
        let server = Server::listening(&[("MLOPS_HOST", host)]);
        let mut expected = Vec::new();
        expected.extend(over_v4.then_some("127.0.0.1"));
        expected.extend((over_v6 && ipv6).then_some("[::1]"));
        assert_eq!(reached(&server), expected, "{host:?}");
    }
}

#[test]
fn the_management_port_is_there_from_the_first_moment_to_the_last() {
    let mut server = Server::listening(&[("MLOPS_MANAGEMENT_PORT", "0"), ("MLOPS_DRAIN_SECONDS", "600")]);
    let get = |path: &str| server.agent.get(format!("http://{}{path}", server.management)).call().unwrap();
    assert_eq!((get("/health").status(), get("/metrics").status()), (200.try_into().unwrap(), 200.try_into().unwrap()));
    assert_eq!(json(&mut get("/api/v1/health/details"))["dependencies"][0]["component_name"], "model");
    server.line("ready");
    assert_eq!(get("/ready").status(), 200);

    // In the middle of a request when the server has stopped to accept.
    let mut caller = std::net::TcpStream::connect(&server.address).unwrap();
    let body = br#"{"text":"a fine day"}"#;
    write!(caller, "POST /api/v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
    while common::series::<u32>(&get("/metrics").body_mut().read_to_string().unwrap(), "sentiment_active_requests")
        != Some(2)
    {
        thread::sleep(Duration::from_millis(5));
    }
    server.signal("TERM");
    server.line("draining");
    let mut ready = get("/ready");
    assert_eq!((ready.status().as_u16(), &json(&mut ready)["error_code"]), (503, &"E4002".into()));
    server.signal("TERM");
    while std::net::TcpStream::connect(&server.address).is_ok() {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((get("/health").status(), get("/metrics").status()), (200.try_into().unwrap(), 200.try_into().unwrap()));
    caller.write_all(body).unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(server.exit(Duration::from_secs(10)).code(), Some(0));
}
