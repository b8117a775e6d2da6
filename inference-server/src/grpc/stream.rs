//! `ModelStreamInfer`: requests on one call, answered in their order.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};
use tracing::Instrument;

use super::{
    call::CallContext,
    error::CallError,
    infer, methods,
    proto::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse},
};
use crate::{http::App, inference_log, predict::PredictError};

/// Requests of one stream that are answered at once: enough to fill batches. No more are read until the client takes
/// answers.
const AT_ONCE: usize = 32;

/// The answer to each request. What is wrong with one is told in its place, as Triton does, and the stream goes on;
/// it ends with an error when the caller's deadline passes, when a message can't be read, and when the server stops.
pub(super) fn answers(
    app: Arc<App>,
    context: CallContext,
    requests: Streaming<ModelInferRequest>,
) -> impl Stream<Item = Result<ModelStreamInferResponse, Status>> + Send {
    let conversation = Arc::clone(&context.conversation);
    let deadline = context.deadline;
    let span = tracing::Span::current();
    let answers = requests
        .take_until(conversation.stopped())
        .map(move |request| {
            let owed = context.conversation.owe();
            let memory = context.messages.take();
            let (app, context) = (Arc::clone(&app), context.clone());
            let id_of_call = context.id.clone();
            let answering = async move {
                let request = request?;
                let (name, id) = (request.model_name.clone(), request.id.clone());
                let answer = infer::counted(&app, &context, methods::STREAM, request).await;
                drop((owed, memory));
                Ok(answer.map_or_else(|error| failed(name, id, &error), answered))
            };
            // By itself, so that a client that takes no answers holds nothing up that others wait for.
            let answering = inference_log::of_request(id_of_call.as_str(), answering).instrument(span.clone());
            let answering = AbortOnDropHandle::new(tokio::spawn(answering));
            async { answering.await.unwrap_or_else(|_| Err(Status::internal("the request was given up"))) }
        })
        .buffered(AT_ONCE)
        .take_until(async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        });
    let end = stream::once(async move {
        if deadline.is_some_and(|deadline| deadline <= std::time::Instant::now()) {
            return Some(Err(CallError::DeadlinePassed.into()));
        }
        conversation.is_stopped().then(|| Err(CallError::from(PredictError::Stopping).into()))
    });
    answers.chain(end.filter_map(|end| async { end }))
}

fn answered(answer: ModelInferResponse) -> ModelStreamInferResponse {
    ModelStreamInferResponse { error_message: String::new(), infer_response: Some(answer) }
}

/// The id says which request it is about.
fn failed(model_name: String, id: String, error: &CallError) -> ModelStreamInferResponse {
    let about = ModelInferResponse { model_name, id, ..ModelInferResponse::default() };
    ModelStreamInferResponse { error_message: error.to_string(), infer_response: Some(about) }
}
