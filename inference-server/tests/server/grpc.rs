//! The Open Inference Protocol over gRPC, with a client of tonic's.

mod client;

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use client::{Inference, NAME, channel, labels, raw, request};
use futures::{StreamExt, future::join_all, stream};
use inference_server::grpc::proto::{
    ModelConfigRequest, ModelInferRequest, ModelMetadataRequest, ModelReadyRequest, ModelStatisticsRequest,
    RepositoryIndexRequest, ServerLiveRequest, ServerMetadataRequest, ServerReadyRequest,
    grpc_inference_service_client::GrpcInferenceServiceClient, model_infer_request::InferRequestedOutputTensor,
};
use tonic::{Code, Request, Status, metadata::MetadataValue};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{
    v1::{self, server_reflection_client::ServerReflectionClient},
    v1alpha,
};
use tonic_types::StatusExt;

use crate::common::{self, Server, fixture};

/// A model that loads in a moment.
fn start(settings: &[(&str, &str)]) -> Server {
    let model = fixture("three-labels");
    let mut all = vec![("MLOPS_ONNX_MODEL_PATH", model.to_str().unwrap()), ("MLOPS_MODEL_NAME", NAME)];
    all.extend(settings);
    Server::start(&all)
}

async fn connect(server: &Server) -> Inference {
    GrpcInferenceServiceClient::new(channel(server).await)
}

async fn refused(client: &mut Inference, request: ModelInferRequest) -> (Code, String) {
    let status = client.model_infer(request).await.unwrap_err();
    (status.code(), status.message().to_owned())
}

async fn health(server: &Server, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(channel(server).await).check(request).await?.into_inner().status())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_and_the_server_are_described() {
    let server = start(&[]);
    let mut client = connect(&server).await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let (name, version) = (NAME.to_owned(), "1".to_owned());
    let asked = ModelReadyRequest { name: name.clone(), version: version.clone() };
    assert!(client.model_ready(asked).await.unwrap().into_inner().ready);
    let metadata = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(metadata.name, "KubeSentiment");

    let asked = ModelMetadataRequest { name: name.clone(), version: String::new() };
    let model = client.model_metadata(asked).await.unwrap().into_inner();
    assert_eq!((model.platform.as_str(), model.versions), ("onnxruntime_onnx", vec![version.clone()]));
    let outputs: Vec<_> = model.outputs.iter().map(|output| (output.name.as_str(), output.shape.as_slice())).collect();
    let (each, of_three): (&[i64], &[i64]) = (&[-1], &[-1, 3]);
    assert_eq!(
        outputs,
        [("label", each), ("score", each), ("truncated", each), ("probabilities", of_three), ("logits", of_three)]
    );
    let asked = ModelConfigRequest { name: name.clone(), version: version.clone() };
    let config = client.model_config(asked).await.unwrap().into_inner().config.unwrap();
    assert_eq!((config.backend.as_str(), config.input.len(), config.output.len()), ("onnxruntime", 1, 5));
    let index = client.repository_index(RepositoryIndexRequest::default()).await.unwrap().into_inner();
    assert_eq!((index.models[0].name.as_str(), index.models[0].state.as_str()), (NAME, "READY"));

    client.model_infer(request(&["good", "bad"])).await.unwrap();
    client.model_infer(request(&[])).await.unwrap_err();
    let asked = ModelStatisticsRequest::default();
    let statistics = client.model_statistics(asked).await.unwrap().into_inner().model_stats.remove(0);
    let of = statistics.inference_stats.unwrap();
    assert_eq!((statistics.inference_count, of.success.unwrap().count, of.compute_infer.unwrap().count), (2, 2, 2));

    for (name, version) in [("other", "1"), (NAME, "2")] {
        let asked = ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
        assert_eq!(client.model_ready(asked).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_and_raw_answers_are_those_of_rest() {
    let server = start(&[]);
    let mut client = connect(&server).await;
    let texts = ["it is good", "it is bad", "it is fine"];
    let expected: Vec<String> =
        texts.iter().map(|text| server.predict(text)["label"].as_str().unwrap().to_owned()).collect();
    let typed = client.model_infer(request(&texts)).await.unwrap();
    assert!(typed.metadata().get("x-correlation-id").is_some());
    let typed = typed.into_inner();
    assert_eq!(labels(&typed), expected);
    assert_eq!((typed.id.as_str(), typed.outputs.len(), typed.outputs[0].shape.as_slice()), ("7", 3, &[3][..]));

    let mut wanted = raw(request(&texts));
    wanted.outputs = ["probabilities", "label"]
        .map(|name| InferRequestedOutputTensor { name: name.to_owned(), ..InferRequestedOutputTensor::default() })
        .into();
    let raw = client.model_infer(wanted).await.unwrap().into_inner();
    assert_eq!(raw.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["probabilities", "label"]);
    assert!(raw.outputs.iter().all(|output| output.contents.is_none()));
    assert_eq!((raw.raw_output_contents[0].len(), raw.outputs[0].shape.as_slice()), (3 * 3 * 4, &[3, 3][..]));
    let expected: Vec<u8> = expected
        .iter()
        .flat_map(|label| [&u32::try_from(label.len()).unwrap().to_le_bytes(), label.as_bytes()].concat())
        .collect();
    assert_eq!(raw.raw_output_contents[1], expected);
    let scrape = server.scrape();
    let line = "sentiment_grpc_requests_total{method=\"/inference.GRPCInferenceService/ModelInfer\",code=\"OK\"}";
    assert_eq!(common::series::<u64>(&scrape, line), Some(2), "{scrape}");
    assert_eq!(common::series::<u64>(&scrape, "sentiment_predictions_total{protocol=\"grpc\"}"), Some(6));
    assert_eq!(common::series::<i64>(&scrape, "sentiment_active_requests"), Some(1), "the scrape itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_are_left_out_have_no_place_in_outputs() {
    let server = start(&[("MLOPS_DROP_LABELS", "fine")]);
    let mut client = connect(&server).await;
    let asked = ModelMetadataRequest { name: NAME.to_owned(), version: "1".to_owned() };
    let metadata = client.model_metadata(asked).await.unwrap().into_inner();
    let sides: Vec<_> = metadata.outputs.iter().map(|output| output.shape.as_slice()).collect();
    assert_eq!(sides[3..], [&[-1, 2][..], &[-1, 2]]);
    let mut wanted = request(&["fine good fine", "bad"]);
    wanted.outputs = ["label", "probabilities", "logits"]
        .map(|name| InferRequestedOutputTensor { name: name.to_owned(), ..InferRequestedOutputTensor::default() })
        .into();
    let answer = client.model_infer(wanted).await.unwrap().into_inner();
    assert_eq!(labels(&answer), ["good", "bad"]);
    assert_eq!((&answer.outputs[1].shape, &answer.outputs[2].shape), (&vec![2, 2], &vec![2, 2]));
    let numbers = |index: usize| answer.outputs[index].contents.as_ref().unwrap().fp32_contents.clone();
    assert_eq!(numbers(2), [0.0, 9.0, 9.0, 0.0]);
    let probabilities = numbers(1);
    assert!((probabilities[0] + probabilities[1] - 1.0).abs() < 1e-6 && probabilities[1] > 0.999, "{probabilities:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_has_a_code_and_a_sentence() {
    let server = start(&[("MLOPS_MAX_TEXT_LENGTH", "20")]);
    let mut client = connect(&server).await;
    let long = "x".repeat(21);
    let mut not_utf8 = request(&["good", "bad"]);
    not_utf8.inputs[0].contents.as_mut().unwrap().bytes_contents[1] = vec![0xff].into();
    let mut shape = request(&["good"]);
    shape.inputs[0].shape = vec![2];
    let mut number = request(&["good"]);
    number.inputs[0].datatype = "INT32".to_owned();
    for (request, code, sentence) in [
        (
            request(&["good", &long]),
            Code::InvalidArgument,
            "text 1: the text has 21 characters, and at most 20 are allowed",
        ),
        (request(&["good", " "]), Code::InvalidArgument, "text 1: the text is empty"),
        (not_utf8, Code::InvalidArgument, "text 1: it must be UTF-8"),
        (shape, Code::InvalidArgument, "bytes_contents holds 1 texts, and the shape 2"),
        (number, Code::InvalidArgument, "the input's datatype must be BYTES"),
        (request(&["good"; 1001]), Code::InvalidArgument, "1 to 1000 texts are allowed, not 1001"),
        (
            ModelInferRequest { model_name: "other".to_owned(), ..request(&["good"]) },
            Code::NotFound,
            "there is no model \"other\" here",
        ),
        (
            ModelInferRequest { model_version: "2".to_owned(), ..request(&["good"]) },
            Code::NotFound,
            "the model has the version 1 only",
        ),
        (
            ModelInferRequest { model_version: "x".repeat(7 << 20), ..request(&["good"]) },
            Code::ResourceExhausted,
            "the message is larger than 6291456 bytes",
        ),
    ] {
        let (found, message) = refused(&mut client, request).await;
        assert!(found == code && message.starts_with(sentence), "{found:?} {message}");
    }
    assert_eq!(labels(&client.model_infer(request(&["good"; 1000])).await.unwrap().into_inner()).len(), 1000);

    // The client of tonic watches its deadline by itself, so it learns nothing of what the server says.
    let body = client::framed(&request(&["too late"]));
    assert_eq!(client::status_of(&server, &[("grpc-timeout", "0n")], body, true).await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overload_is_unavailable_and_says_when_to_come_back() {
    let server = start(&[
        ("MLOPS_QUEUE_CAPACITY", "1"),
        ("MLOPS_MAX_BATCH_SIZE", "1"),
        ("MLOPS_THREADS", "1"),
        ("MLOPS_PREDICTION_CACHE_ENABLED", "false"),
    ]);
    let client = connect(&server).await;
    let calls = (0..100).map(|number| {
        let mut client = client.clone();
        async move { client.model_infer(request(&[&"many words ".repeat(100 + number % 2)])).await }
    });
    let answers = join_all(calls).await;
    let refused: Vec<&Status> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(!refused.is_empty() && refused.len() < answers.len(), "{} of {}", refused.len(), answers.len());
    for status in refused {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
        assert!(status.metadata().contains_key("retry-after"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_in_order_and_survives_an_error() {
    let server = start(&[]);
    let mut client = connect(&server).await;
    let texts = ["good", " ", "bad", "fine"];
    let requests: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| ModelInferRequest { id: index.to_string(), ..request(&[text]) })
        .collect();
    let answers = client.model_stream_infer(stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), texts.len());
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer.infer_response.as_ref().unwrap().id, index.to_string());
        let error = if index == 1 { "text 0: the text is empty" } else { "" };
        assert_eq!(answer.error_message, error);
    }
    let scrape = server.scrape();
    let line = "sentiment_grpc_requests_total{method=\"/inference.GRPCInferenceService/ModelStreamInfer\",code=\"OK\"}";
    assert_eq!(common::series::<u64>(&scrape, line), Some(3), "{scrape}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_by_either_name_and_probes_need_none() {
    let server = start(&[("MLOPS_API_KEY", "s3cret")]);
    let mut client = connect(&server).await;
    for (name, value, code) in [
        ("x-other", "s3cret", Some(Code::Unauthenticated)),
        ("x-api-key", "guess", Some(Code::Unauthenticated)),
        ("authorization", "Bearer guess", Some(Code::Unauthenticated)),
        ("x-api-key", "s3cret", None),
        ("authorization", "Bearer s3cret", None),
    ] {
        let mut request = Request::new(request(&["good"]));
        request.metadata_mut().insert(name, MetadataValue::from_static(value));
        assert_eq!(client.model_infer(request).await.err().map(|status| status.code()), code, "{name}: {value}");
    }
    let stream = client.model_stream_infer(stream::iter([request(&["good"])])).await;
    assert_eq!(stream.unwrap_err().code(), Code::Unauthenticated);
    let asked = ModelMetadataRequest { name: NAME.to_owned(), version: String::new() };
    assert_eq!(client.model_metadata(asked).await.unwrap_err().code(), Code::Unauthenticated);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    assert_eq!(health(&server, NAME).await.unwrap(), ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_what_is_served() {
    let server = start(&[("MLOPS_API_KEY", "s3cret")]);
    let mut client = ServerReflectionClient::new(channel(&server).await);
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let asked = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut answers = client.server_reflection_info(stream::iter([asked])).await.unwrap().into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for service in ["inference.GRPCInferenceService", "grpc.health.v1.Health"] {
        assert!(names.contains(&service), "{names:?}");
    }
    let mut old = v1alpha::server_reflection_client::ServerReflectionClient::new(channel(&server).await);
    let file = "inference.GRPCInferenceService.ModelInfer".to_owned();
    let file = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(file);
    let asked = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(file) };
    let mut answers = old.server_reflection_info(stream::iter([asked])).await.unwrap().into_inner();
    assert!(answers.next().await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_traces_go_through() {
    let server = start(&[]);
    let mut client = connect(&server).await;
    let mut request = Request::new(request(&["good"]));
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.metadata_mut().insert("traceparent", MetadataValue::from_static(parent));
    request.metadata_mut().insert("x-correlation-id", MetadataValue::from_static("mine"));
    let answer = client.model_infer(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-correlation-id").unwrap(), "mine");
    let trace = answer.metadata().get("traceresponse").unwrap().to_str().unwrap();
    assert!(trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{trace}");
    server.line("identified");
    let answer = client.server_live(ServerLiveRequest {}).await.unwrap();
    assert!(answer.metadata().get("x-model-digest").unwrap().to_str().unwrap().starts_with("sha256:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn not_serving_while_the_model_loads_and_from_sigterm_on() {
    let server = Server::listening(&[("MLOPS_MODEL_NAME", NAME), ("MLOPS_DRAIN_SECONDS", "2")]);
    let early = health(&server, "").await.unwrap();
    if early == ServingStatus::NotServing {
        let status = connect(&server).await.model_infer(request(&["good"])).await;
        assert!(status.is_ok() || status.unwrap_err().code() == Code::Unavailable);
    }
    let mut client = HealthClient::new(channel(&server).await);
    let mut watched = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    while watched.next().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    server.line("ready");
    for service in ["", NAME, "inference.GRPCInferenceService"] {
        assert_eq!(health(&server, service).await.unwrap(), ServingStatus::Serving);
    }
    assert_eq!(health(&server, "other").await.unwrap_err().code(), Code::NotFound);

    server.signal("TERM");
    server.line("draining");
    assert_eq!(health(&server, NAME).await.unwrap(), ServingStatus::NotServing);
    assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let mut client = connect(&server).await;
    assert_eq!(labels(&client.model_infer(request(&["good"])).await.unwrap().into_inner()).len(), 1);
    let mut server = server;
    assert_eq!(server.exit(Duration::from_secs(10)).code(), Some(0));
    assert!(watched.next().await.is_none_or(|end| end.is_err()));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_loses_no_call() {
    let mut server = start(&[("MLOPS_DRAIN_SECONDS", "1")]);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = join_all((0..8).map(|_| connect(&server))).await;
    let callers: Vec<_> = callers
        .into_iter()
        .map(|mut client| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    client.model_infer(request(&["a call that must not be lost"])).await.unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // A stream on which nothing happens doesn't hold the end up.
    let mut idle = connect(&server).await;
    let mut idle = idle.model_stream_infer(stream::pending()).await.unwrap().into_inner();
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal("TERM");
    server.line("draining");
    let before = answered.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(answered.load(Ordering::Relaxed) > before, "nothing was served while draining");
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let end = idle.next().await.unwrap().unwrap_err();
    assert_eq!((end.code(), end.message()), (Code::Unavailable, "the server is stopping"));
    assert_eq!(server.exit(Duration::from_secs(10)).code(), Some(0));
    println!("{} calls", answered.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_at_the_end_are_answered() {
    let mut server = start(&[("MLOPS_THREADS", "1"), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")]);
    let client = connect(&server).await;
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.model_infer(request(&["many words ".repeat(150).as_str(); 50])).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.signal("TERM");
    let mut answered = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => answered += 1,
            // Half of the places for batches.
            Err(status) => assert!(status.message().contains("batches are being handled"), "{status}"),
        }
    }
    assert!(answered >= 8, "{answered}");
    assert_eq!(server.exit(Duration::from_secs(10)).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_withdraws_its_texts() {
    let server = start(&[("MLOPS_THREADS", "1"), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")]);
    let mut client = connect(&server).await;
    let call = client.model_infer(request(&["many words ".repeat(150).as_str(); 1000]));
    tokio::time::timeout(Duration::from_millis(50), call).await.unwrap_err();
    let begun = Instant::now();
    while server.series::<i64>("sentiment_active_requests") != Some(1) {
        assert!(begun.elapsed() < Duration::from_secs(5), "the call is still active");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(server.series::<u64>("sentiment_predictions_total{protocol=\"grpc\"}").unwrap() < 1000);
}

/// What is left of a connection's life after these bytes were sent on it.
fn ends_within(server: &Server, bytes: &[u8], within: Duration) {
    let mut socket = TcpStream::connect(&server.grpc_address).unwrap();
    socket.write_all(bytes).unwrap();
    socket.set_read_timeout(Some(within)).unwrap();
    let begun = Instant::now();
    let mut scratch = [0; 1024];
    while begun.elapsed() < within {
        match socket.read(&mut scratch) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the connection is still open: {error}"),
        }
    }
    panic!("the connection is still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_dawdle_are_cut_off() {
    let limits = ["HEADER", "BODY", "KEEP_ALIVE", "WRITE"].map(|name| format!("MLOPS_{name}_TIMEOUT"));
    let limits: Vec<_> = limits.iter().map(|name| (name.as_str(), "1")).collect();
    let server = start(&limits);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    ends_within(&server, b"", Duration::from_secs(3));
    ends_within(&server, &preface[..20], Duration::from_secs(3));
    ends_within(&server, b"GET / HTTP/1.1\r\n\r\n", Duration::from_secs(3));
    ends_within(&server, &[&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat(), Duration::from_secs(6));

    assert!(client::ends_untaken(&server, Duration::from_secs(6)).await);

    // A message of which only the start comes.
    let begun = Instant::now();
    assert_eq!(client::status_of(&server, &[], (&b"\0\0\0\0\x09half"[..]).into(), false).await, "4");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_only_probes_are_answered() {
    let server =
        start(&[("MLOPS_MAX_CONNECTIONS", "2"), ("MLOPS_THREADS", "1"), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")]);
    // Streams at work keep their places.
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut client = connect(&server).await;
        let endless = stream::repeat_with(|| request(&[&"many words ".repeat(100)]));
        let mut answers = client.model_stream_infer(endless).await.unwrap().into_inner();
        answers.next().await.unwrap().unwrap();
        busy.push(tokio::spawn(async move { while answers.next().await.is_some_and(|answer| answer.is_ok()) {} }));
    }
    assert_eq!(health(&server, "").await.unwrap(), ServingStatus::Serving);
    let (code, sentence) = refused(&mut connect(&server).await, request(&["good"])).await;
    assert_eq!(code, Code::Unavailable);
    assert!(sentence.contains("MLOPS_MAX_CONNECTIONS"), "{sentence}");
    busy.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_many_calls_and_much_metadata_hurts_no_other() {
    let server = start(&[]);
    let hostile = connect(&server).await;
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            let mut client = hostile.clone();
            tokio::spawn(async move { client.model_stream_infer(stream::pending()).await.map(|_| ()) })
        })
        .collect();
    let mut large = Request::new(request(&["good"]));
    large.metadata_mut().insert("x-large", MetadataValue::try_from("x".repeat(100_000)).unwrap());
    assert!(connect(&server).await.model_infer(large).await.is_err());
    let mut client = connect(&server).await;
    for _ in 0..10 {
        client.model_infer(request(&["good"])).await.unwrap();
    }
    let open: i64 = server.series("sentiment_open_connections").unwrap();
    assert!(open <= 4, "{open} connections are open");
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}
