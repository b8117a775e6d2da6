//! Lists of origins.

use axum::http::{HeaderValue, Uri};

/// Origins as a JSON list or separated by commas. `*` is refused: with an API key behind it, a
/// wildcard lets any page that a user visits call the service.
pub(super) fn parse(value: &str) -> Option<Vec<HeaderValue>> {
    if value.trim() == "[]" {
        return Some(Vec::new());
    }
    super::parse_list(value)?.iter().map(|origin| one(origin)).collect()
}

fn one(origin: &str) -> Option<HeaderValue> {
    let uri: Uri = origin.parse().ok()?;
    let scheme = uri.scheme_str()?;
    let authority = uri.authority()?.as_str();
    // A browser sends exactly scheme://host[:port]; anything longer would never match.
    let bare = format!("{scheme}://{authority}");
    // No host has other characters, and some of them mean something where origins are listed.
    let is_host = authority.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(c));
    let usable = matches!(scheme, "http" | "https") && is_host;
    (usable && origin == bare).then(|| HeaderValue::from_str(origin).ok()).flatten()
}
