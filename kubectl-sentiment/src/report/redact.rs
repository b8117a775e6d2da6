//! Takes out what looks like a credential: by the name that it has, and by its form.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};
use serde_json::Value;

/// What stands in the place of a value.
pub const LEFT_OUT: &str = "<left out>";
/// A copy of an object in its own annotations, as it was before anything was left out.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// What names of credentials end with, without signs between words.
const CREDENTIALS: [&str; 20] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "apikeys",
    "accesskey",
    "accesskeyid",
    "secretkey",
    "accountkey",
    "privatekey",
    "signingkey",
    "credential",
    "credentials",
    "authorization",
    "connectionstring",
    "dsn",
    "cookie",
];

/// Forms of credentials, whatever their name is. Of each, groups `before` and `after` stay.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let forms = [
        // Keys in PEM, also where a text of JSON has them with \n for their lines.
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        r"(?P<before>(?i:\b(?:bearer|basic)\s+))[A-Za-z0-9._~+/-]{8,}=*",
        // JSON Web Tokens.
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
        r"(?P<before>://)[^/\s@'\x22]+(?P<after>@)",
        r"(?P<before>[?&](?i:[a-z0-9_.-]*(?:token|sig|signature|key|secret|password|credential|sv|code))=)[^&\s'\x22]+",
        // Of clouds, hubs, forges and chats.
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bAIza[0-9A-Za-z_-]{35}",
        r"\b(?:hf_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|npm_)[0-9A-Za-z_-]{16,}",
    ];
    // Each is tested below, so that none is lost.
    forms.iter().filter_map(|form| Regex::new(form).ok()).collect()
});

/// A name and what it is given in a line: `api_key: …`, `"password":"…"`, `--token=…`.
static PAIR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?P<name>[A-Za-z][A-Za-z0-9_.-]*)(?P<sign>\\?["']?\s*[:=]\s*\\?["']?)(?P<value>[^\s"'\\,;}&<]+(?: [^\s"'\\,;}&<:=]+)*)"#,
    )
    .ok()
});

/// Whether a name is that of a credential, and not of where one is.
#[must_use]
pub fn is_credential(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    CREDENTIALS.iter().any(|end| plain.ends_with(end)) && !plain.ends_with("automountserviceaccounttoken")
}

/// Whether an environment variable's value is one: any of its keys is taken for one, too.
fn is_credential_of_env(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_place = ["_FILE", "_PATH", "_DIR", "_URL"].iter().any(|end| name.ends_with(end));
    is_credential(&name)
        || (!is_place && name.split('_').any(|word| matches!(word, "KEY" | "KEYS" | "TOKEN" | "SECRET" | "PASSWORD")))
}

/// An object without what looks like a credential, and without what nobody reads.
pub fn object(object: &mut Value) {
    if object["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            if let Some(values) = object.get_mut(field).and_then(Value::as_object_mut) {
                values.values_mut().for_each(|value| *value = LEFT_OUT.into());
            }
        }
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    value(object);
}

fn value(of: &mut Value) {
    match of {
        Value::Object(fields) => {
            let is_variable = fields.get("name").and_then(Value::as_str).is_some_and(is_credential_of_env);
            for (name, field) in fields {
                if field.is_string() && (is_credential(name) || (name == "value" && is_variable)) {
                    *field = LEFT_OUT.into();
                } else {
                    value(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(value),
        Value::String(words) => {
            if let Cow::Owned(redacted) = text(words) {
                *words = redacted;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text without what looks like a credential.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let mut found = pairs(text);
    for form in &*FORMS {
        let kept = |captures: &Captures<'_>| {
            let group = |name| captures.name(name).map_or("", |group| group.as_str());
            format!("{}{LEFT_OUT}{}", group("before"), group("after"))
        };
        if let Cow::Owned(redacted) = form.replace_all(&found, kept) {
            found = Cow::Owned(redacted);
        }
    }
    found
}

/// A text without the values of names that are credentials'.
fn pairs(text: &str) -> Cow<'_, str> {
    let Some(pair) = &*PAIR else { return Cow::Borrowed(text) };
    pair.replace_all(text, |captures: &Captures<'_>| {
        let (name, sign, value) = (&captures["name"], &captures["sign"], &captures["value"]);
        // A value may be a pair itself, as in `msg=token=…`.
        let value = if is_credential(name) { Cow::Borrowed(LEFT_OUT) } else { pairs(value) };
        format!("{name}{sign}{value}")
    })
}
