//! What is said of a path that isn't there: which route was probably meant.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::Method,
    response::{IntoResponse, Response},
};
use utoipa::openapi::{OpenApi, path::PathItem};

use super::ApiError;
use crate::config::PREFIX;

/// Characters of a path that are shown to who asked for it.
const SHOWN: usize = 80;

/// Characters of a path that are compared with the routes.
const COMPARED: usize = 200;

/// Likeness from which on a route is named.
const ALIKE: f64 = 0.85;

/// A path with its methods.
#[derive(Clone, Debug)]
struct Route {
    template: String,
    methods: Vec<&'static str>,
}

/// The routes of a port.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    here: Vec<Route>,
    /// Another port, and what only that one has.
    elsewhere: Option<(u16, Vec<Route>)>,
}

impl Routes {
    /// Those of a document, and pages beside it.
    pub(super) fn of<'a>(document: &OpenApi, pages: impl IntoIterator<Item = &'a str>) -> Self {
        let documented =
            document.paths.paths.iter().map(|(path, item)| Route { template: path.clone(), methods: methods(item) });
        let pages = pages.into_iter().map(|path| Route { template: path.to_owned(), methods: vec!["GET"] });
        Self { here: documented.chain(pages).collect(), elsewhere: None }
    }

    /// Knows also what only another port has.
    pub(super) fn with_other(mut self, port: u16, other: Self) -> Self {
        let only_there = other.here.into_iter().filter(|route| self.here.iter().all(|here| !here.is(&route.template)));
        self.elsewhere = Some((port, only_there.collect()));
        self
    }

    /// The answer to a request whose path is none of these.
    pub(super) fn answer(self: Arc<Self>, request: &Request) -> Response {
        ApiError::NotFound(self.explain(request.method(), request.uri().path())).into_response()
    }

    fn explain(&self, method: &Method, path: &str) -> String {
        let shown = printable(path);
        let asked = tidy(&path.chars().take(COMPARED).collect::<String>());
        if let Some((port, routes)) = &self.elsewhere
            && routes.iter().any(|route| route.is(&asked))
        {
            return format!(
                "there is nothing at {shown} on this port: MLOPS_MANAGEMENT_PORT is set, and port {port} has it"
            );
        }
        match self.nearest(method, &asked) {
            Some(near) if asked.starts_with("/v1/models") && near.contains("/v2/") => format!(
                "there is nothing at {shown}: the Open Inference Protocol is spoken in version 2; did you mean {near}?"
            ),
            Some(near) => format!("there is nothing at {shown}; did you mean {near}?"),
            None => format!("there is nothing at {shown}"),
        }
    }

    /// The route that was probably meant, with its method.
    fn nearest(&self, method: &Method, asked: &str) -> Option<String> {
        let has_prefix = |path: &str| without_prefix(path).len() + 1 < path.len();
        let likeness = |route: &Route| {
            let same_method = if route.methods.contains(&method.as_str()) { 0.01 } else { 0.0 };
            let same_prefix = if has_prefix(&route.template) == has_prefix(asked) { 0.02 } else { 0.0 };
            route.likeness(asked) + same_method + same_prefix
        };
        let rated = self.here.iter().map(|route| (likeness(route), route));
        let rated = rated.filter(|(likeness, _)| *likeness >= ALIKE);
        let (_, route) = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let method = route.methods.iter().find(|known| **known == method.as_str()).or(route.methods.first())?;
        Some(format!("{method} {}", route.template))
    }
}

impl Route {
    /// Whether a path is this one.
    fn is(&self, path: &str) -> bool {
        let mut parts = path.split('/');
        self.template.split('/').all(|part| parts.next().is_some_and(|found| is_variable(part) || part == found))
            && parts.next().is_none()
    }

    /// 2 and more for the path itself in another spelling or below another prefix, else from 0 to 1.
    fn likeness(&self, asked: &str) -> f64 {
        let (mine, asked) = (without_prefix(&self.template), without_prefix(asked));
        // As version 1 of the protocol has it, and TensorFlow's server.
        let asked = match asked.strip_prefix("v1/models/").and_then(|rest| rest.strip_suffix(":predict")) {
            Some(model) => format!("v2/models/{model}/infer"),
            None => asked.to_owned(),
        };
        let (parts, found): (Vec<_>, Vec<_>) = (mine.split('/').collect(), asked.split('/').collect());
        let same = |(part, found): (&&str, &&str)| is_variable(part) || part.eq_ignore_ascii_case(found);
        if !mine.is_empty()
            && parts.len() <= found.len()
            && parts.iter().zip(&found[found.len() - parts.len()..]).all(same)
        {
            // The longer the part that they share, the better.
            return 2.0 + f64::from(u32::try_from(parts.len()).unwrap_or(u32::MAX));
        }
        let filled: Vec<&str> = if parts.len() == found.len() {
            parts.iter().zip(&found).map(|(part, found)| if is_variable(part) { *found } else { *part }).collect()
        } else {
            parts
        };
        strsim::jaro_winkler(&filled.join("/"), &asked.to_ascii_lowercase())
    }
}

fn methods(item: &PathItem) -> Vec<&'static str> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [("GET", get), ("POST", post), ("PUT", put), ("PATCH", patch), ("DELETE", delete)]
        .into_iter()
        .filter_map(|(name, operation)| operation.is_some().then_some(name))
        .collect()
}

fn is_variable(part: &str) -> bool {
    part.starts_with('{')
}

/// A path without empty parts.
fn tidy(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).fold(String::new(), |path, part| path + "/" + part)
}

fn without_prefix(path: &str) -> &str {
    path.strip_prefix(PREFIX).filter(|rest| rest.starts_with('/')).unwrap_or(path).trim_start_matches('/')
}

/// What a path can be shown as: of bounded length, and without bytes that mean something to a terminal.
fn printable(path: &str) -> String {
    let mut shown: String = path.chars().take(SHOWN).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
    if path.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
#[path = "not_found_tests.rs"]
mod tests;
