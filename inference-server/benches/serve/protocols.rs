//! The protocols beside each other: REST and gRPC at 32 connections, and batches of 100 as JSON and as binary tensors.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use inference_server::{
    grpc::proto::{
        InferTensorContents, ModelInferRequest, grpc_inference_service_client::GrpcInferenceServiceClient,
        model_infer_request::InferInputTensor,
    },
    process,
};
use serde_json::json;
use tokio::{net::TcpStream, runtime::Runtime};
use tonic::transport::Endpoint;

use crate::{
    load::{self, Closed},
    pair::{ROUNDS, Reached, loaded, pair},
    server::Server,
    texts,
};

const CONNECTIONS: usize = 32;
const BATCH: usize = 100;
const BATCH_CONNECTIONS: usize = 2;

/// Prints the rows.
pub fn measure(model: &str, row: Duration) {
    let sentences = texts::sentences(2000);
    let request = &load::requests(&sentences[..1])[0];
    let settings = [("MLOPS_ONNX_MODEL_PATH", model), ("MLOPS_PREDICTION_CACHE_ENABLED", "false")];
    let server = Server::start(&settings, request);
    let runtime = Runtime::new().unwrap();
    println!(
        "\nREST and gRPC, {CONNECTIONS} connections, each text run; both by a client on tokio, {ROUNDS} rounds in turn"
    );
    pair(
        ["REST, JSON", "gRPC"],
        || runtime.block_on(rest(&server, &sentences, row)),
        || runtime.block_on(grpc(&server, &sentences, row)),
    );
    drop(server);

    let server =
        Server::start(&[("MLOPS_ONNX_MODEL_PATH", model), ("MLOPS_PREDICTION_CACHE_MAX_SIZE", "10000")], request);
    println!(
        "\nBatches of {BATCH} texts that are kept, {BATCH_CONNECTIONS} connections, Open Inference Protocol over REST"
    );
    let json: Vec<Vec<u8>> = sentences.chunks_exact(BATCH).map(as_json).collect();
    let binary: Vec<Vec<u8>> = sentences.chunks_exact(BATCH).map(as_binary).collect();
    // So that each is kept.
    let mut load = Closed::start(&server.address, &json, BATCH_CONNECTIONS);
    let mut asked = 0;
    while asked < json.len() {
        asked += load.run(row).samples.len();
    }
    drop(load);
    pair(
        ["JSON", "binary tensors"],
        || loaded(&server, &json, BATCH_CONNECTIONS, row),
        || loaded(&server, &binary, BATCH_CONNECTIONS, row),
    );
}

/// What a load reaches that counts its own answers.
async fn reached<F: Future<Output = usize>>(server: &Server, loads: impl Iterator<Item = F>) -> Reached {
    let usage = || process::usage_of(&server.id()).unwrap().cpu_seconds;
    let (begun, before) = (Instant::now(), usage());
    let answers: usize = join_all(loads).await.into_iter().sum();
    let (took, cpu) = (begun.elapsed().as_secs_f64(), usage() - before);
    Reached { per_second: answers as f64 / took, by_cpu: answers as f64 / cpu }
}

async fn rest(server: &Server, sentences: &[String], row: Duration) -> Reached {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(&server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        connections.push(sender);
    }
    let end = Instant::now() + row;
    let loads = connections.into_iter().enumerate().map(|(index, mut sender)| async move {
        let mut answers = 0;
        for text in sentences.iter().cycle().skip(index * 61) {
            if Instant::now() >= end {
                break;
            }
            let body = Full::new(Bytes::from(json!({ "text": text }).to_string()));
            let request = Request::post("/api/v1/predict").header("host", "bench").body(body).unwrap();
            sender.ready().await.unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.unwrap();
            answers += 1;
        }
        answers
    });
    reached(server, loads).await
}

async fn grpc(server: &Server, sentences: &[String], row: Duration) -> Reached {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc_address)).unwrap().tcp_nodelay(true);
        clients.push(GrpcInferenceServiceClient::new(endpoint.connect().await.unwrap()));
    }
    let end = Instant::now() + row;
    let loads = clients.into_iter().enumerate().map(|(index, mut client)| async move {
        let mut answers = 0;
        for text in sentences.iter().cycle().skip(index * 61) {
            if Instant::now() >= end {
                break;
            }
            let contents =
                InferTensorContents { bytes_contents: vec![text.clone().into_bytes().into()], ..Default::default() };
            let input = InferInputTensor {
                name: "text".to_owned(),
                datatype: "BYTES".to_owned(),
                shape: vec![1],
                contents: Some(contents),
                ..Default::default()
            };
            let request =
                ModelInferRequest { model_name: "default".to_owned(), inputs: vec![input], ..Default::default() };
            client.model_infer(request).await.unwrap();
            answers += 1;
        }
        answers
    });
    reached(server, loads).await
}

const ROUTE: &str = "/v2/models/default/infer";

fn as_json(texts: &[String]) -> Vec<u8> {
    let input = json!({ "name": "text", "shape": [texts.len()], "datatype": "BYTES", "data": texts });
    load::post(ROUTE, "", json!({ "inputs": [input] }).to_string().as_bytes())
}

/// As `tritonclient.http` asks by default: tensors in and out are binary.
fn as_binary(texts: &[String]) -> Vec<u8> {
    let mut tensor = Vec::new();
    for text in texts {
        tensor.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
        tensor.extend_from_slice(text.as_bytes());
    }
    let parameters = json!({ "binary_data_size": tensor.len() });
    let input = json!({ "name": "text", "shape": [texts.len()], "datatype": "BYTES", "parameters": parameters });
    let head = json!({ "inputs": [input], "parameters": { "binary_data_output": true } }).to_string();
    let header = format!("Inference-Header-Content-Length: {}\r\n", head.len());
    load::post(ROUTE, &header, &[head.as_bytes(), &tensor].concat())
}
