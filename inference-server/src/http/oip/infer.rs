//! `POST /v2/models/{name}/infer`: the outputs of 1 to 1000 texts.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};

use super::{
    Failures, TAG, binary,
    model_name::{Known, ModelName, Naming},
    request::{self, Parsed, Parsing, Request},
    response::{self, Inferred},
};
use crate::{
    http::{
        ApiError, App,
        deadline::Deadline,
        texts,
        whole::{self, Body, Place},
    },
    protocol::Protocol,
};

/// The outputs of 1 to 1000 texts
///
/// With `Inference-Header-Content-Length` the body is so many bytes of JSON and then the input's tensor, as Triton's
/// binary extension has it. Outputs that are wanted so are answered so.
#[utoipa::path(
    post, path = "/v2/models/{name}/infer", operation_id = "protocol_infer", tag = TAG,
    params(("name" = ModelName, Path, description = "The model's name")), request_body = Request,
    responses(
        (status = OK, description = "The outputs that are wanted", content(
            (Inferred = "application/json"),
            (String = "application/octet-stream"),
        )),
        Failures<((Naming, Body), Parsing, texts::Predicting)>,
    ),
)]
pub(super) async fn infer(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    Known(name): Known,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let json = headers.get(binary::HEADER).map(|length| binary::json_length(length.as_bytes())).transpose()?;
    let place = Place::of(&app, &body)?;
    let longest = app.config.max_text_length;
    let parse = move |json: &str, tensors: &[u8]| request::parse(json, tensors, longest);
    let Parsed { id, shape, texts, wanted } = body.read_split(&app, json, parse).await?;
    let model = app.predictor.model()?;
    let answers = whole::predict(&app, &model, texts, place, (Protocol::Oip, deadline)).await?;
    response::of(&name, id, &model.head, &shape, &wanted, &answers)
}
