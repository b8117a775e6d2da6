//! What of a setting's value may be quoted. One rule: of what looks like a URL or has an `@`, nothing
//! that can be a user, a password or a token.

use std::{borrow::Cow, fmt};

const MASK: &str = "***";

/// Most characters of a value that are quoted: a file's content may be set where its name is meant.
const MOST_SHOWN: usize = 200;

/// A value as it may be quoted.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(String);

impl From<&str> for Shown {
    fn from(value: &str) -> Self {
        Self(masked(value).into_owned())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A value without what may be a secret in it: what is between the first `://`, or the value's start, and the
/// last `@`; and what follows a `?`. More than needed is masked where the value is a list.
#[must_use]
pub fn masked(value: &str) -> Cow<'_, str> {
    let scheme = value.find("://").map(|at| at + 3);
    let mut shown = Cow::Borrowed(value);
    // Without a scheme, what begins with a slash is a path.
    if let Some(at) = value.rfind('@').filter(|_| scheme.is_some() || !value.starts_with('/')) {
        let start = scheme.filter(|start| *start <= at).unwrap_or(0);
        shown = format!("{}{MASK}{}", &value[..start], &value[at..]).into();
    }
    if scheme.is_some()
        && let Some(at) = shown.find('?')
    {
        shown = format!("{}?{MASK}", &shown[..at]).into();
    }
    match shown.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &shown[..end]).into(),
        None => shown,
    }
}

/// A sentence, in which each URL is masked as [`masked`] does it: for those that others wrote.
#[must_use]
pub fn masked_sentence(sentence: &str) -> Cow<'_, str> {
    if !sentence.contains("://") {
        return Cow::Borrowed(sentence);
    }
    let mut shown = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        let end = url.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '>')).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        let url = url.rfind('@').map_or(Cow::Borrowed(url), |at| format!("{MASK}{}", &url[at..]).into());
        let url = url.find('?').map_or_else(|| url.clone(), |at| format!("{}?{MASK}", &url[..at]).into());
        shown.push_str(before);
        shown.push_str(&url);
        rest = after;
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_passwords_and_queries_are_masked() {
        for (value, expected) in [
            ("https://user:token@host", "https://***@host"),
            ("https://token@host:4318/v1", "https://***@host:4318/v1"),
            ("redis://:pa/ss@w?rd@host:6379/0", "redis://***@host:6379/0"),
            (":password@host:6379", "***@host:6379"),
            ("user:password@host", "***@host"),
            ("a@b://c", "***@b://c"),
            ("https://host/?api_key=token", "https://host/?***"),
            ("https://u:p@host/?api_key=token", "https://***@host/?***"),
            ("https://a.example, https://u:p@b.example", "https://***@b.example"),
            (r#"["https://u:p@b.example"]"#, r#"["https://***@b.example"]"#),
            ("/etc/a@b/ca.crt", "/etc/a@b/ca.crt"),
            ("many", "many"),
            ("what?", "what?"),
            ("", ""),
        ] {
            assert_eq!(masked(value), expected);
        }
        assert_eq!(masked(&"ä".repeat(300)), format!("{}…", "ä".repeat(200)));
        assert_eq!(format!("{:?}", Shown::from("a\nb")), r#""a\nb""#);
    }

    #[test]
    fn so_are_those_in_a_sentence_and_nothing_else() {
        for (sentence, expected) in [
            ("no URL: a@b?", "no URL: a@b?"),
            ("model path s3://key:secret@bucket/a can't be read", "model path s3://***@bucket/a can't be read"),
            ("bad uri: \"http://u:p@a/?t=1\", not 'x://y@z'", "bad uri: \"http://***@a/?***\", not 'x://***@z'"),
            ("http://a and b@c", "http://a and b@c"),
        ] {
            assert_eq!(masked_sentence(sentence), expected);
        }
    }
}
