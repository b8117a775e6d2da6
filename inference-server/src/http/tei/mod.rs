//! text-embeddings-inference and the Hub's text classification: `POST /predict`, `POST /` and `GET /info`.

mod either;
mod info;
mod predict;
mod request;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    ApiError, App, Routes, openapi,
    protocols::{self, Form, Spoken},
};
use crate::{predict::PredictError, protocol::Protocol};

/// Name of its group of operations.
const TAG: &str = "text-embeddings-inference";

/// The protocol as it is spoken here.
pub(super) static SPOKEN: Spoken = Spoken {
    protocol: Protocol::Tei,
    tag: TAG,
    owns: |app, path| path == "/" || path == "/info" || (path == "/predict" && !shares_predict(app)),
    form: &FORM,
    keyed,
    open: protocols::none,
    probes: protocols::none,
    describe: |_, components| protocols::describe::<ErrorBody>(components),
};

/// How its errors look.
pub(super) static FORM: Form = Form {
    name: ErrorBody::name,
    render: |error, _, _| protocols::json(&ErrorBody { error: error.to_string(), error_type: error_type(error) }),
};

/// The shape of an error.
#[derive(Serialize, ToSchema)]
#[schema(as = TeiError)]
struct ErrorBody {
    /// What went wrong.
    error: String,
    /// `Validation`, `Tokenizer`, `Backend`, `Overloaded` or `Unhealthy`.
    #[schema(example = "Validation")]
    error_type: &'static str,
}

/// What kind of error it is, in text-embeddings-inference's names.
fn error_type(error: &ApiError) -> &'static str {
    match error {
        ApiError::AtText { error, .. } => error_type(error),
        ApiError::Predict(error) => match error {
            PredictError::Unreadable(_) => "Tokenizer",
            PredictError::TooManyTokens { .. } | PredictError::NoEntailment => "Validation",
            PredictError::Failed(_) | PredictError::TimedOut(_) => "Backend",
            PredictError::Overloaded { .. } => "Overloaded",
            PredictError::NotReady | PredictError::Stopping => "Unhealthy",
        },
        ApiError::Overloaded(_) | ApiError::TooManyConnections | ApiError::KeyLimited(_) => "Overloaded",
        ApiError::NotReady(_) => "Unhealthy",
        ApiError::Internal(_) => "Backend",
        _ => "Validation",
    }
}

/// Marks answers as this protocol's.
struct Tei;

impl openapi::InForm for Tei {
    const FORM: &'static Form = &FORM;
}

/// How its handlers fail.
type Failures<Steps> = openapi::Failures<Steps, Tei>;

/// Whether `/predict` is version 1's too: then the body decides.
pub(super) fn shares_predict(app: &App) -> bool {
    app.config.prefix().is_empty()
        && app.config.protocols.has(Protocol::Native)
        && app.config.protocols.has(Protocol::Tei)
}

fn keyed(app: &App) -> Routes {
    let routes = Routes::new().routes(routes!(predict::hub)).routes(routes!(info::info));
    if shares_predict(app) { routes.routes(routes!(either::predict)) } else { routes.routes(routes!(predict::predict)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_its_shape_and_its_kinds() {
        let unreadable = PredictError::Unreadable("the text can't be tokenized".to_owned());
        let error = ApiError::AtText { index: 1, error: Box::new(unreadable.into()) };
        let body: serde_json::Value = serde_json::from_str(&(FORM.render)(&error, "id", 0.0)).unwrap();
        assert_eq!(
            body,
            serde_json::json!({ "error": "text 1: the text can't be tokenized", "error_type": "Tokenizer" })
        );
        for (error, kind) in [
            (ApiError::Overloaded("8 batches".to_owned()), "Overloaded"),
            (PredictError::Stopping.into(), "Unhealthy"),
            (PredictError::TimedOut(3).into(), "Backend"),
            (ApiError::Unauthorized, "Validation"),
        ] {
            assert_eq!(error_type(&error), kind, "{error}");
        }
    }
}
