//! `POST /v1/models/{name}:predict`: the label of each instance.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, RawPathParams, State},
    http::request::Parts,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Failures, TAG};
use crate::{
    http::{
        ApiError, App,
        deadline::Deadline,
        error::quoted,
        inputs::{Elsewise, Inputs},
        oip::Naming,
        openapi::{Failing, shapes},
        texts::{self, TextSchema},
        whole::{self, Body, Place},
    },
    predict::Text,
    protocol::Protocol,
};

/// What follows the model's name.
pub(super) const VERB: &str = ":predict";

/// The end of the path in the document, which puts the served model's in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct PredictPath(String);

/// The served model, asked for a prediction.
pub(super) struct Asked;

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = RawPathParams::from_request_parts(parts, app).await;
        let last = path.as_ref().ok().and_then(|path| path.iter().next()).map_or("", |(_, last)| last);
        match last.rsplit_once(':') {
            Some((name, "predict")) if name == app.config.model.name => Ok(Self),
            Some((name, "predict")) => Err(ApiError::UnknownModel(name.to_owned())),
            Some((_, verb)) => Err(ApiError::NotFound(format!("a model can predict, but not {}", quoted(verb)))),
            None => Err(ApiError::NotFound("predictions are at POST /v1/models/{name}:predict".to_owned())),
        }
    }
}

/// The body as documented; [`Inputs`] reads it.
#[derive(ToSchema)]
#[schema(as = KserveRequest, example = json!({ "instances": ["I love this product", "It is awful"] }))]
#[expect(dead_code, reason = "only its shape is used")]
struct Request {
    #[schema(min_items = 1, max_items = 1000)]
    instances: Vec<Instance>,
}

shapes::one_of! {
    /// What is asked about.
    Instance as "KserveInstance": [shapes::text(), shapes::named::<InstanceObject>()] of [InstanceObject]
}

#[derive(ToSchema)]
#[schema(as = KserveInstanceObject)]
#[expect(dead_code, reason = "only its shape is used")]
struct InstanceObject {
    text: TextSchema,
    /// A text that goes with it, for models that read pairs.
    text_pair: Option<TextSchema>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KserveResponse)]
pub(super) struct Predictions {
    /// In the order of the instances.
    predictions: Vec<Prediction>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KservePrediction)]
struct Prediction {
    #[schema(value_type = String, example = "POSITIVE")]
    label: Arc<str>,
    /// Its probability; of a regression the number itself.
    #[schema(example = 0.96)]
    score: f32,
    /// Whether the model has read only the start of the text.
    truncated: bool,
}

/// How a request can be wrong.
pub(super) struct Parsing;

impl Failing for Parsing {
    fn failures() -> Vec<ApiError> {
        let too_long = ApiError::TextTooLong { characters: 3000, most: 2000 };
        vec![
            ApiError::Protocol("missing field `instances`".to_owned()),
            ApiError::AtText { index: 0, error: Box::new(too_long) },
        ]
    }
}

/// The label and score of 1 to 1000 instances
#[utoipa::path(
    post, path = "/v1/models/{name}", operation_id = "kserve_predict", tag = TAG, request_body = Request,
    params(("name" = PredictPath, Path, description = "The model's name and `:predict`")),
    responses(
        (status = OK, description = "A prediction for each instance", body = Predictions),
        Failures<((Naming, Body), Parsing, texts::Predicting)>,
    ),
)]
pub(super) async fn predict(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    _: Asked,
    body: Body,
) -> Result<Json<Predictions>, ApiError> {
    let place = Place::of(&app, &body)?;
    let longest = app.config.max_text_length;
    let texts = body.read(&app, move |json| parse(json, longest)).await?;
    let model = app.predictor.model()?;
    let answers = whole::predict(&app, &model, texts, place, (Protocol::Kserve, deadline)).await?;
    let predictions = answers.into_iter().map(|answer| Prediction {
        label: answer.verdict.label,
        score: answer.verdict.score,
        truncated: answer.truncated,
    });
    Ok(Json(Predictions { predictions: predictions.collect() }))
}

fn parse(json: &str, longest: usize) -> Result<Vec<Text>, ApiError> {
    let (inputs, _) = Inputs::read(json, "instances", (longest, Elsewise::Objects), [])?;
    if inputs.is_one {
        return Err(ApiError::Protocol("instances must be a list".to_owned()));
    }
    Ok(inputs.texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_texts_or_objects() {
        let texts = parse(r#"{"instances":["a",{"text":"b","text_pair":"c"}],"more":[1e999]}"#, 9).unwrap();
        let found: Vec<_> = texts.iter().map(|text| (text.content.as_str(), text.pair.as_deref())).collect();
        assert_eq!(found, [("a", None), ("b", Some("c"))]);
        for (body, sentence) in [
            (r#"{"instances":"a"}"#, "instances must be a list"),
            (r#"{"inputs":["a"]}"#, "missing field `instances`"),
            (r#"{"instances":[["a"]]}"#, "text 0: it must be a text, or an object with text and text_pair"),
        ] {
            assert_eq!(parse(body, 9).unwrap_err().to_string(), sentence);
        }
    }
}
