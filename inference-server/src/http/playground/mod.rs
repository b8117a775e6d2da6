//! `/` for browsers: a page to try the model on, beside the answer that programs get there. It needs no key, as it holds
//! no secret; what it asks does.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{App, docs, info::Root, openapi::tags};
use crate::{protocol::Protocol, version};

const PAGE: &str = include_str!("page.html");

/// What the page is made of, by path, as it names them: relative, for gateways that put all of it under a path of their own.
static FILES: [(&str, HeaderValue, &str); 3] = [
    ("/playground/page.css", HeaderValue::from_static("text/css; charset=utf-8"), include_str!("page.css")),
    ("/playground/page.js", HeaderValue::from_static("text/javascript; charset=utf-8"), include_str!("page.js")),
    ("/playground/icon.svg", HeaderValue::from_static("image/svg+xml"), include_str!("icon.svg")),
];

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Whether there is a page. It asks in version 1's own protocol.
pub(super) fn is_served(app: &App) -> bool {
    app.config.playground.is_some() && app.config.protocols.has(Protocol::Native)
}

/// The routes of what the page is made of, or none where there is no page.
pub(super) fn routes(app: &App) -> Router<Arc<App>> {
    if !is_served(app) {
        return Router::new();
    }
    FILES.iter().fold(Router::new(), |routes, (path, content_type, content)| {
        let file = move |State(app): State<Arc<App>>| async move { file(&app, content_type.clone(), *content) };
        routes.route(path, get(file))
    })
}

/// What this is
///
/// Who accepts HTML, as browsers do, gets a page to try the model on.
#[utoipa::path(
    get, path = "/", operation_id = "root", tag = tags::SERVICE,
    responses((
        status = OK, description = "Name, version, and where to go on", content(
            (Root = "application/json"),
            (String = "text/html"),
        ),
    )),
)]
pub(super) async fn root(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let mut response =
        if prefers_html(&headers) { file(&app, HTML, page(&app)) } else { Json(Root::of(&app)).into_response() };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Whether HTML is accepted by its name, and no less than JSON. Programs name JSON, or anything.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut html, mut json) = (0.0, 0.0);
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let quality = quality.map_or(1.0, |quality| quality.parse::<f32>().unwrap_or_default());
        if media_type.eq_ignore_ascii_case("text/html") {
            html = quality;
        } else if media_type.eq_ignore_ascii_case("application/json") {
            json = quality;
        }
    }
    html > 0.0 && html >= json
}

/// The page as it is for this server. None of what is put in has a character that means something in HTML.
fn page(app: &App) -> String {
    PAGE.replace("{api}", app.config.prefix().trim_start_matches('/'))
        .replace("{origins}", &origins(app))
        .replace("{key}", if app.config.api_keys.is_some() { "asked" } else { "" })
        .replace("{docs}", if app.config.docs_enabled { "" } else { "hidden" })
        .replace("{version}", version())
}

/// The origins that the page may ask beside its own.
fn origins(app: &App) -> String {
    let origins = app.config.playground.iter().flat_map(|playground| &playground.origins);
    origins.filter_map(|origin| origin.to_str().ok()).collect::<Vec<_>>().join(" ")
}

/// A file that isn't kept, so that page and script are of one server's version.
fn file(app: &App, content_type: HeaderValue, content: impl IntoResponse) -> Response {
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.extend(docs::PAGE_HEADERS);
    headers.insert(header::CONTENT_SECURITY_POLICY, content_security_policy(app));
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Lets the page load its own files, and ask this origin and those of the settings, and nothing else. No text can
/// become markup or a script.
fn content_security_policy(app: &App) -> HeaderValue {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {}; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        format!("'self' {}", origins(app)).trim_end()
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_html_and_programs_json() {
        for (accept, html) in [
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"][..], true),
            (&["Text/HTML"], true),
            (&["application/json;q=0.5, text/html;level=1;q=0.5"], true),
            (&["application/json", "text/html"], true),
            (&["application/json, text/html;q=0.9"], false),
            (&["text/html;q=0"], false),
            (&["text/html;q=high"], false),
            (&["application/json"], false),
            (&["text/*"], false),
            (&["*/*"], false),
            (&[""], false),
            (&[], false),
        ] {
            let headers = accept.iter().map(|value| (header::ACCEPT, HeaderValue::from_static(value)));
            assert_eq!(prefers_html(&headers.collect()), html, "{accept:?}");
        }
    }
}
