//! Requests of a client, and what it reads in answers.

use std::{convert::Infallible, time::Duration};

use axum::http::Request;
use futures::{StreamExt, stream};
use http_body_util::StreamBody;
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use inference_server::grpc::proto::{
    InferTensorContents, ModelInferRequest, ModelInferResponse,
    grpc_inference_service_client::GrpcInferenceServiceClient, model_infer_request::InferInputTensor,
};
use prost::{Message, bytes::Bytes};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::common::Server;

pub const NAME: &str = "reviews";

pub type Inference = GrpcInferenceServiceClient<Channel>;

pub async fn channel(server: &Server) -> Channel {
    Endpoint::from_shared(format!("http://{}", server.grpc_address)).unwrap().connect().await.unwrap()
}

/// A request with these texts, typed.
pub fn request(texts: &[&str]) -> ModelInferRequest {
    let bytes_contents = texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
    let input = InferInputTensor {
        name: "text".to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![i64::try_from(texts.len()).unwrap()],
        contents: Some(InferTensorContents { bytes_contents, ..InferTensorContents::default() }),
        ..InferInputTensor::default()
    };
    ModelInferRequest {
        model_name: NAME.to_owned(),
        id: "7".to_owned(),
        inputs: vec![input],
        ..ModelInferRequest::default()
    }
}

/// The same request, raw.
pub fn raw(mut request: ModelInferRequest) -> ModelInferRequest {
    let texts = request.inputs[0].contents.take().unwrap().bytes_contents;
    let raw = texts.iter().flat_map(|text| [&u32::try_from(text.len()).unwrap().to_le_bytes(), &text[..]].concat());
    request.raw_input_contents = vec![raw.collect()];
    request
}

/// The labels of a typed answer.
pub fn labels(answer: &ModelInferResponse) -> Vec<String> {
    let contents = answer.outputs[0].contents.as_ref().unwrap();
    contents.bytes_contents.iter().map(|label| String::from_utf8(label.to_vec()).unwrap()).collect()
}

/// A message as it is sent.
pub fn framed(request: &ModelInferRequest) -> Bytes {
    let message = request.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &message].concat().into()
}

/// The `grpc-status` of a call with this body, which goes no further unless it is whole.
pub async fn status_of(server: &Server, headers: &[(&str, &str)], body: Bytes, is_whole: bool) -> String {
    let socket = TcpStream::connect(&server.grpc_address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    let connection = tokio::spawn(connection);
    let start = stream::iter([Ok::<_, Infallible>(Frame::data(body))]);
    let rest = if is_whole { stream::empty().boxed() } else { stream::pending().boxed() };
    let mut request = Request::post("http://server/inference.GRPCInferenceService/ModelInfer")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(StreamBody::new(start.chain(rest))).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.headers()["grpc-status"].to_str().unwrap().to_owned();
    connection.abort();
    status
}

/// Whether the connection of a client that never takes its answer ends within a time.
pub async fn ends_untaken(server: &Server, within: Duration) -> bool {
    let socket = TcpStream::connect(&server.grpc_address).await.unwrap();
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1024)
        .handshake(TokioIo::new(socket))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let body = stream::iter([Ok::<_, Infallible>(Frame::data(framed(&request(&["a text"; 1000]))))]);
    let request = Request::post("http://server/inference.GRPCInferenceService/ModelInfer")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(StreamBody::new(body))
        .unwrap();
    let _untaken = sender.send_request(request).await.unwrap();
    tokio::time::timeout(within, connection).await.is_ok()
}
