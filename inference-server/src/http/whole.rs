//! Requests that are answered whole or not at all: there is no room for one text's error beside the answers of others.

use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use tokio::sync::SemaphorePermit;

use super::{ApiError, App, bodies::Received, predict, predict_batch};
use crate::{
    predict::{Call, Prediction, ServedModel, Text, WhenFull},
    protocol::Protocol,
};

/// Largest body.
pub(super) const MOST_BYTES: usize = predict_batch::MOST_BYTES;

/// A body of one text or several.
pub(super) type Body = Received<MOST_BYTES>;

/// A place for a batch, where the request may be one.
pub(super) struct Place<'a>(Option<SemaphorePermit<'a>>);

impl<'a> Place<'a> {
    /// One for a body that may hold more than a text.
    pub(super) fn of(app: &'a App, body: &Body) -> Result<Self, ApiError> {
        let may_be_large = body.may_exceed(predict::MOST_BYTES);
        Ok(Self(may_be_large.then(|| predict_batch::place(app)).transpose()?))
    }
}

/// Answers texts in order. One is a prediction like any other; more are a batch.
pub(super) async fn predict(
    app: &App,
    model: &ServedModel,
    texts: Vec<Text>,
    place: Place<'_>,
    (protocol, deadline): (Protocol, Instant),
) -> Result<Vec<Prediction>, ApiError> {
    let call = |when_full| Call { protocol, deadline, when_full };
    match <[Text; 1]>::try_from(texts) {
        Ok([text]) => {
            drop(place);
            let answer = app.predictor.predict(model, text, call(WhenFull::Refuse)).await;
            Ok(vec![answer.map_err(|error| at(0, error.into()))?])
        }
        Err(texts) => {
            let _place = match place.0 {
                Some(place) => place,
                None => predict_batch::place(app)?,
            };
            let answers = app.predictor.predict_each(model, texts, call(WhenFull::Wait)).enumerate();
            answers.map(|(index, answer)| answer?.map_err(|error| at(index, error.into()))).try_collect().await
        }
    }
}

/// An error with the place of the text that it is about.
fn at(index: usize, error: ApiError) -> ApiError {
    if error.is_of_one_text() { ApiError::AtText { index, error: Box::new(error) } } else { error }
}
