//! The second level of the cache, with a real Redis.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::common::{self, Folder, Server, default_model, fixture, json, redis::Redis};

/// A server that uses this Redis, as soon as it does.
fn server(redis: &Redis, settings: &[(&str, &str)]) -> Server {
    let server = Server::start(&with_redis(redis, settings));
    until("Redis is used", || number(&server, "sentiment_redis_breaker_open") == 0);
    server
}

fn with_redis<'a>(redis: &'a Redis, settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![
        ("MLOPS_REDIS_ENABLED", "true"),
        ("MLOPS_REDIS_HOST", "127.0.0.1"),
        ("MLOPS_REDIS_PORT", redis.port.as_str()),
        ("MLOPS_THREADS", "1"),
        // A machine that runs other tests too may be slow; what is tested is not how fast it is.
        ("MLOPS_REDIS_LOOKUP_TIMEOUT_MS", "5000"),
    ];
    all.extend_from_slice(settings);
    all
}

fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !reached() {
        assert!(Instant::now() < deadline, "not within 40 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The value of a counter; 0 when it isn't there.
fn number(server: &Server, series: &str) -> u64 {
    server.series(series).unwrap_or(0)
}

/// Predicts a text that isn't kept, and waits until Redis has the answer.
fn predict_and_keep(server: &Server, text: &str) -> Value {
    let written = number(server, "sentiment_redis_writes_total");
    let answer = server.predict(text);
    assert_eq!(answer["cached"], false, "{answer}");
    until("the answer is written", || number(server, "sentiment_redis_writes_total") > written);
    answer
}

/// What `/health/details` says of Redis: status and error.
fn health(server: &Server) -> (String, String) {
    let details = json(&mut server.get("/health/details"));
    let components = details["dependencies"].as_array().unwrap();
    let redis = components.iter().find(|component| component["component_name"] == "redis").unwrap();
    assert_eq!(details["status"], redis["details"]["status"]);
    let text = |field: &str| redis["details"][field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("error"))
}

/// The cause for which a server doesn't use Redis, once it has tried.
fn problem(server: &Server) -> String {
    let mut found = (String::new(), "not connected yet".to_owned());
    until("Redis was tried", || {
        found = health(server);
        found.1 != "not connected yet"
    });
    assert_eq!(found.0, "degraded");
    found.1
}

#[test]
fn a_second_process_answers_from_redis() {
    let redis = Redis::start("second", &[]);
    let first = server(&redis, &[]);
    let answer = predict_and_keep(&first, "A delight from start to end");
    assert_eq!(first.predict("A delight from start to end")["cached"], true);
    assert_eq!(number(&first, "sentiment_redis_hits_total"), 0, "memory was not asked first");

    let key = redis.only_key();
    assert!(key.starts_with("kubesentiment:prediction:v2:") && !key.contains("delight"), "{key}");
    let ttl: u64 = redis.cli(&["TTL", &key]).parse().unwrap();
    assert!((3500..=3600).contains(&ttl), "{ttl}");

    let second = server(&redis, &[]);
    for hits in [1, 1] {
        let shared = second.predict("A delight from start to end");
        assert_eq!((&shared["label"], &shared["score"]), (&answer["label"], &answer["score"]));
        assert_eq!((&shared["cached"], &shared["inference_time_ms"]), (&true.into(), &0.0.into()));
        assert_eq!(number(&second, "sentiment_redis_hits_total"), hits, "what Redis said was not kept in memory");
    }
    assert_eq!(number(&second, "sentiment_cache_misses_total"), 0);

    // What was cut is said by the one that finds the answer, too.
    let long = "A delight ".repeat(600);
    assert_eq!(predict_and_keep(&first, &long)["truncated"], true);
    let shared = second.predict(&long);
    assert_eq!((&shared["truncated"], &shared["cached"]), (&true.into(), &true.into()));

    let body = r#"{"texts":["A delight from start to end","A bore from end to start"]}"#;
    let third = server(&redis, &[]);
    let results = json(&mut third.post("/predict/batch", body));
    assert_eq!((&results["results"][0]["cached"], &results["results"][1]["cached"]), (&true.into(), &false.into()));
    assert_eq!(health(&third), ("healthy".to_owned(), String::new()));
}

#[test]
fn other_settings_another_model_and_another_namespace_share_nothing() {
    let redis = Redis::start("other", &[]);
    predict_and_keep(&server(&redis, &[]), "hello there");
    let model = fixture("three-labels");
    for setting in [
        ("MLOPS_REDIS_NAMESPACE", "other"),
        ("MLOPS_REDIS_DB", "1"),
        ("MLOPS_LONG_TEXTS", "windows"),
        ("MLOPS_SPLIT_SPECIAL_TOKENS", "false"),
        ("MLOPS_MAX_TOKENS", "32"),
        ("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap()),
    ] {
        let server = server(&redis, &[setting]);
        assert_eq!(server.predict("hello there")["cached"], false, "{setting:?}");
        assert_eq!(number(&server, "sentiment_redis_misses_total"), 1, "{setting:?}");
    }
}

#[test]
fn servers_that_leave_other_labels_out_share_nothing() {
    let redis = Redis::start("dropped", &[]);
    let model = fixture("three-labels");
    let server = |more: &[(&str, &str)]| {
        let mut settings = vec![("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap())];
        settings.extend(more);
        server(&redis, &settings)
    };
    assert_eq!(predict_and_keep(&server(&[]), "fine good fine")["label"], "fine");
    assert_eq!(predict_and_keep(&server(&[("MLOPS_DROP_LABELS", "fine")]), "fine good fine")["label"], "good");
    assert_eq!(predict_and_keep(&server(&[("MLOPS_DROP_LABELS", "bad")]), "fine good fine")["label"], "fine");
    // It is the class that counts, and not how it is called.
    let settings = [("MLOPS_LABELS", "no,maybe,yes"), ("MLOPS_DROP_LABELS", "MAYBE")];
    for (settings, label) in [(&settings[..], "yes"), (&[][..], "fine")] {
        let found = server(settings).predict("fine good fine");
        assert_eq!((&found["label"], &found["cached"]), (&label.into(), &true.into()), "{settings:?}");
    }
}

#[test]
fn how_outputs_are_read_is_each_servers_own_affair() {
    let redis = Redis::start("read", &[]);
    predict_and_keep(&server(&redis, &[]), "A delight from start to end");
    for (setting, label) in [(("MLOPS_LABELS", "bad,fair,good"), "good"), (("MLOPS_NEUTRAL_BAND", "0.9999"), "NEUTRAL")]
    {
        let found = server(&redis, &[setting]).predict("A delight from start to end");
        assert_eq!((&found["label"], &found["cached"]), (&label.into(), &true.into()), "{setting:?}");
    }
}

#[test]
fn however_its_path_is_written_a_model_has_one_identity() {
    let redis = Redis::start("path", &[]);
    let answer = predict_and_keep(&server(&redis, &[]), "hello there");
    let (folder, above) = (default_model(), default_model().join(".."));
    for (from, path) in [
        (&folder, "model.onnx"),
        (&folder, "./model.onnx"),
        (&folder, "."),
        (&above, "default"),
        (&above, "default/"),
        (&above, "./default/../default/model.onnx"),
    ] {
        let mut command = common::command(&with_redis(&redis, &[("MLOPS_ONNX_MODEL_PATH", path)]));
        command.current_dir(from);
        let server = Server::of(command);
        until("Redis is used", || number(&server, "sentiment_redis_breaker_open") == 0);
        let found = server.predict("hello there");
        assert_eq!((&found["score"], &found["cached"]), (&answer["score"], &true.into()), "{path}");
    }
}

#[test]
fn a_large_batch_is_found_as_a_whole() {
    let redis = Redis::start("batch", &[]);
    let texts: Vec<String> = (0..300).map(|number| format!("text {number}")).collect();
    let body = serde_json::json!({ "texts": texts }).to_string();
    let labels_and_scores = |answer: &Value| -> Vec<(Value, Value)> {
        let results = answer["results"].as_array().unwrap();
        results.iter().map(|result| (result["label"].clone(), result["score"].clone())).collect()
    };
    let first = server(&redis, &[]);
    let run = json(&mut first.post("/predict/batch", &body));
    until("all answers are written", || redis.cli(&["DBSIZE"]) == "300");

    // Fewer lookups at once than texts of a batch: the rest waits.
    let second = server(&redis, &[("MLOPS_REDIS_MAX_CONNECTIONS", "3")]);
    let found = json(&mut second.post("/predict/batch", &body));
    assert_eq!(number(&second, "sentiment_redis_hits_total"), 300);
    assert_eq!(labels_and_scores(&found), labels_and_scores(&run));
}

#[test]
fn an_answer_is_gone_after_its_time() {
    let redis = Redis::start("ttl", &[]);
    let settings = [("MLOPS_REDIS_PREDICTION_CACHE_TTL", "1"), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")];
    let server = server(&redis, &settings);
    predict_and_keep(&server, "soon forgotten");
    until("Redis has forgotten it", || redis.cli(&["DBSIZE"]) == "0");
    assert_eq!(server.predict("soon forgotten")["cached"], false);
}

#[test]
fn redis_serves_without_the_cache_in_memory() {
    let redis = Redis::start("alone", &[]);
    let server = server(&redis, &[("MLOPS_PREDICTION_CACHE_ENABLED", "false")]);
    predict_and_keep(&server, "kept elsewhere");
    for hits in [1, 2] {
        assert_eq!(server.predict("kept elsewhere")["cached"], true);
        assert_eq!(number(&server, "sentiment_redis_hits_total"), hits);
    }
    let info = json(&mut server.get("/model-info"));
    assert_eq!(
        (&info["cache_enabled"], &info["cache_size"], &info["cache_maxsize"]),
        (&true.into(), &0.into(), &0.into())
    );
}

#[test]
fn a_password_and_a_user_of_redis_access_control() {
    let login = ["--no-auth-warning", "-a", "open sesame"];
    let redis = Redis::start_with_login("password", &["--requirepass", "open sesame"], &login);
    let rights = ["ACL", "SETUSER", "reader", "on", ">secret2", "~shop:*", "+getrange", "+set"];
    assert_eq!(redis.cli(&rights), "OK");

    let by_password = server(&redis, &[("MLOPS_REDIS_PASSWORD", "open sesame")]);
    predict_and_keep(&by_password, "for whoever knows the word");
    let user =
        [("MLOPS_REDIS_USERNAME", "reader"), ("MLOPS_REDIS_PASSWORD", "secret2"), ("MLOPS_REDIS_NAMESPACE", "shop")];
    predict_and_keep(&server(&redis, &user), "with no more rights than needed");

    let wrong = [("MLOPS_REDIS_PASSWORD", "wrong guess")];
    for (settings, expected) in [(&wrong[..], "refuses the username or the password"), (&[], "NOAUTH")] {
        let mut server = Server::start(&with_redis(&redis, settings));
        let problem = problem(&server);
        assert!(problem.contains(expected), "{problem}");
        assert_eq!(server.get("/ready").status(), 200);
        assert_eq!(server.predict("served all the same")["cached"], false);
        server.signal("INT");
        server.exit(Duration::from_secs(10));
        for line in server.lines_to_the_end() {
            assert!(!line.to_string().contains("wrong guess"), "{line}");
        }
    }
}

#[test]
fn a_password_in_a_file_is_what_it_is_now_at_each_login() {
    let redis =
        Redis::start_with_login("password-file", &["--requirepass", "one"], &["--no-auth-warning", "-a", "one"]);
    let folder = Folder::new("redis-password");
    let file = folder.file("password");
    fs::write(&file, "not yet\n").unwrap();
    let settings = [("MLOPS_REDIS_PASSWORD_FILE", file.to_str().unwrap())];
    let server = Server::start(&with_redis(&redis, &settings));
    assert!(problem(&server).contains("refuses the username or the password"));
    fs::write(&file, "one\n").unwrap();
    until("Redis is used", || number(&server, "sentiment_redis_breaker_open") == 0);
}

fn openssl(folder: &Folder, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(&folder.0).output();
    let output = output.unwrap_or_else(|error| panic!("openssl can't be run ({error}): install it"));
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority `ca.crt`, and a certificate `redis.crt` of its for 127.0.0.1.
fn certificates(folder: &Folder) {
    openssl(folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority");
    openssl(folder, "req -newkey rsa:2048 -nodes -keyout redis.key -out redis.csr -subj /CN=redis");
    fs::write(folder.file("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(folder, "x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -days 2 -extfile names -out redis.crt");
}

#[test]
fn tls_with_an_authority_that_is_trusted_and_not_otherwise() {
    let folder = Folder::new("redis-tls-certificates");
    certificates(&folder);
    let path = |name: &str| folder.file(name).to_str().unwrap().to_owned();
    let (authority, certificate, key) = (path("ca.crt"), path("redis.crt"), path("redis.key"));
    let tls = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no"];
    let files = ["--tls-ca-cert-file", &authority, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let redis = Redis::start_with_login("tls", &[&tls[..], &files].concat(), &["--tls", "--cacert", &authority]);

    let trusting = [("MLOPS_REDIS_TLS", "true"), ("MLOPS_REDIS_TLS_CA", authority.as_str())];
    predict_and_keep(&server(&redis, &trusting), "for your eyes only");
    assert_eq!(server(&redis, &trusting).predict("for your eyes only")["cached"], true);

    // Of another name, by an authority that the system doesn't know, and without TLS.
    let other_name = [trusting[0], trusting[1], ("MLOPS_REDIS_HOST", "localhost")];
    let other_authority = [("MLOPS_REDIS_TLS", "true"), ("SSL_CERT_FILE", certificate.as_str())];
    // How a connection ends that doesn't begin with TLS is a matter of who is quicker.
    let in_the_clear = ["closed", "reset", "Broken pipe"];
    let cases: [(&[_], &[_]); 3] =
        [(&other_name, &["not valid for name"]), (&other_authority, &["UnknownIssuer"]), (&[], &in_the_clear)];
    for (settings, expected) in cases {
        let server = Server::start(&with_redis(&redis, settings));
        let problem = problem(&server);
        assert!(expected.iter().any(|words| problem.contains(words)), "{problem}");
        assert_eq!(server.predict("for your eyes only")["cached"], false);
    }
}

#[test]
fn killed_in_mid_load_no_caller_sees_it_and_it_comes_back() {
    let mut redis = Redis::start("killed", &[]);
    let mut server = server(&redis, &[]);
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for caller in 0..4 {
            let (server, stop, answered) = (&server, &stop, &answered);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // Fails the test on any status but 200.
                    server.predict(&format!("text {round} of caller {caller}"));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let more = |count: usize| {
            let before = answered.load(Ordering::Relaxed);
            until("more answers", || answered.load(Ordering::Relaxed) >= before + count);
        };
        more(20);
        redis.kill();
        until("the breaker opens", || number(&server, "sentiment_redis_breaker_open") == 1);
        let bypassed = number(&server, "sentiment_redis_bypassed_total");
        more(20);
        assert!(number(&server, "sentiment_redis_bypassed_total") > bypassed);
        assert_eq!(health(&server).0, "degraded");
        redis.start_again();
        until("the breaker closes", || number(&server, "sentiment_redis_breaker_open") == 0);
        let written = number(&server, "sentiment_redis_writes_total");
        until("Redis is written to again", || number(&server, "sentiment_redis_writes_total") > written);
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(health(&server), ("healthy".to_owned(), String::new()));

    server.signal("INT");
    server.exit(Duration::from_secs(10));
    let told: Vec<String> = server
        .lines_to_the_end()
        .iter()
        .filter_map(|line| line["message"].as_str())
        .filter(|message| message.contains("Redis is"))
        .map(str::to_owned)
        .collect();
    // The first "used" may have come before the line that the start waits for.
    let told = told.iter().map(String::as_str).skip_while(|message| *message == "Redis is used");
    assert_eq!(told.collect::<Vec<_>>(), ["Redis is not used until it answers again", "Redis is used"]);
}

#[test]
fn a_redis_that_hangs_is_not_waited_for_again_and_again() {
    let redis = Redis::start("hangs", &[]);
    let server = server(&redis, &[("MLOPS_REDIS_LOOKUP_TIMEOUT_MS", "200")]);
    predict_and_keep(&server, "before");
    redis.signal("STOP");
    for number in 0..5 {
        assert_eq!(server.predict(&format!("meanwhile {number}"))["cached"], false);
    }
    let timeouts = number(&server, r#"sentiment_redis_errors_total{kind="timeout"}"#);
    assert!((1..=3).contains(&timeouts), "{timeouts} lookups waited");
    until("the breaker is open", || number(&server, "sentiment_redis_breaker_open") == 1);
    redis.signal("CONT");
    until("the breaker closes", || number(&server, "sentiment_redis_breaker_open") == 0);
    predict_and_keep(&server, "after");
}

#[test]
fn what_others_wrote_under_a_key_is_not_believed() {
    let redis = Redis::start("garbage", &[]);
    let first = server(&redis, &[]);
    let answer = predict_and_keep(&first, "a fine day");
    let key = redis.only_key();
    let bad_values = r#"sentiment_redis_errors_total{kind="bad_value"}"#;
    for value in ["garbage", r#"{"label":"POSITIVE","score":0.5}"#, r#"{"logits":[0.5]}"#] {
        assert_eq!(redis.cli(&["SET", &key, value]), "OK");
        let server = server(&redis, &[]);
        let found = server.predict("a fine day");
        assert_eq!((&found["label"], &found["cached"]), (&answer["label"], &false.into()), "{value}");
        assert_eq!(number(&server, bad_values), 1);
    }
    // A hundred megabytes of zeros.
    assert_eq!(redis.cli(&["SETRANGE", &key, "100000000", "0"]), "100000001");
    let server = server(&redis, &[]);
    let resident = number(&server, "process_resident_memory_bytes");
    assert_eq!(server.predict("a fine day")["label"], answer["label"]);
    assert_eq!(number(&server, bad_values), 1);
    assert!(number(&server, "process_resident_memory_bytes") < resident + 50_000_000);
}

#[test]
fn a_redis_that_takes_nothing_is_still_read_and_one_line_says_so() {
    let redis = Redis::start("full", &[]);
    let full = server(&redis, &[]);
    predict_and_keep(&full, "kept before");
    let dropped = |count: u64| {
        until("the answer is dropped", || number(&full, "sentiment_redis_writes_dropped_total") == count);
    };

    assert_eq!(redis.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    full.predict("not kept");
    assert!(full.line("Redis takes no answers")["problem"].as_str().unwrap().contains("OOM"));
    full.predict("not kept either");
    dropped(2);
    assert_eq!(number(&full, "sentiment_redis_breaker_open"), 0);
    assert_eq!(server(&redis, &[]).predict("kept before")["cached"], true);
    assert_eq!(redis.cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    predict_and_keep(&full, "kept after");
    full.line("Redis takes answers again");

    // After a failover the old primary is a replica: another connection is made, by name.
    let connections = |redis: &Redis| -> u64 {
        let stats = redis.cli(&["INFO", "stats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse().unwrap()
    };
    let before = connections(&redis);
    assert_eq!(redis.cli(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
    full.predict("refused");
    assert!(full.line("Redis takes no answers")["problem"].as_str().unwrap().contains("READONLY"));
    // Each look is a connection itself.
    let mut looks = 1;
    until("another connection", || {
        looks += 1;
        connections(&redis) > before + looks
    });
    assert_eq!(redis.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    predict_and_keep(&full, "taken again");
}

#[test]
fn redis_may_come_later_than_the_server() {
    let mut redis = Redis::start("later", &[]);
    redis.kill();
    let server = Server::start(&with_redis(&redis, &[]));
    let problem = problem(&server);
    assert!(problem.contains("refused"), "{problem}");
    assert_eq!(server.predict("a text")["cached"], false);
    redis.start_again();
    until("Redis is used", || number(&server, "sentiment_redis_breaker_open") == 0);
    predict_and_keep(&server, "another text");
}
