//! What the routes for one text and for many have in common.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, TryStreamExt, stream};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, Type},
    },
};

use super::{
    ApiError, App, Serving,
    error::Location,
    fields::{self, Fields, NoString, Raw},
    openapi::Failing,
    rows::Row,
};
use crate::{cache::Answer, traces};
use engine::{EngineError, Full, Outcome, Rejection, TokenizeError};
use model::NO_VERDICT;

/// Longest text of the contract; the settings may allow less.
pub(super) const LONGEST_TEXT: usize = 10_000;

/// Texts of one request that are with the engine at once: enough to fill every worker's batch.
const TEXTS_IN_FLIGHT: usize = 64;

/// How [`Fields::read`] and [`Text::of`] fail.
pub(super) struct Checking;

impl Failing for Checking {
    fn failures() -> Vec<ApiError> {
        let missing = ApiError::field("text", "Field required", "missing");
        vec![missing, ApiError::TextTooLong { characters: 3000, most: 2000 }]
    }
}

/// A text, stripped, and its length in characters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) content: String,
    pub(super) characters: usize,
}

/// Name of a text's schema.
pub(super) const SCHEMA: &str = "Text";

/// The schema of a text of at most so many characters.
pub(super) fn schema(most: usize) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(format!(
            "At least one character that isn't white space, which is cut away at both ends. At most {most} characters \
             by this server's settings (`MLOPS_MAX_TEXT_LENGTH`), more is a 400; over {LONGEST_TEXT} is a 422 on any. One \
             in which the model sees nothing, such as a lone control character, is a 400."
        )))
        .min_length(Some(1))
        .max_length(Some(most))
        // What `str::trim` leaves: one character outside of Unicode's White_Space, spelled out since `\S` isn't
        // the same in all dialects.
        .pattern(Some(r"[^\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"))
        .build()
        .into()
}

impl PartialSchema for Text {
    fn schema() -> RefOr<Schema> {
        schema(LONGEST_TEXT)
    }
}

impl ToSchema for Text {
    fn name() -> Cow<'static, str> {
        SCHEMA.into()
    }
}

/// Why a text isn't taken, and its length as far as it is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) characters: usize,
    pub(super) error: ApiError,
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

impl Text {
    /// The field `text` of a body.
    pub(super) fn read<const N: usize>(fields: &mut Fields<N>, most: usize) -> Result<Self, ApiError> {
        const FIELD: &str = "text";
        let value = fields.take(FIELD).ok_or_else(|| fields.missing(FIELD))?;
        Ok(Self::of(value, &[Location::Name(FIELD)], most)?)
    }

    /// Takes a value as a text of a length that may be. `field` is where it came from.
    pub(super) fn of(value: Raw, field: &[Location], most: usize) -> Result<Self, Refused> {
        match fields::string(value, |text| Self::check(text, field, most)) {
            Ok(checked) => checked,
            Err(NoString { msg, kind }) => Err(wrong(field, 0, msg, kind)),
        }
    }

    /// Takes a string as [`Self::of`] does. It is copied only when it is good.
    pub(super) fn check(text: &str, field: &[Location], most: usize) -> Result<Self, Refused> {
        let content = text.trim();
        let characters = content.chars().count();
        match characters {
            0 => Err(wrong(field, 0, "String should have at least 1 character", "string_too_short")),
            _ if characters > LONGEST_TEXT => {
                let msg = format!("String should have at most {LONGEST_TEXT} characters");
                Err(wrong(field, characters, msg, "string_too_long"))
            }
            _ if characters > most => Err(Refused { characters, error: ApiError::TextTooLong { characters, most } }),
            _ => Ok(Self { content: content.to_owned(), characters }),
        }
    }
}

fn wrong(field: &[Location], characters: usize, msg: impl Into<String>, kind: &'static str) -> Refused {
    let loc = std::iter::once(&Location::Name("body")).chain(field).cloned().collect();
    Refused { characters, error: ApiError::at(loc, msg, kind) }
}

/// The model, unless it is still loading.
pub(super) fn serving(app: &App) -> Result<&Serving, ApiError> {
    app.serving().ok_or_else(|| {
        app.metrics.engine.reject_many(Rejection::NotReady, 1);
        ApiError::ModelLoading
    })
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Refuses the text.
    Refuse,
    /// Lets it wait.
    Wait,
    /// As `Wait`, for a text of a batch job, which no caller waits for.
    WaitBehindRequests,
}

/// How [`serving`] and [`classify`] fail.
pub(super) struct Classifying;

impl Failing for Classifying {
    fn failures() -> Vec<ApiError> {
        vec![
            ApiError::Text("the text can't be tokenized".to_owned()),
            ApiError::TooManyTokens { tokens: 700, most: 512 },
            ApiError::Model("the model failed".to_owned()),
            ApiError::ModelLoading,
            ApiError::Stopping,
            ApiError::QueueFull {
                reason: Rejection::QueueFull,
                detail: "256 texts are waiting already".to_owned(),
                drained_in: 2,
            },
            ApiError::TimedOut(30),
        ]
    }
}

/// Answers a text until `deadline`, by a run of the model unless an equal text has had one.
/// Dropping the future withdraws it.
pub(super) async fn classify(
    app: &App,
    serving: &Serving,
    text: Text,
    deadline: Instant,
    when_full: WhenFull,
) -> Result<Answer, ApiError> {
    let ran = AtomicBool::new(false);
    let run = || {
        ran.store(true, Ordering::Relaxed);
        run(app, serving, &text.content, deadline, when_full)
    };
    // Another caller's time is not this one's, and a full queue refuses only those who don't wait for a place.
    let own = |error: &ApiError| match error {
        ApiError::TimedOut(_) | ApiError::QueueFull { reason: Rejection::NoTime, .. } => true,
        ApiError::QueueFull { .. } => when_full != WhenFull::Refuse,
        _ => false,
    };
    let answer = match &app.cache {
        Some(cache) => cache.answer(&text.content, run, own).await,
        None => run().await,
    };
    if let Err(ApiError::QueueFull { reason, .. }) = &answer
        && !ran.load(Ordering::Relaxed)
    {
        // Refused with an equal one, which was counted as it tried.
        app.metrics.engine.reject_many(*reason, 1);
    }
    let answer = answer?;
    app.observe_prediction(&answer.verdict, text.characters);
    if answer.truncated {
        app.metrics.texts_truncated.inc();
    }
    Ok(answer)
}

/// Answers many texts in order, each as soon as there is a place for it. A text that can't be answered has an error
/// of its own, any other error is one of all. Dropping the stream withdraws what is left.
pub(super) fn classify_each<'a>(
    app: &'a App,
    serving: &'a Serving,
    rows: Vec<Row>,
    deadline: Instant,
) -> impl Stream<Item = Result<Result<Answer, Refused>, ApiError>> + 'a {
    let answers = rows.into_iter().map(move |row| async move {
        let text = match row {
            Ok(text) => text,
            Err(refused) => return Ok(Err(refused)),
        };
        let characters = text.characters;
        match classify(app, serving, text, deadline, WhenFull::Wait).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(error) if error.is_of_one_text() => Ok(Err(Refused { characters, error })),
            Err(error) => Err(error),
        }
    });
    stream::iter(answers).buffered(TEXTS_IN_FLIGHT)
}

async fn run(
    app: &App,
    serving: &Serving,
    text: &str,
    deadline: Instant,
    when_full: WhenFull,
) -> Result<Answer, ApiError> {
    let text = text.to_owned();
    let _foreground = (when_full != WhenFull::WaitBehindRequests).then(|| app.foreground.enter());
    let outcome = match when_full {
        WhenFull::Refuse => serving.engine.classify(text, deadline).await,
        WhenFull::Wait | WhenFull::WaitBehindRequests => serving.engine.classify_patiently(text, deadline).await,
    };
    let Outcome { logits, truncated, inference, timeline } = outcome.map_err(|error| refusal(app, &error))?;
    traces::add_text(&timeline);
    let verdict = serving.labels.judge(&logits).ok_or_else(broken_output)?;
    Ok(Answer { verdict, truncated, inference, cached: false })
}

/// Runs many texts and returns their raw output in order. They are no predictions, so they are neither
/// kept nor counted. A text that can't be tokenized has its own error, any other error ends all.
pub(super) async fn run_all(
    app: &App,
    serving: &Serving,
    texts: Vec<String>,
    deadline: Instant,
) -> Result<Vec<Result<Vec<f32>, ApiError>>, ApiError> {
    let _foreground = app.foreground.enter();
    // Every worker has some texts before it while it runs others; more would only keep predictions waiting.
    let in_flight = TEXTS_IN_FLIGHT.min(4 * serving.threads);
    let outcomes = texts.into_iter().map(|text| async {
        match serving.engine.classify_patiently(text, deadline).await {
            Ok(Outcome { logits, timeline, .. }) => {
                traces::add_text(&timeline);
                Ok(Ok(logits))
            }
            Err(error) => match refusal(app, &error) {
                own @ (ApiError::Text(_) | ApiError::TooManyTokens { .. }) => Ok(Err(own)),
                other => Err(other),
            },
        }
    });
    stream::iter(outcomes).buffered(in_flight).try_collect().await
}

/// What a caller is told of the engine's error.
fn refusal(app: &App, error: &EngineError) -> ApiError {
    match error {
        EngineError::Expired => ApiError::TimedOut(app.config.request_timeout.as_secs()),
        EngineError::Full(refusal) => {
            let reason = rejection(refusal.cause);
            app.metrics.engine.reject_many(reason, 1);
            ApiError::QueueFull { reason, detail: error.to_string(), drained_in: whole_seconds(refusal.drained_in) }
        }
        EngineError::Tokenizer(error) => unreadable(error),
        EngineError::Model(_) => ApiError::Model(error.to_string()),
        EngineError::Stopped => ApiError::Stopping,
    }
}

/// What a caller is told of a text that has no tokens.
pub(super) fn unreadable(error: &TokenizeError) -> ApiError {
    match *error {
        TokenizeError::TooLong { tokens, most } => ApiError::TooManyTokens { tokens, most },
        TokenizeError::Text(_) => ApiError::Text(format!("the text can't be tokenized: {error}")),
    }
}

fn rejection(cause: Full) -> Rejection {
    match cause {
        Full::Places { .. } => Rejection::QueueFull,
        Full::Wait { .. } => Rejection::QueueWait,
        Full::Time { .. } => Rejection::NoTime,
    }
}

/// Rounded up: a caller that comes back earlier would be refused again.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0 || duration.is_zero())
}

/// The error for logits that can't be judged.
pub(super) fn broken_output() -> ApiError {
    ApiError::Model(NO_VERDICT.to_owned())
}

/// To a thousandth, which is finer than the clock is steady.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(error: ApiError) -> &'static str {
        match error {
            ApiError::Validation(errors) => errors[0].kind,
            other => panic!("{other:?}"),
        }
    }

    fn text(body: &str, most: usize) -> Result<Text, ApiError> {
        Text::read(&mut Fields::read(body, ["text"])?, most)
    }

    #[test]
    fn bodies() {
        let body = r#"{"text":" a \ud83d\ude00\n","more":1}"#;
        assert_eq!(text(body, 3), Ok(Text { content: "a 😀".to_owned(), characters: 3 }));
        for (body, expected) in [
            ("", "json_invalid"),
            ("{", "json_invalid"),
            // Python's JSON takes half a pair, and what reads it there says this.
            (r#"{"text":"\ud83d"}"#, "string_unicode"),
            (r#"["text"]"#, "model_attributes_type"),
            (r#"{"Text":"a"}"#, "missing"),
            (r#"{"text":null}"#, "string_type"),
            (r#"{"text":7}"#, "string_type"),
            (r#"{"text":1e999}"#, "string_type"),
            (r#"{"text":" \t"}"#, "string_too_short"),
        ] {
            assert_eq!(kind(text(body, 9).unwrap_err()), expected, "{body}");
        }
        let deep = format!("{{\"text\":{}", "[".repeat(100_000));
        assert_eq!(kind(text(&deep, 9).unwrap_err()), "json_invalid");
        let closed = format!("{deep}{}}}", "]".repeat(100_000));
        assert_eq!(kind(text(&closed, 9).unwrap_err()), "string_type");
    }

    #[test]
    fn lengths_are_in_characters() {
        let text = |length: usize| text(&format!(r#"{{"text":"{}"}}"#, "é".repeat(length)), 2);
        assert_eq!(text(2).unwrap().characters, 2);
        assert_eq!(text(3), Err(ApiError::TextTooLong { characters: 3, most: 2 }));
        assert_eq!(kind(text(10_001).unwrap_err()), "string_too_long");
    }
}
