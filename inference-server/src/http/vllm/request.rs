//! What a request says.

use utoipa::ToSchema;

use crate::http::{
    ApiError,
    inputs::{Elsewise, Inputs},
    openapi::{Failing, shapes},
    rows::MOST_TEXTS,
};
use crate::predict::Text;

/// Longest name of a model that is looked at, in characters.
const LONGEST_NAME: usize = 1000;

/// What Infinity's clients send where no model is named.
pub(super) const ANY_MODEL: &str = "default/not-specified";

/// The body as documented; [`parse`] reads it.
#[derive(ToSchema)]
#[schema(as = ClassifyRequest, example = json!({ "input": ["I love this product", "It is awful"] }))]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct Request {
    /// The model's name, which may be left out.
    model: Option<ClassifyModel>,
    input: ClassifyInput,
    /// Answers in Infinity's shape, with raw outputs where it is true.
    raw_scores: Option<bool>,
    /// Whether probabilities are answered, and not raw outputs. True unless it is said.
    use_activation: Option<bool>,
    /// As `use_activation`, by its name of before.
    activation: Option<bool>,
}

/// A model's name in the document, which puts the served one in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct ClassifyModel(String);

shapes::one_of! {
    /// A text or several.
    ClassifyInput as "ClassifyInput": [shapes::text(), shapes::list(shapes::text(), MOST_TEXTS)] of []
}

/// Whose clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    Vllm,
    Infinity,
}

/// A request that can be answered.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    pub(super) texts: Vec<Text>,
    pub(super) speaker: Speaker,
    /// Whether raw outputs are wanted in place of scores.
    pub(super) raw: bool,
}

/// How a request can be wrong.
pub(super) struct Parsing;

impl Failing for Parsing {
    fn failures() -> Vec<ApiError> {
        let too_long = ApiError::TextTooLong { characters: 3000, most: 2000 };
        vec![
            ApiError::Protocol("missing field `input`".to_owned()),
            ApiError::AtText { index: 0, error: Box::new(too_long) },
            ApiError::UnknownModel("other".to_owned()),
        ]
    }
}

/// Reads a body with texts of at most so many characters for a model.
pub(super) fn parse(json: &str, model: &str, longest: usize) -> Result<Parsed, ApiError> {
    let names = ["model", "raw_scores", "use_activation", "activation"];
    let (inputs, mut fields) = Inputs::read(json, "input", (longest, Elsewise::No), names)?;
    let name = fields.text("model", LONGEST_NAME);
    if !fields.is_good() {
        return Err(ApiError::Protocol("model must be a text".to_owned()));
    }
    if let Some(name) = name.filter(|name| name != model && name != ANY_MODEL) {
        return Err(ApiError::UnknownModel(name));
    }
    let raw_scores = fields.boolean("raw_scores");
    let is_applied = fields.boolean("use_activation").or(fields.boolean("activation")).unwrap_or(true);
    let wrong = |_| ApiError::Protocol("raw_scores, use_activation and activation must be true or false".to_owned());
    fields.finish().map_err(wrong)?;
    let (speaker, raw) = match raw_scores {
        Some(raw) => (Speaker::Infinity, raw),
        None => (Speaker::Vllm, !is_applied),
    };
    Ok(Parsed { texts: inputs.texts, speaker, raw })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<(usize, Speaker, bool), String> {
        let parsed = parse(json, "reviews", 9).map_err(|error| error.to_string())?;
        Ok((parsed.texts.len(), parsed.speaker, parsed.raw))
    }

    #[test]
    fn raw_scores_tell_infinity_from_vllm() {
        for (body, expected) in [
            (r#"{"input":"a"}"#, (1, Speaker::Vllm, false)),
            (r#"{"input":["a","b"],"model":"reviews"}"#, (2, Speaker::Vllm, false)),
            (r#"{"input":"a","use_activation":false}"#, (1, Speaker::Vllm, true)),
            (r#"{"input":"a","activation":false}"#, (1, Speaker::Vllm, true)),
            (r#"{"input":["a"],"raw_scores":false,"model":"default/not-specified"}"#, (1, Speaker::Infinity, false)),
            (r#"{"input":["a"],"raw_scores":true}"#, (1, Speaker::Infinity, true)),
        ] {
            assert_eq!(read(body), Ok(expected), "{body}");
        }
        for (body, sentence) in [
            (r#"{"input":[1,2]}"#, "text 0: it must be a text"),
            (r#"{"input":"a","model":"other"}"#, "there is no model \"other\" here"),
            (r#"{"input":"a","model":7}"#, "model must be a text"),
            (r#"{"input":"a","raw_scores":1}"#, "raw_scores, use_activation and activation must be true or false"),
        ] {
            assert_eq!(read(body), Err(sentence.to_owned()));
        }
    }
}
