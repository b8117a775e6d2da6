//! `/docs`: the OpenAPI document as a page, and the document itself. Neither needs a key, as they hold
//! no secret and a browser could not send one.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Path,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config as Page;

use super::{ApiError, App};

/// Where the page is.
pub(super) const PATH: &str = "/docs";

/// Lets the page load its own files and ask this server, and nothing else. The page's script sets styles
/// on its elements and has small pictures as data.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Those of every page, beside its policy.
pub(super) const PAGE_HEADERS: [(HeaderName, HeaderValue); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Where the document is.
fn document_path(app: &App) -> String {
    format!("{}/openapi.json", app.config.prefix())
}

/// Where a reader finds the page and the document, or nowhere where they are turned off.
pub(super) fn paths(app: &App) -> Vec<String> {
    if app.config.docs_enabled { vec![PATH.to_owned(), document_path(app)] } else { Vec::new() }
}

/// The routes of the page and the document, or none where they are turned off.
pub(super) fn routes(app: &App, document: &OpenApi) -> Router<Arc<App>> {
    if !app.config.docs_enabled {
        return Router::new();
    }
    let document_path = document_path(app);
    // Relative, so that both work behind a gateway that puts them under a path of its own.
    let page = Page::new([format!("..{document_path}")])
        .try_it_out_enabled(true)
        .display_request_duration(true)
        // The default is a service on the internet.
        .validator_url("none");
    let page = Arc::new(page);
    // Fixed from here on, so it is written once.
    let document = document.to_json().map(Bytes::from).map_err(|_| ApiError::Internal("the document can't be written"));
    let file = move |path: Option<Path<String>>| async move { file(path.as_deref().map_or("", String::as_str), page) };
    Router::new()
        .route(&document_path, get(|| async { document.map(as_json) }))
        .route(PATH, get(|| async { (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "docs/")]) }))
        .route("/docs/", get(file.clone()))
        .route("/docs/{*file}", get(file))
}

fn as_json(document: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

/// A file of the page by its path; the page itself by none.
fn file(path: &str, page: Arc<Page<'static>>) -> Result<Response, ApiError> {
    let file = utoipa_swagger_ui::serve(path, page).map_err(|_| ApiError::Internal("the page can't be made"))?;
    let file = file.ok_or_else(|| ApiError::NotFound(format!("the page at {PATH} has no such file")))?;
    let content_type = HeaderValue::from_str(&file.content_type);
    let content_type = content_type.map_err(|_| ApiError::Internal("the page has a file of no type"))?;
    let mut response = Response::new(Body::from(file.bytes));
    let headers = response.headers_mut();
    headers.extend(PAGE_HEADERS);
    headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    headers.insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}
