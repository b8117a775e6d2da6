//! Errors as callers see them: one flat JSON object, with the codes of version 1.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    batch_jobs::JobError,
    bodies,
    correlation::CorrelationId,
    protocols::{self, Form},
};
use crate::{access::Exceeded, clock, metrics::LimitReason, predict::PredictError};

/// One problem of a request's body, in the shape that version 1 gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ValidationError {
    /// Where: `body`, then field names and list indices.
    pub loc: Vec<Location>,
    /// What is wrong.
    pub msg: String,
    /// A stable name for it.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// A step on the way to a value in the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Location {
    /// A field.
    Name(&'static str),
    /// A place in a list or a text.
    Index(usize),
}

/// Longest part of what a caller sent that an error repeats, in characters.
const LONGEST_QUOTE: usize = 64;

/// Longest sentence of one error among many, in bytes.
const LONGEST_SENTENCE: usize = 300;

/// What a caller sent, for an error's sentence.
pub(crate) fn quoted(given: &str) -> String {
    let start: String = given.chars().take(LONGEST_QUOTE).collect();
    if start.len() < given.len() { format!("{start:?}…") } else { format!("{start:?}") }
}

/// What is said of a limit.
fn limited(exceeded: &Exceeded) -> &'static str {
    match exceeded.reason {
        LimitReason::Rate => {
            "the key has sent as many requests as it may for now; Retry-After says when the next may come"
        }
        LimitReason::Concurrency => "as many requests of the key are being answered as it may have at once",
    }
}

/// Everything that a handler can answer instead of a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The body is not what the route takes.
    #[error("{}", .0.first().map_or("the request is not valid", |first| first.msg.as_str()))]
    Validation(Vec<ValidationError>),
    /// The text is longer than the settings allow.
    #[error("the text has {characters} characters, and at most {most} are allowed")]
    TextTooLong {
        /// Characters in the text.
        characters: usize,
        /// Characters allowed.
        most: usize,
    },
    /// There is no prediction.
    #[error(transparent)]
    Predict(#[from] PredictError),
    /// The body doesn't follow the protocol of its route.
    #[error("{0}")]
    Protocol(String),
    /// An error of one text of several, in a protocol whose answer is all or nothing.
    #[error("text {index}: {error}")]
    AtText {
        /// The text's place among all.
        index: usize,
        /// What is wrong with it.
        error: Box<ApiError>,
    },
    /// A model of another name.
    #[error("there is no model {} here", quoted(.0))]
    UnknownModel(String),
    /// The body is larger than the route takes.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// The body did not arrive whole.
    #[error("the body could not be read")]
    BrokenBody,
    /// The body decompresses to more than the route takes.
    #[error("the body decompresses to more than {0} bytes")]
    UnpacksTooLarge(usize),
    /// The body's bytes aren't what they are said to be.
    #[error("{0}")]
    UnreadableBody(String),
    /// The body is compressed in a way that isn't read.
    #[error("{0}")]
    UnsupportedEncoding(String),
    /// The body is no JSON, or in a character set that isn't read.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// The client takes too long over the body.
    #[error("the body did not come within {0} seconds")]
    BodyTooSlow(u64),
    /// The client takes too long over the head.
    #[error("the request's head did not come within {0} seconds")]
    HeadTooSlow(u64),
    /// The client speaks plain HTTP where TLS is spoken.
    #[error("this port speaks HTTPS: write https:// in place of http://")]
    NotHttps,
    /// No such route.
    #[error("{0}")]
    NotFound(String),
    /// The route has other methods.
    #[error("this path has other methods, which the Allow header names")]
    MethodNotAllowed,
    /// The API key is missing or wrong.
    #[error("the key is missing or wrong: send it as X-API-Key, or as Authorization: Bearer")]
    Unauthorized,
    /// The API key asks for more than its limits allow.
    #[error("{}", limited(.0))]
    KeyLimited(Exceeded),
    /// The queue is full.
    #[error("{0}")]
    Overloaded(String),
    /// All places for connections are taken.
    #[error("as many connections are open as MLOPS_MAX_CONNECTIONS allows")]
    TooManyConnections,
    /// Predictions aren't watched for drift.
    #[error("predictions are not watched for drift; MLOPS_DRIFT_DETECTION_ENABLED=true turns that on")]
    DriftOff,
    /// The process ends soon, or isn't ready yet.
    #[error("the server is not ready: {0}")]
    NotReady(&'static str),
    /// There is no answer about a batch job.
    #[error("{0}")]
    Job(JobError),
    /// A defect of the server.
    #[error("{0}")]
    Internal(&'static str),
}

impl ApiError {
    /// An error for one field of the body.
    pub(super) fn field(field: &'static str, msg: impl Into<String>, kind: &'static str) -> Self {
        Self::at(vec![Location::Name("body"), Location::Name(field)], msg, kind)
    }

    /// An error for one place in the body.
    pub(super) fn at(loc: Vec<Location>, msg: impl Into<String>, kind: &'static str) -> Self {
        Self::Validation(vec![ValidationError { loc, msg: msg.into(), kind }])
    }

    /// One error for several: the first that is not about the request's shape, else all problems of it.
    pub(super) fn all_of(errors: impl Iterator<Item = Self>) -> Self {
        let mut problems = Vec::new();
        for error in errors {
            match error {
                Self::Validation(found) => problems.extend(found),
                other => return other,
            }
        }
        Self::Validation(problems)
    }

    /// Its sentence as one of many in an answer: some of the model's quote whole tensors.
    pub(super) fn brief(&self) -> String {
        let mut sentence = self.to_string();
        sentence.truncate(sentence.floor_char_boundary(LONGEST_SENTENCE));
        sentence
    }

    /// Whether it is about a text, so that others of its request can have an answer all the same.
    pub(super) fn is_of_one_text(&self) -> bool {
        match self {
            Self::Validation(_) | Self::TextTooLong { .. } => true,
            Self::Predict(error) => error.is_of_one_text(),
            _ => false,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Job(error) => error.status(),
            Self::Predict(error) => match error {
                PredictError::Unreadable(_) | PredictError::TooManyTokens { .. } | PredictError::NoEntailment => {
                    StatusCode::BAD_REQUEST
                }
                PredictError::NotReady | PredictError::Stopping | PredictError::Overloaded { .. } => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                PredictError::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
                PredictError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Validation(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::AtText { error, .. } => error.status(),
            Self::TextTooLong { .. }
            | Self::BrokenBody
            | Self::UnreadableBody(_)
            | Self::Protocol(_)
            | Self::NotHttps => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge(_) | Self::UnpacksTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedEncoding(_) | Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooSlow(_) | Self::HeadTooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::NotFound(_) | Self::UnknownModel(_) | Self::DriftOff => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::KeyLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded(_) | Self::TooManyConnections | Self::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// E1xxx input, E2xxx model, E3xxx access, E4xxx system, E7xxx batch jobs, E8xxx monitoring.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Job(error) => error.code(),
            Self::Predict(error) => match error {
                PredictError::Unreadable(_) => "E1004",
                PredictError::TooManyTokens { .. } => "E1013",
                PredictError::NoEntailment => "E1015",
                PredictError::NotReady => "E2001",
                PredictError::Failed(_) => "E2002",
                PredictError::TimedOut(_) => "E2003",
                PredictError::Stopping => "E4002",
                PredictError::Overloaded { .. } => "E4003",
            },
            Self::Validation(_) => "E1001",
            Self::TextTooLong { .. } => "E1002",
            Self::AtText { error, .. } => error.code(),
            Self::BodyTooLarge(_) | Self::UnpacksTooLarge(_) => "E1005",
            Self::BrokenBody | Self::UnreadableBody(_) => "E1006",
            Self::UnsupportedEncoding(_) => "E1011",
            Self::UnsupportedMedia(_) => "E1012",
            Self::NotFound(_) | Self::UnknownModel(_) => "E1007",
            Self::MethodNotAllowed => "E1008",
            Self::Protocol(_) => "E1009",
            Self::BodyTooSlow(_) | Self::HeadTooSlow(_) => "E1010",
            Self::NotHttps => "E1014",
            Self::Unauthorized => "E3002",
            Self::KeyLimited(_) => "E3003",
            Self::Internal(_) => "E4001",
            Self::NotReady(_) => "E4002",
            Self::Overloaded(_) | Self::TooManyConnections => "E4003",
            Self::DriftOff => "E8001",
        }
    }

    /// One fixed sentence a code, for programs and dashboards; `detail` is for the reader.
    pub(super) fn message(&self) -> &'static str {
        match self {
            Self::Job(error) => error.message(),
            Self::Predict(error) => match error {
                PredictError::Unreadable(_) => "Input text contains invalid characters",
                PredictError::TooManyTokens { .. } => "Input text is longer than what the model reads",
                PredictError::NotReady => "Sentiment analysis model is not loaded",
                PredictError::NoEntailment => "The model takes no candidate labels",
                PredictError::Failed(_) => "Model inference failed",
                PredictError::TimedOut(_) => "Model inference timed out",
                PredictError::Stopping => "Service is temporarily unavailable",
                PredictError::Overloaded { .. } => "Service is overloaded",
            },
            Self::Validation(_) => "Invalid input text provided",
            Self::TextTooLong { .. } => "Input text exceeds maximum length limit",
            Self::AtText { error, .. } => error.message(),
            Self::BodyTooLarge(_) | Self::UnpacksTooLarge(_) => "Request body exceeds maximum size",
            Self::BrokenBody | Self::UnreadableBody(_) => "Request body could not be read",
            Self::UnsupportedEncoding(_) => "Content encoding is not supported",
            Self::UnsupportedMedia(_) => "Media type is not supported",
            Self::NotFound(_) | Self::UnknownModel(_) => "Not found",
            Self::Protocol(_) => "Request does not follow the protocol",
            Self::MethodNotAllowed => "Method not allowed",
            Self::BodyTooSlow(_) | Self::HeadTooSlow(_) => "Request did not arrive in time",
            Self::NotHttps => "Plain HTTP was sent to a port that speaks HTTPS",
            Self::Unauthorized => "Unauthorized access to API endpoint",
            Self::KeyLimited(_) => "API key exceeds its limit",
            Self::Internal(_) => "Internal server error occurred",
            Self::NotReady(_) => "Service is temporarily unavailable",
            Self::Overloaded(_) | Self::TooManyConnections => "Service is overloaded",
            Self::DriftOff => "Drift detection is off",
        }
    }

    /// Seconds after which another try may succeed.
    pub(super) fn retry_after(&self) -> Option<HeaderValue> {
        match self {
            Self::Job(error) => error.retry_after(),
            Self::KeyLimited(exceeded) => Some(exceeded.retry_after.into()),
            Self::Predict(PredictError::Overloaded { retry_after, .. }) => Some((*retry_after).into()),
            Self::Predict(PredictError::NotReady | PredictError::Stopping)
            | Self::Overloaded(_)
            | Self::TooManyConnections
            | Self::NotReady(_) => Some(HeaderValue::from_static("1")),
            _ => None,
        }
    }

    /// The response itself, which only the correlation layer can make: it knows the id.
    pub(super) fn render(&self, form: &Form, correlation_id: &CorrelationId) -> Response {
        let body = (form.render)(self, correlation_id.as_str(), clock::unix_seconds());
        self.with_headers(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    }

    fn with_headers(&self, mut response: Response) -> Response {
        *response.status_mut() = self.status();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if matches!(self, Self::UnsupportedEncoding(_)) {
            let accepted = HeaderValue::from_static(bodies::ACCEPTED_ENCODINGS);
            response.headers_mut().insert(header::ACCEPT_ENCODING, accepted);
        }
        if *self == Self::Unauthorized {
            let scheme = HeaderValue::from_static("ApiKey, Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// How version 1's errors look.
pub(super) static FORM: Form = Form {
    name: ErrorBody::name,
    render: |error, id, timestamp| protocols::json(&ErrorBody::of(error, id, timestamp)),
};

/// An error as its caller sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody<'a> {
    /// E1xxx input, E2xxx model, E3xxx access, E4xxx system, E7xxx batch jobs, E8xxx monitoring.
    #[schema(pattern = "^E[0-9]{4}$")]
    error_code: &'static str,
    /// One fixed sentence a code.
    error_message: &'static str,
    /// What went wrong this time.
    detail: String,
    /// Each problem of the body; only with status 422.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    validation_errors: Option<&'a [ValidationError]>,
    /// The request's id, as in `X-Correlation-ID`.
    correlation_id: &'a str,
    /// Seconds since 1970 (UTC).
    timestamp: f64,
}

impl<'a> ErrorBody<'a> {
    pub(super) fn of(error: &'a ApiError, correlation_id: &'a str, timestamp: f64) -> Self {
        Self {
            error_code: error.code(),
            error_message: error.message(),
            detail: error.to_string(),
            validation_errors: match error {
                ApiError::Validation(errors) => Some(errors),
                _ => None,
            },
            correlation_id,
            timestamp,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A whole response, for a connection on which no request has come to a handler.
#[must_use]
pub fn refusal(error: &ApiError) -> Vec<u8> {
    let id = CorrelationId::make();
    let body = (FORM.render)(error, id.as_str(), clock::unix_seconds());
    let retry = if error.retry_after().is_some() { "retry-after: 1\r\n" } else { "" };
    let mut response = format!(
        "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nx-correlation-id: {}\r\n{retry}connection: \
         close\r\n\r\n",
        error.status(),
        body.len(),
        id.as_str()
    )
    .into_bytes();
    response.extend_from_slice(body.as_bytes());
    response
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}
