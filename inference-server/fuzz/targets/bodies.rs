//! Any bytes as the body of any route that takes one: the real router, tokenizer and engine, with a
//! classifier that counts in place of the model. The first byte chooses the route.

#![no_main]

use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, header},
};
use engine::{Classify, Cost, Engine, Layout, Profile, Tokenize, Tokens};
use inference_server::{
    cache::Cache,
    config::Config,
    drift::Monitor,
    http::{App, router},
    predict::ServedModel,
};
use libfuzzer_sys::fuzz_target;
use model::{Head, LongTexts, Reading, Tokenizer, TokenizerFiles};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower_service::Service;

const ROUTES: [&str; 12] = [
    "/api/v1/predict",
    "/api/v1/predict/batch",
    "/api/v1/batch/predict",
    "/api/v1/explain",
    "/api/v1/feedback",
    "/v2/models/default/infer",
    "/v2/repository/index",
    "/v1/models/default:predict",
    "/predict",
    "/",
    "/classify",
    BINARY,
];

/// As the route before its `#`, with a body of which the second byte says how many bytes are JSON.
const BINARY: &str = "/v2/models/default/infer#binary";

/// What a body may be answered with. 500 and 504 are not among these.
const STATUSES: [u16; 10] = [200, 201, 202, 400, 404, 413, 415, 422, 503, 507];

struct Counting;

impl Classify for Counting {
    fn profile(&self) -> Profile {
        let cost = Cost { run: Duration::ZERO, token: Duration::from_micros(1) };
        Profile { layout: Layout::Padded, is_quantized: false, most_texts: None, fixed_tokens: None, cost }
    }

    fn classify(&mut self, batch: &[&Tokens]) -> Result<Vec<Vec<f32>>, String> {
        Ok(batch.iter().map(|text| vec![text.ids.len() as f32, 9.0]).collect())
    }

    fn return_memory(&mut self) {}
}

const READING: Reading = Reading { max_tokens: 512, long_texts: LongTexts::Cut, split_special_tokens: true };

static SERVER: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default");
    let settings = [("MLOPS_MAX_TEXT_LENGTH", "10000"), ("MLOPS_ASYNC_BATCH_ENABLED", "true")];
    let environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = Config::read(&environment).expect("the settings are good");
    let tokenizer: Arc<dyn Tokenize> = Arc::new(
        Tokenizer::load(&TokenizerFiles::Whole(model.join("tokenizer.json")), READING)
            .expect("the default model's tokenizer is good"),
    );
    let app = Arc::new(App::new(config));
    let engine =
        Engine::start(&app.config.engine, 1, &tokenizer, || Box::new(Counting), Arc::clone(&app.metrics.engine))
            .expect("threads start");
    let head = Head::single_label(&["NEGATIVE", "POSITIVE"]);
    let mut model = ServedModel::new("default", engine, head, tokenizer, 1);
    model.cache = Cache::of(&app.config, &app.metrics.cache);
    model.drift = app.config.drift.clone().map(Monitor::new);
    if let Some(drift) = &model.drift {
        drift.start(model.head.answers(), None);
    }
    app.predictor.serve(Arc::new(model));
    let runtime = Runtime::new().expect("threads start");
    (runtime, router(&app))
});

fuzz_target!(|data: &[u8]| {
    let Some((route, body)) = data.split_first() else { return };
    let route = ROUTES[usize::from(*route) % ROUTES.len()];
    let (runtime, router) = &*SERVER;
    let mut request = Request::post(route.trim_end_matches("#binary"));
    let mut body = body;
    if route == BINARY
        && let Some((length, rest)) = body.split_first()
    {
        request = request.header("inference-header-content-length", usize::from(*length));
        body = rest;
    }
    let request = request.body(Body::from(body.to_vec())).expect("a request");
    let (parts, body) = runtime.block_on(async {
        let response = router.clone().call(request).await.expect("a router can't fail");
        let (parts, body) = response.into_parts();
        (parts, to_bytes(body, usize::MAX).await.expect("a body from memory"))
    });
    let status = parts.status.as_u16();
    assert!(STATUSES.contains(&status), "{route} is answered {status}: {}", String::from_utf8_lossy(&body));
    if parts.headers[header::CONTENT_TYPE] == "application/octet-stream" {
        assert!(status == 200 && parts.headers.contains_key("inference-header-content-length"), "{route} {status}");
        return;
    }
    assert_eq!(parts.headers[header::CONTENT_TYPE], "application/json");
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    if status >= 400 {
        let sentence = match route {
            "/classify" => &answer["error"]["message"],
            _ if route.starts_with("/api") => &answer["detail"],
            _ => &answer["error"],
        };
        assert!(sentence.as_str().is_some_and(|sentence| !sentence.is_empty()), "{answer}");
    }
});
