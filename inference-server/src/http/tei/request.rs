//! What a request says.

use model::Activation;
use utoipa::{
    ToSchema,
    openapi::{RefOr, schema::Schema},
};

use crate::http::{
    ApiError,
    fields::{self, Fields},
    inputs::{Elsewise, Inputs},
    openapi::{Failing, shapes},
    rows::MOST_TEXTS,
};
use crate::predict::Text;

/// Labels that may be asked for at most; a model has fewer.
const MOST_LABELS: f64 = 10_000.0;

/// The body at `/predict` as documented; [`parse`] reads it.
#[derive(ToSchema)]
#[schema(as = TeiRequest, example = json!({ "inputs": "I love this product" }))]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct Request {
    inputs: TeiInputs,
    /// Whether a text of which the model reads only the start is answered. True unless it is said.
    truncate: Option<bool>,
    /// Answers the model's raw outputs in place of scores.
    raw_scores: Option<bool>,
    parameters: Option<HubParameters>,
}

/// The body at `/` as documented; [`parse`] reads it.
#[derive(ToSchema)]
#[schema(as = HubRequest, example = json!({ "inputs": "I love this product", "parameters": { "top_k": 1 } }))]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct HubRequest {
    inputs: HubInputs,
    /// As at `/predict`.
    truncate: Option<bool>,
    /// As at `/predict`.
    raw_scores: Option<bool>,
    parameters: Option<HubParameters>,
}

shapes::one_of! {
    /// A text; one and another that goes with it; or a list of lists of these.
    TeiInputs as "TeiInputs": [shapes::text(), shapes::list(shapes::text(), 2), batch()] of []
}

shapes::one_of! {
    /// A text; several; or a list of lists of one text or two that go together.
    HubInputs as "HubInputs": [shapes::text(), shapes::list(shapes::text(), MOST_TEXTS), batch()] of []
}

fn batch() -> RefOr<Schema> {
    shapes::list(shapes::list(shapes::text(), 2), MOST_TEXTS)
}

/// Parameters of the Hub's task.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
struct HubParameters {
    /// Answers the labels with the highest scores, so many of them.
    #[schema(minimum = 1, maximum = 10_000)]
    top_k: Option<u16>,
    /// What makes scores of the outputs, where it isn't the model's own way.
    #[schema(pattern = "^(softmax|sigmoid|none|default)$")]
    function_to_apply: Option<String>,
}

/// Whose clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The Hub's, which expect a list of lists always, and for whom a list holds texts.
    Hub,
    /// text-embeddings-inference's, which expect a list for one text, and for whom a list is a pair.
    Tei,
}

/// A request that can be answered.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    pub(super) texts: Vec<Text>,
    /// Whether the answer is a list for one text, and not one of such lists.
    pub(super) is_one: bool,
    pub(super) refuses_truncated: bool,
    /// What makes scores, if not the model's own way.
    pub(super) activation: Option<Activation>,
    pub(super) top_k: usize,
}

/// How a request can be wrong.
pub(super) struct Parsing;

impl Failing for Parsing {
    fn failures() -> Vec<ApiError> {
        let too_long = ApiError::TextTooLong { characters: 3000, most: 2000 };
        vec![
            ApiError::Protocol("missing field `inputs`".to_owned()),
            ApiError::AtText { index: 0, error: Box::new(too_long) },
        ]
    }
}

/// Reads a body with texts of at most so many characters.
pub(super) fn parse(json: &str, speaker: Speaker, longest: usize) -> Result<Parsed, ApiError> {
    let names = ["truncate", "raw_scores", "parameters"];
    let (inputs, mut fields) = Inputs::read(json, "inputs", (longest, Elsewise::Pairs), names)?;
    let truncate = fields.boolean("truncate");
    let raw_scores = fields.boolean("raw_scores").unwrap_or_default();
    let parameters = fields.take("parameters").filter(|parameters| !fields::is_null(parameters));
    fields.finish().map_err(|_| ApiError::Protocol("truncate and raw_scores must be true or false".to_owned()))?;
    let speaker = if parameters.is_some() { Speaker::Hub } else { speaker };
    let (mut top_k, mut activation) = (usize::MAX, raw_scores.then_some(Activation::Identity));
    if let Some(parameters) = parameters {
        let read = Fields::read(parameters.get(), ["top_k", "function_to_apply"]);
        let mut fields = read.map_err(|_| ApiError::Protocol("parameters must be an object".to_owned()))?;
        top_k = labels(&mut fields)?.unwrap_or(top_k);
        activation = function(&mut fields)?.or(activation);
    }
    let (texts, is_one) = texts(inputs, speaker)?;
    Ok(Parsed { texts, is_one, refuses_truncated: truncate == Some(false), activation, top_k })
}

/// The texts, and whether the answer is a list for one.
fn texts(inputs: Inputs, speaker: Speaker) -> Result<(Vec<Text>, bool), ApiError> {
    let Inputs { mut texts, is_one, plain, .. } = inputs;
    if speaker == Speaker::Hub || is_one {
        return Ok((texts, speaker == Speaker::Tei));
    }
    match (plain, texts.len()) {
        (0, _) => Ok((texts, false)),
        (1, 1) => Ok((texts, true)),
        (2, 2) => {
            let other = texts.pop();
            Ok((texts.into_iter().map(|text| text.with_pair(other.clone())).collect(), true))
        }
        _ => Err(ApiError::Protocol(
            "a list of texts is a pair here: a batch is a list of lists, as [[\"a text\"], [\"another\"]]".to_owned(),
        )),
    }
}

fn labels<const N: usize>(fields: &mut Fields<N>) -> Result<Option<usize>, ApiError> {
    let wrong = || ApiError::Protocol(format!("top_k must be a whole number from 1 to {MOST_LABELS}"));
    let Some(number) = fields.take("top_k").filter(|number| !fields::is_null(number)) else { return Ok(None) };
    let number = fields::number(number).filter(|number| number.fract() == 0.0 && (1.0..=MOST_LABELS).contains(number));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 10,000")]
    number.map(|number| Some(number as usize)).ok_or_else(wrong)
}

fn function<const N: usize>(fields: &mut Fields<N>) -> Result<Option<Activation>, ApiError> {
    let wrong = || ApiError::Protocol("function_to_apply must be softmax, sigmoid, none or default".to_owned());
    let Some(name) = fields.text("function_to_apply", 20) else {
        return fields.is_good().then_some(None).ok_or_else(wrong);
    };
    let known = [Activation::Softmax, Activation::Sigmoid, Activation::Identity];
    match known.into_iter().find(|known| known.as_str() == name) {
        Some(activation) => Ok(Some(activation)),
        None if name == "default" => Ok(None),
        None => Err(wrong()),
    }
}

/// Whether a body is of this protocol and not version 1's.
pub(super) fn is_ours(json: &str) -> bool {
    Fields::read(json, ["inputs", "text"])
        .is_ok_and(|mut fields| fields.take("inputs").is_some() && fields.take("text").is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value, speaker: Speaker) -> Result<Parsed, String> {
        parse(&body.to_string(), speaker, 9).map_err(|error| error.to_string())
    }

    fn shape(inputs: &Value, speaker: Speaker) -> (Vec<(String, Option<String>)>, bool) {
        let parsed = read(&json!({ "inputs": inputs }), speaker).unwrap();
        (parsed.texts.into_iter().map(|text| (text.content, text.pair)).collect(), parsed.is_one)
    }

    #[test]
    fn each_reads_lists_its_own_way() {
        let (a, b) = (("a".to_owned(), None), ("b".to_owned(), None));
        let both = ("a".to_owned(), Some("b".to_owned()));
        assert_eq!(shape(&json!("a"), Speaker::Tei), (vec![a.clone()], true));
        assert_eq!(shape(&json!(["a"]), Speaker::Tei), (vec![a.clone()], true));
        assert_eq!(shape(&json!(["a", "b"]), Speaker::Tei), (vec![both.clone()], true));
        assert_eq!(shape(&json!([["a"]]), Speaker::Tei), (vec![a.clone()], false));
        assert_eq!(shape(&json!([["a", "b"], ["b"]]), Speaker::Tei), (vec![both, b.clone()], false));
        assert_eq!(shape(&json!("a"), Speaker::Hub), (vec![a.clone()], false));
        assert_eq!(shape(&json!(["a", "b"]), Speaker::Hub), (vec![a, b], false));
        let error = read(&json!({ "inputs": ["a", "b", "c"] }), Speaker::Tei).unwrap_err();
        assert!(error.starts_with("a list of texts is a pair here"), "{error}");
    }

    #[test]
    fn parameters_are_the_hubs() {
        let parameters = json!({ "top_k": 1, "function_to_apply": "sigmoid" });
        let parsed = read(&json!({ "inputs": "a", "parameters": parameters }), Speaker::Tei).unwrap();
        assert_eq!((parsed.is_one, parsed.top_k, parsed.activation), (false, 1, Some(Activation::Sigmoid)));
        let parsed = read(&json!({ "inputs": "a", "raw_scores": true, "truncate": false }), Speaker::Tei).unwrap();
        assert_eq!((parsed.activation, parsed.refuses_truncated), (Some(Activation::Identity), true));
        for (body, sentence) in [
            (json!({ "inputs": "a", "truncate": "no" }), "truncate and raw_scores must be true or false"),
            (json!({ "inputs": "a", "parameters": 7 }), "parameters must be an object"),
            (json!({ "inputs": "a", "parameters": { "top_k": 0 } }), "top_k must be a whole number from 1 to 10000"),
            (
                json!({ "inputs": "a", "parameters": { "function_to_apply": "tanh" } }),
                "function_to_apply must be softmax, sigmoid, none or default",
            ),
            (
                json!({ "inputs": "a", "parameters": { "function_to_apply": 7 } }),
                "function_to_apply must be softmax, sigmoid, none or default",
            ),
        ] {
            assert_eq!(read(&body, Speaker::Tei).unwrap_err(), sentence);
        }
    }

    #[test]
    fn a_body_with_inputs_and_no_text_is_ours() {
        assert!(is_ours(r#"{"inputs":7}"#));
        for body in ["", "[]", r#"{"text":"a"}"#, r#"{"text":"a","inputs":"b"}"#, "{}"] {
            assert!(!is_ours(body), "{body}");
        }
    }
}
