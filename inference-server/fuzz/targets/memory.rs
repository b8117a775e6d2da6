//! What reading a body costs: three times its bytes at most, whatever its shape, route and coding. The first byte
//! chooses the route, the second the coding. What is left is a compressed body, or zeros part it into a start, a
//! part that is repeated until the body is large enough to tell its price, and an end.

#![no_main]

use std::{
    alloc::{GlobalAlloc, Layout as Block, System},
    convert::Infallible,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{Request, header},
};
use engine::{Classify, Cost, Encoding, Engine, Input, Layout, Profile, Tokenize, TokenizeError, Tokens};
use futures::stream;
use inference_server::{
    config::Config,
    http::{App, router},
    predict::ServedModel,
};
use libfuzzer_sys::fuzz_target;
use model::Head;
use tokio::runtime::Runtime;
use tower_service::Service;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Routes and the bytes that they take.
const ROUTES: [(&str, usize); 11] = [
    ("/api/v1/predict", 128 * KIB),
    ("/api/v1/predict/batch", 6 * MIB),
    ("/api/v1/batch/predict", 6 * MIB),
    ("/api/v1/explain", 128 * KIB),
    ("/api/v1/feedback", 256 * KIB),
    ("/v2/models/default/infer", 6 * MIB),
    ("/v2/repository/index", 64 * KIB),
    ("/v1/models/default:predict", 6 * MIB),
    ("/predict", 6 * MIB),
    ("/", 6 * MIB),
    ("/classify", 6 * MIB),
];

const CODINGS: [&str; 5] = ["", "gzip", "deflate", "br", "zstd"];

/// Bytes of a body with a repeated part, but for routes that take less.
const LARGE: usize = MIB;

/// A connection's data comes in parts.
const PART: usize = 16 * KIB;

/// A thousand problems, rows or results, and the answer that they become.
const ALLOWANCE: usize = MIB;

/// Tables of a decoder beside that.
const DECODER: usize = 4 * MIB;

/// Counts what is allocated, and the most that it was.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    fn take(bytes: usize) {
        PEAK.fetch_max(HELD.fetch_add(bytes, Relaxed) + bytes, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, block: Block) -> *mut u8 {
        Self::take(block.size());
        // SAFETY: the caller keeps the rules.
        unsafe { System.alloc(block) }
    }

    unsafe fn alloc_zeroed(&self, block: Block) -> *mut u8 {
        Self::take(block.size());
        // SAFETY: the caller keeps the rules.
        unsafe { System.alloc_zeroed(block) }
    }

    unsafe fn dealloc(&self, at: *mut u8, block: Block) {
        HELD.fetch_sub(block.size(), Relaxed);
        // SAFETY: the caller keeps the rules.
        unsafe { System.dealloc(at, block) }
    }

    unsafe fn realloc(&self, at: *mut u8, block: Block, size: usize) -> *mut u8 {
        // A large block is moved by its pages, so that it isn't there twice.
        if size > block.size() {
            Self::take(size - block.size());
        } else {
            HELD.fetch_sub(block.size() - size, Relaxed);
        }
        // SAFETY: the caller keeps the rules.
        unsafe { System.realloc(at, block, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct NoModel;

impl Tokenize for NoModel {
    fn tokenize(&self, _: &Input<'_>) -> Result<Encoding, TokenizeError> {
        Ok(Encoding { windows: vec![Tokens { ids: vec![1], type_ids: None }], truncated: false })
    }

    fn most_tokens(&self) -> usize {
        512
    }
}

impl Classify for NoModel {
    fn profile(&self) -> Profile {
        let cost = Cost { run: Duration::ZERO, token: Duration::from_micros(1) };
        Profile { layout: Layout::Padded, is_quantized: false, most_texts: None, fixed_tokens: None, cost }
    }

    fn classify(&mut self, batch: &[&Tokens]) -> Result<Vec<Vec<f32>>, String> {
        Ok(batch.iter().map(|_| vec![1.0, 0.0]).collect())
    }

    fn return_memory(&mut self) {}
}

static SERVER: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let settings = [
        ("MLOPS_MAX_TEXT_LENGTH", "10000"),
        // What is kept beyond a request isn't what reading it costs.
        ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
        ("MLOPS_DRIFT_DETECTION_ENABLED", "false"),
    ];
    let environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = Config::read(&environment).expect("the settings are good");
    let tokenizer: Arc<dyn Tokenize> = Arc::new(NoModel);
    let app = Arc::new(App::new(config));
    let engine =
        Engine::start(&app.config.engine, 1, &tokenizer, || Box::new(NoModel), Arc::clone(&app.metrics.engine))
            .expect("threads start");
    let head = Head::single_label(&["NEGATIVE", "POSITIVE"]);
    let model = ServedModel::new("default", engine, head, tokenizer, 1);
    app.predictor.serve(Arc::new(model));
    let runtime = Runtime::new().expect("threads start");
    (runtime, router(&app))
});

/// The body that an input stands for.
fn body(data: &[u8], most: usize) -> Vec<u8> {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let (Some(start), Some(part), Some(end)) = (parts.next(), parts.next(), parts.next()) else {
        return data.to_vec();
    };
    let room = most.saturating_sub(start.len() + end.len());
    let times = if part.is_empty() { 0 } else { room / part.len() };
    [start, &part.repeat(times), end].concat()
}

fuzz_target!(|data: &[u8]| {
    let [route, coding, data @ ..] = data else { return };
    let (route, most) = ROUTES[usize::from(*route) % ROUTES.len()];
    let coding = CODINGS[usize::from(*coding) % CODINGS.len()];
    let body = Bytes::from(if coding.is_empty() { body(data, most.min(LARGE)) } else { data.to_vec() });
    let (runtime, router) = &*SERVER;

    let parts = (0..body.len()).step_by(PART).map(|at| body.slice(at..body.len().min(at + PART)));
    let parts: Vec<Result<Bytes, Infallible>> = parts.map(Ok).collect();
    let mut request = Request::post(route);
    if !coding.is_empty() {
        request = request.header(header::CONTENT_ENCODING, coding);
    }
    let request = request.body(Body::from_stream(stream::iter(parts))).expect("a request");
    let router = router.clone();

    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let (status, answer) = runtime.block_on(async {
        let response = router.clone().call(request).await.expect("a router can't fail");
        let status = response.status();
        (status, to_bytes(response.into_body(), usize::MAX).await.expect("a body from memory"))
    });
    let took = PEAK.load(Relaxed).saturating_sub(before);
    let bound = if coding.is_empty() { 3 * body.len() + ALLOWANCE } else { 3 * most + ALLOWANCE + DECODER };
    assert!(took <= bound, "{route} took {took} bytes for {} and answered {status}", body.len());
    assert!(answer.len() <= ALLOWANCE, "{route} answers {} bytes to {}", answer.len(), body.len());
});
