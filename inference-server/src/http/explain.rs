//! `POST /explain`: how much each word of a text speaks for a label.

use std::{ops::Range, sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiError, App,
    bodies::Received,
    deadline::Deadline,
    fields::{self, Fields, NoString},
    info::BACKEND_NAME,
    openapi::{Failures, tags},
    predict, predict_batch,
    texts::{self, TextSchema, milliseconds},
};
use crate::predict::Text;
use model::Head;

/// Words that are named as those that speak most for the label.
const TOP: usize = 5;

/// The body as documented; [`parse`] reads it, as its errors are version 1's.
#[derive(ToSchema)]
#[schema(as = ExplainRequest, example = json!({ "text": "I love this product" }))]
#[expect(dead_code, reason = "only its shape is used")]
struct Request {
    text: TextSchema,
    /// The label to explain, one that the model can answer; else the most probable one.
    prediction: Option<String>,
    /// No effect: kept from version 1.
    #[schema(minimum = 0, maximum = 1)]
    confidence: Option<f64>,
    /// No effect: kept from version 1. The method is always occlusion.
    use_attention: Option<bool>,
    /// No effect: kept from version 1. The method is always occlusion.
    use_gradients: Option<bool>,
}

#[derive(Serialize, ToSchema)]
struct Explanation<'a> {
    /// The text, stripped; spans count in it.
    text: &'a str,
    /// What `/predict` answers; of a text that is read in windows, what the model says of the part that is explained.
    #[schema(example = "POSITIVE")]
    label: &'a str,
    #[schema(minimum = 0, maximum = 1, example = 0.96)]
    score: f32,
    /// The label that is explained.
    #[schema(example = "POSITIVE")]
    prediction: &'a str,
    /// Its probability.
    #[schema(minimum = 0, maximum = 1, example = 0.96)]
    confidence: f32,
    #[schema(example = "occlusion")]
    method: &'static str,
    /// In the order of the text.
    token_attributions: Vec<TokenAttribution<'a>>,
    /// Those that speak most for the label, most first; five at most.
    top_contributing_words: Vec<&'a str>,
    /// Words of each attribution; more than 1 when the text has more than 64.
    #[schema(minimum = 1)]
    words_per_token: usize,
    /// Whether the text is longer than what the model reads at once, so that only its start is explained.
    text_truncated: bool,
    model_name: &'a str,
    #[schema(example = "onnx")]
    backend: &'static str,
    total_time_ms: f64,
}

#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct TokenAttribution<'a> {
    /// The word, or the group of words.
    #[schema(example = "love")]
    token: &'a str,
    /// Place in the list, from 0.
    position: usize,
    /// Its first character, from 0.
    start: usize,
    /// The character behind its last one.
    end: usize,
    /// What the label's probability loses without it; negative when it speaks against the label.
    #[schema(minimum = -1, maximum = 1)]
    attribution: f32,
}

/// How much each word of a text speaks for a label
///
/// By occlusion: the text is run once as it is and once without each word. Texts of more than 64 words are explained by
/// groups of neighbours. Takes one of the places for batches.
#[utoipa::path(
    post, path = "/explain", operation_id = "explain", tag = tags::PREDICTIONS, request_body = Request,
    responses(
        (status = OK, description = "Each word and its share", body = Explanation),
        Failures<(Received<{ predict::MOST_BYTES }>, texts::Checking, texts::Predicting)>,
    ),
)]
pub(super) async fn explain(
    State(app): State<Arc<App>>,
    Deadline(deadline): Deadline,
    body: Received<{ predict::MOST_BYTES }>,
) -> Result<Response, ApiError> {
    let start = Instant::now();
    let model = app.predictor.model()?;
    let (known, most) = (Arc::clone(&model), app.config.max_text_length);
    let parse = move |json: &str| parse(json, &known.head, most);
    let (text, target) = body.read(&app, parse).await?;
    // As many runs as a batch has, so it takes a batch's place.
    let _place = predict_batch::place(&app)?;

    let text: Arc<str> = text.content.into();
    let long_texts = app.config.model.long_texts;
    let explained = app.predictor.explain(&model, &text, target, long_texts, deadline).await?;
    let token_attributions = attribute(&text, &explained.shares);
    let explanation = Explanation {
        text: &text,
        label: &explained.verdict.label,
        score: explained.verdict.score,
        prediction: model.head.names().nth(explained.class).unwrap_or_default(),
        confidence: explained.probability,
        method: "occlusion",
        top_contributing_words: top(&token_attributions),
        token_attributions,
        words_per_token: explained.words_of_each,
        text_truncated: explained.truncated,
        model_name: &model.name,
        backend: BACKEND_NAME,
        total_time_ms: milliseconds(start.elapsed()),
    };
    Ok(Json(explanation).into_response())
}

/// The text and the class to explain, if a certain one is asked for. The predecessor's clients also
/// send what `/predict` had answered, which this run finds for itself, and choose a method.
fn parse(json: &str, head: &Head, most: usize) -> Result<(Text, Option<usize>), ApiError> {
    const PREDICTION: &str = "prediction";
    let names = ["text", PREDICTION, "confidence", "use_attention", "use_gradients"];
    let mut fields = Fields::read(json, names)?;
    let text = texts::read(&mut fields, most);
    let text = fields.check(text)?;
    let prediction = fields.take(PREDICTION).filter(|value| !fields::is_null(value));
    let target = prediction.and_then(|name| match fields::string(name, |name| class(head, name)) {
        Ok(Ok(class)) => class,
        Ok(Err(NoLabel)) => {
            let msg = format!("Input should be one of {}", head.answers().join(", "));
            fields.problem(PREDICTION, msg, "literal_error")
        }
        Err(NoString { msg, kind }) => fields.problem(PREDICTION, msg, kind),
    });
    fields.number("confidence", &(0.0..=1.0));
    fields.boolean("use_attention");
    fields.boolean("use_gradients");
    fields.finish()?;
    let text = text.ok_or(ApiError::Internal("the text is missing without a problem"))?;
    Ok((text, target))
}

/// A name that no answer has.
struct NoLabel;

/// The class of a label that `/predict` can answer. Inside the neutral band there is a winner all the same.
fn class(head: &Head, name: &str) -> Result<Option<usize>, NoLabel> {
    match head.names().position(|label| label == name) {
        Some(class) => Ok(Some(class)),
        None if head.answers().iter().any(|answer| **answer == *name) => Ok(None),
        None => Err(NoLabel),
    }
}

/// Each word or group by its place in characters.
fn attribute<'a>(text: &'a str, shares: &[(Range<usize>, f32)]) -> Vec<TokenAttribution<'a>> {
    let (mut byte, mut character) = (0, 0);
    let mut count_to = |end: usize| {
        character += text[byte..end].chars().count();
        byte = end;
        character
    };
    let attributed = shares.iter().enumerate().map(|(position, (group, attribution))| {
        let (start, end) = (count_to(group.start), count_to(group.end));
        TokenAttribution { token: &text[group.clone()], position, start, end, attribution: *attribution }
    });
    attributed.collect()
}

/// The words that speak most for the label, most first.
fn top<'a>(attributions: &[TokenAttribution<'a>]) -> Vec<&'a str> {
    let mut speaking: Vec<_> = attributions.iter().filter(|found| found.attribution > 0.0).collect();
    speaking.sort_by(|a, b| b.attribution.total_cmp(&a.attribution));
    speaking.into_iter().take(TOP).map(|found| found.token).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn spans_are_in_characters() {
        let text = "été très 😀 beau";
        let words = [0..5, 6..11, 12..16, 17..21];
        let found = attribute(text, &words.into_iter().zip([0.0, -0.05, 0.4, 0.3]).collect::<Vec<_>>());
        let spans: Vec<_> = found.iter().map(|found| (found.token, found.start, found.end)).collect();
        assert_eq!(spans, [("été", 0, 3), ("très", 4, 8), ("😀", 9, 10), ("beau", 11, 15)]);
        let characters: Vec<char> = text.chars().collect();
        for token in &found {
            assert_eq!(characters[token.start..token.end].iter().collect::<String>(), token.token);
        }
        let shares: Vec<f32> = found.iter().map(|found| (found.attribution * 100.0).round()).collect();
        assert_eq!(shares, [0.0, -5.0, 40.0, 30.0]);
        assert_eq!(top(&found), ["😀", "beau"]);
    }

    #[test]
    fn a_label_may_be_asked_for_and_everything_wrong_is_named() {
        let labels = Head::single_label(&["bad", "good"]).with_neutral_band(0.6);
        let parse = |body: Value| parse(&body.to_string(), &labels, 9);
        let target = |prediction: Value| parse(json!({ "text": "a", "prediction": prediction })).unwrap().1;
        assert_eq!(target(json!("good")), Some(1));
        assert_eq!((target(json!("NEUTRAL")), target(Value::Null)), (None, None));
        let body = json!({ "text": "", "prediction": "POSITIVE", "confidence": 2, "use_attention": 1 });
        let Err(ApiError::Validation(problems)) = parse(body) else {
            panic!("a bad body was taken");
        };
        let kinds: Vec<_> = problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(kinds, ["string_too_short", "literal_error", "less_than_equal", "bool_type"]);
        assert_eq!(problems[1].msg, "Input should be one of bad, good, NEUTRAL");
        assert!(matches!(parse(json!({ "text": "a".repeat(10) })), Err(ApiError::TextTooLong { .. })));
    }
}
