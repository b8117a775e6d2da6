//! One request for an inference, from its message to its answer.

use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use tonic::Code;

use super::{
    call::{Active, CallContext, due},
    error::{self, CallError},
    model,
    proto::{ModelInferRequest, ModelInferResponse},
    request, response,
};
use crate::{
    http::App,
    predict::{Call, Text, WhenFull},
    protocol::Protocol,
    traces::{RequestSpan, TraceContext},
};

/// Answers a request, as the method of this path, within its time. It is traced.
pub(super) async fn observed(
    app: &App,
    context: &CallContext,
    path: &'static str,
    message: ModelInferRequest,
) -> Result<ModelInferResponse, CallError> {
    let start = Instant::now();
    if context.due <= start {
        return Err(CallError::DeadlinePassed);
    }
    let traces = app.traces.as_ref().filter(|_| context.trace.sampled);
    let span = traces.map(|traces| RequestSpan::begin_call(traces, context.trace, path, context.id.as_str()));
    let answering = tokio::time::timeout_at(context.due.into(), infer(app, message, context.due));
    let answer = match &span {
        Some(span) => span.run(answering).await,
        None => answering.await,
    };
    let answer = answer.unwrap_or(Err(CallError::DeadlinePassed));
    let code = code(&answer);
    if let Some(span) = span {
        span.end_call(code.into(), error::is_servers(code));
    }
    // An overload is how load is shed, and the client's deadline its own: the series count them.
    if let (Err(error), Code::Internal) = (&answer, code) {
        tracing::warn!(method = path, code = error::name(code), %error, "call failed");
    }
    answer
}

/// As [`observed`], for a message of a stream, which counts as a request and has a span of its own.
pub(super) async fn counted(
    app: &App,
    call: &CallContext,
    path: &'static str,
    message: ModelInferRequest,
) -> Result<ModelInferResponse, CallError> {
    let start = Instant::now();
    let _active = Active::begin(app);
    let trace = TraceContext { span_id: fastrand::u64(1..), ..call.trace };
    let context = CallContext { trace, due: due(app, call.deadline), ..call.clone() };
    let answer = observed(app, &context, path, message).await;
    app.metrics.grpc.observe(path, error::name(code(&answer)), start.elapsed());
    answer
}

fn code(answer: &Result<ModelInferResponse, CallError>) -> Code {
    answer.as_ref().map_or_else(CallError::code, |_| Code::Ok)
}

async fn infer(app: &App, message: ModelInferRequest, deadline: Instant) -> Result<ModelInferResponse, CallError> {
    model::known(app, &message.model_name, &message.model_version)?;
    let mut parsed = request::parse(message, app.config.max_text_length)?;
    let texts = std::mem::take(&mut parsed.texts);
    let model = app.predictor.model()?;
    let call = |when_full| Call { protocol: Protocol::Grpc, deadline, when_full };
    // One text is a prediction like any other, more are a batch.
    let predictions = match <[Text; 1]>::try_from(texts) {
        Ok([text]) => {
            let answer = app.predictor.predict(&model, text, call(WhenFull::Refuse)).await;
            vec![answer.map_err(|error| CallError::at(0, error))?]
        }
        Err(texts) => {
            let _place = app.batches.enter()?;
            let answers = app.predictor.predict_each(&model, texts, call(WhenFull::Wait)).enumerate();
            let all = answers.map(|(index, answer)| answer?.map_err(|error| CallError::at(index, error)));
            all.try_collect().await?
        }
    };
    response::of(&model.name, parsed.into(), &model.head, &predictions)
}
