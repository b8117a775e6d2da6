//! `POST /predict` where version 1 has no prefix: a body with `inputs` is text-embeddings-inference's, any other
//! version 1's.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

use super::{
    FORM,
    predict::{self, Predictions},
    request::{self, Parsed, Request, Speaker},
};
use crate::http::{
    ApiError, App,
    deadline::Deadline,
    openapi::{Failures, shapes, tags},
    predict as native,
    protocols::Form,
    texts,
    whole::{Body, Place},
};

shapes::one_of! {
    /// A body as documented.
    EitherRequest as "EitherRequest": [shapes::named::<native::Request>(), shapes::named::<Request>()]
        of [native::Request, Request]
}

shapes::one_of! {
    /// An answer as documented.
    EitherPrediction as "EitherPrediction": [shapes::named::<native::Prediction>(), shapes::named::<Predictions>()]
        of [native::Prediction, Predictions]
}

enum Asked {
    Native(native::Asked),
    Tei(Parsed),
}

/// A request of either, or why it is none, in its form.
type Read = Result<Asked, (ApiError, Option<&'static Form>)>;

/// The sentiment of one text; of several with `inputs`
///
/// A body with `inputs` is read and answered as text-embeddings-inference does, errors included.
#[utoipa::path(
    post, path = "/predict", operation_id = "predict", tag = tags::PREDICTIONS, request_body = EitherRequest,
    responses(
        (status = OK, description = "The label and its score", body = EitherPrediction),
        Failures<((Body, request::Parsing), texts::Checking, texts::Predicting)>,
    ),
)]
pub(super) async fn predict(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    body: Body,
) -> Result<Response, ApiError> {
    let place = Place::of(&app, &body)?;
    let longest = app.config.max_text_length;
    let asked = body.read(&app, move |json| Ok(read(json, longest))).await?;
    match asked {
        Ok(Asked::Native(asked)) => {
            drop(place);
            native::answer(&app, asked, deadline).await
        }
        Ok(Asked::Tei(parsed)) => {
            let answer = predict::answer(&app, parsed, place, deadline).await;
            Ok(answer.map_or_else(|error| in_form(error, Some(&FORM)), IntoResponse::into_response))
        }
        Err((error, form)) => Ok(in_form(error, form)),
    }
}

fn read(json: &str, longest: usize) -> Read {
    if request::is_ours(json) {
        request::parse(json, Speaker::Tei, longest).map(Asked::Tei).map_err(|error| (error, Some(&FORM)))
    } else {
        native::read(json, longest).map(Asked::Native).map_err(|error| (error, None))
    }
}

fn in_form(error: ApiError, form: Option<&'static Form>) -> Response {
    let mut response = error.into_response();
    if let Some(form) = form {
        response.extensions_mut().insert(form);
    }
    response
}
