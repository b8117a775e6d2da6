//! API keys and other secrets of the real process: what is in force, what follows a file, and what is shown.

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::ffi::OsStrExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use ureq::{Body, http::Response};

use crate::common::{Folder, Server, command, json, mounted::Mounted};

/// What no output may hold.
const CANARY: &str = "CANARY-d7f3";

fn status(server: &Server, key: Option<&str>) -> u16 {
    let mut request = server.agent.get(server.url("/model-info"));
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    request.call().unwrap().status().as_u16()
}

/// Waits until this holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "it never comes that {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A mounted file of keys.
fn keys_in(name: &str, content: &str) -> Mounted {
    Mounted::new(name, &[("keys", content)])
}

#[test]
fn keys_are_added_and_removed_without_a_restart() {
    let mut keys = keys_in("keys", "shop: one\n");
    let server = Server::listening(&[("MLOPS_API_KEY_FILE", keys.file("keys").to_str().unwrap())]);
    let ready = server.line("ready");
    assert_eq!((&ready["authentication"], &ready["api_keys"]), (&"api_key".into(), &1.into()));
    assert_eq!([Some("one"), Some("two"), None].map(|key| status(&server, key)), [200, 401, 401]);

    keys.set(&[("keys", "# the next one\nshop: one\nshop-2: two\n")]);
    assert_eq!(server.line("a secret is renewed")["api_keys"], 2);
    assert_eq!([Some("one"), Some("two")].map(|key| status(&server, key)), [200, 200]);

    keys.set(&[("keys", "shop-2: two\n")]);
    server.line("a secret is renewed");
    assert_eq!([Some("one"), Some("two")].map(|key| status(&server, key)), [401, 200]);
    assert_eq!(server.series(r#"sentiment_api_key_requests_total{key="shop-2"}"#), Some(2));
    assert_eq!(server.series::<u64>(r#"sentiment_api_key_requests_total{key="shop"}"#), None);
    assert_eq!(server.series(r#"sentiment_api_key_failures_total{reason="missing"}"#), Some(1));
    assert_eq!(server.series(r#"sentiment_api_key_failures_total{reason="wrong"}"#), Some(2));
}

#[test]
fn a_file_that_can_not_be_used_any_more_leaves_its_keys_in_force_and_is_told() {
    let mut keys = keys_in("broken", "shop: one\n");
    let server = Server::start(&[("MLOPS_API_KEY_FILE", keys.file("keys").to_str().unwrap())]);
    let unusable = r#"sentiment_secret_file_unusable{variable="MLOPS_API_KEY_FILE"}"#;
    assert_eq!(server.series(unusable), Some(0));
    assert_eq!(json(&mut server.get("/health/details"))["status"], "healthy");

    keys.set(&[("keys", &format!("shop: {CANARY}\nshop: two\n"))]);
    let line = server.line("a secret's file can't be used; what it held stays in force");
    assert_eq!(line["problem"], "has the same name in lines 1 and 2: change one");
    assert_eq!([Some("one"), Some("two"), None].map(|key| status(&server, key)), [200, 401, 401]);
    assert_eq!(server.series(unusable), Some(1));
    let details = json(&mut server.get("/health/details"));
    assert_eq!(details["status"], "degraded");
    let error = details["dependencies"][1]["details"]["error"].as_str().unwrap();
    assert!(error.contains("MLOPS_API_KEY_FILE") && !error.contains(CANARY), "{error}");
    assert_eq!(server.get("/ready").status(), 200);

    keys.set(&[("keys", "shop: two\n")]);
    server.line("a secret is renewed");
    assert_eq!([Some("one"), Some("two")].map(|key| status(&server, key)), [401, 200]);
    assert_eq!(server.series(unusable), Some(0));
}

#[test]
fn a_key_with_limits_is_refused_beyond_them_before_its_body_is_read() {
    let mut keys = keys_in("limited", "shop: one\nother: two\n");
    let limits = r#"[{"name":"shop","requestsPerSecond":0.01,"burst":3},{"name":"gone","concurrency":1}]"#;
    let server = Server::listening(&[
        ("MLOPS_API_KEY_FILE", keys.file("keys").to_str().unwrap()),
        ("MLOPS_API_KEY_LIMITS", limits),
    ]);
    let warning = "MLOPS_API_KEY_LIMITS names a key that is not in force: correct the name or add the key";
    assert_eq!(server.line(warning)["name"], "gone");
    server.line("ready");
    let limited = r#"sentiment_api_key_limited_total{key="shop",reason="rate"}"#;
    assert_eq!(server.series(limited), Some(0));
    let predict = |path: &str, key: &str, body: &str| -> Response<Body> {
        let request = server.agent.post(path).header("authorization", format!("Bearer {key}"));
        request.send(body).unwrap()
    };
    let (url, batch) = (server.url("/predict"), server.url("/predict/batch"));
    // A batch is one request, and so is one that is refused for its body.
    assert_eq!(predict(&batch, "one", r#"{"texts":["a fine day","a bad day"]}"#).status(), 200);
    assert_eq!(predict(&url, "one", "{}").status(), 422);
    assert_eq!(predict(&url, "one", r#"{"text":"a fine day"}"#).status(), 200);
    let mut refused = predict(&url, "one", &"not read".repeat(100_000));
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((60..=100).contains(&wait), "{wait}");
    assert_eq!(json(&mut refused)["error_code"], "E3003");
    let infer = format!("http://{}/v2/models/default/infer", server.address);
    let mut refused = predict(&infer, "one", "{}");
    let error = json(&mut refused)["error"].as_str().unwrap().to_owned();
    assert!(refused.status() == 429 && error.contains("Retry-After"), "{error}");
    for _ in 0..10 {
        assert_eq!(predict(&url, "two", r#"{"text":"a fine day"}"#).status(), 200);
    }
    assert_eq!(server.series(limited), Some(2));
    assert_eq!(server.series(r#"sentiment_api_key_requests_total{key="shop"}"#), Some(3));

    keys.set(&[("keys", "shop: another\n")]);
    server.line("a secret is renewed");
    assert_eq!(predict(&url, "another", "{}").status(), 429);
    assert_eq!(predict(&url, "one", "{}").status(), 401);
}

#[test]
fn the_line_that_says_ready_says_whether_a_key_is_in_force() {
    for (settings, authentication, keys) in [(&[][..], "none", 0), (&[("MLOPS_API_KEY", "s3cret\n")], "api_key", 1)] {
        let server = Server::listening(settings);
        let ready = server.line("ready");
        assert_eq!((&ready["authentication"], &ready["api_keys"]), (&authentication.into(), &keys.into()));
        assert_eq!(status(&server, Some("s3cret")), 200);
    }
}

/// The output of a start that must fail, with its termination log.
fn refused(name: &str, settings: &[(&str, &OsStr)]) -> String {
    let folder = Folder::new(name);
    let file = folder.file("termination-log");
    fs::write(&file, "").unwrap();
    let output = command(&[]).env("MLOPS_TERMINATION_LOG", &file).envs(settings.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{settings:?}");
    let sentence = fs::read_to_string(&file).unwrap();
    assert!(sentence.starts_with("InvalidConfig: ") || sentence.starts_with("ModelLoadFailed: "), "{sentence}");
    [String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap(), sentence].join("\n")
}

#[test]
fn a_start_that_asked_for_a_key_and_has_none_fails() {
    for (number, value) in [b"".as_slice(), b" ", b"\n", b"\xff\xfe", b"two\nlines"].into_iter().enumerate() {
        let name = format!("blank-{number}");
        let said = refused(&name, &[("MLOPS_API_KEY", OsStr::from_bytes(value))]);
        assert!(said.contains("InvalidConfig: MLOPS_API_KEY "), "{said}");
        let said = refused(&name, &[("MLOPS_API_KEY_FILE", OsStr::from_bytes(value))]);
        assert!(said.contains("InvalidConfig: MLOPS_API_KEY_FILE "), "{said}");
    }
    let said = refused("no-file", &[("MLOPS_API_KEY_FILE", "/nowhere/keys".as_ref())]);
    assert!(said.contains("InvalidConfig: the file that MLOPS_API_KEY_FILE names can't be read: "), "{said}");
}

#[test]
fn a_failed_start_tells_no_secret() {
    let endpoint = format!("https://user:{CANARY}@collector:4318");
    let model = format!("s3://key:{CANARY}@bucket/model");
    for (name, value) in [
        ("MLOPS_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("MLOPS_ALLOWED_ORIGINS", &endpoint),
        ("MLOPS_ONNX_MODEL_PATH", &model),
        ("MLOPS_DRIFT_BASELINE_PATH", &model),
        ("MLOPS_API_KEY_FILE", CANARY),
        ("MLOPS_OTLP_HEADERS", CANARY),
    ] {
        let said = refused("told", &[(name, value.as_ref())]);
        assert!(!said.contains(CANARY), "{said}");
    }
    let host = format!("redis://:{CANARY}@redis:6379");
    let said = refused("told", &[("MLOPS_REDIS_ENABLED", "true".as_ref()), ("MLOPS_REDIS_HOST", host.as_ref())]);
    assert!(said.contains("redis://***@redis:6379") && !said.contains(CANARY), "{said}");
}

/// A server of Redis' protocol that repeats every command in its error.
fn repeating() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let repeat = |mut stream: TcpStream| {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            let words = String::from_utf8_lossy(&bytes[..count]).replace("\r\n", " ");
            // One answer for each command, since they come in one piece.
            let answer = format!("-ERR unknown command, with args beginning with: {words}\r\n");
            let commands = words.matches('*').count().max(1);
            if stream.write_all(answer.repeat(commands).as_bytes()).is_err() {
                return;
            }
        }
    };
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(repeat));
    port
}

#[test]
fn a_server_at_work_logs_no_secret() {
    let folder = Folder::new("no-secret");
    let file = folder.file("headers");
    fs::write(&file, format!("authorization=Bearer {CANARY}")).unwrap();
    let port = repeating();
    let proxy = format!("http://user:{CANARY}@127.0.0.1:9");
    let mut server = Server::start(&[
        ("MLOPS_LOG_LEVEL", "TRACE"),
        ("MLOPS_API_KEY", CANARY),
        ("MLOPS_REDIS_ENABLED", "true"),
        ("MLOPS_REDIS_HOST", "127.0.0.1"),
        ("MLOPS_REDIS_PORT", &port),
        ("MLOPS_REDIS_PASSWORD", CANARY),
        ("MLOPS_OTLP_ENDPOINT", "http://collector.invalid:4318"),
        ("MLOPS_OTLP_HEADERS_FILE", file.to_str().unwrap()),
        ("HTTP_PROXY", &proxy),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ]);
    assert_eq!(status(&server, Some(CANARY)), 200);
    assert_eq!(status(&server, Some(&format!("{CANARY}x"))), 401);
    let bearer = server.agent.get(server.url("/model-info")).header("authorization", format!("Bearer {CANARY}"));
    assert_eq!(bearer.call().unwrap().status(), 200);
    let query = server.agent.get(server.url(&format!("/model-info?key={CANARY}"))).call().unwrap();
    assert_eq!(query.status(), 401);
    server.line("traces can't be sent and are dropped until they can");
    let mut shown = vec![server.scrape()];
    for path in ["/health/details", "/openapi.json"] {
        shown.push(server.get(path).body_mut().read_to_string().unwrap());
    }
    eventually("Redis is tried", || {
        let details = json(&mut server.get("/health/details")).to_string();
        let tried = !details.contains("not connected yet");
        shown.push(details);
        tried
    });
    server.signal("INT");
    server.exit(Duration::from_secs(20));
    shown.extend(server.lines_to_the_end().iter().map(ToString::to_string));
    for text in shown {
        assert!(!text.contains(CANARY), "{text}");
    }
}

#[test]
fn the_command_line_tells_of_files_and_shows_no_secret() {
    let folder = Folder::new("print");
    let file = folder.file("keys");
    fs::write(&file, format!("shop: {CANARY}")).unwrap();
    let path = file.to_str().unwrap();
    let output = |argument: &str, settings: &[(&str, &str)]| {
        String::from_utf8(command(settings).arg(argument).output().unwrap().stdout).unwrap()
    };
    let printed = output("--print-config", &[("MLOPS_API_KEY_FILE", path), ("MLOPS_REDIS_PASSWORD", CANARY)]);
    assert!(printed.contains(&format!("MLOPS_API_KEY_FILE={path} ")), "{printed}");
    assert!(printed.contains("MLOPS_REDIS_PASSWORD=*** ") && !printed.contains(CANARY), "{printed}");
    assert!(Path::new(path).is_file());
    let help = output("--help", &[]);
    for name in ["MLOPS_API_KEY_FILE", "MLOPS_REDIS_PASSWORD_FILE", "MLOPS_OTLP_HEADERS_FILE"] {
        assert!(help.contains(name), "{name}");
    }
}
