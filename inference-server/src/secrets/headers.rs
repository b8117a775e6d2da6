//! Headers that carry a token to the collector of traces.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Headers whose values are secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Reads `name=value` pairs as `OTEL_EXPORTER_OTLP_HEADERS` has them: separated by commas, and percent signs
    /// in values stand for encoded bytes. A file may have them on several lines, and comments after `#`.
    ///
    /// The error is the end of a sentence, and never quotes a value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let pairs = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            let number = index + 1;
            let (name, value) =
                pair.split_once('=').ok_or_else(|| format!("has no = in header {number}; write name=value"))?;
            let name = HeaderName::try_from(name.trim())
                .map_err(|_| format!("has a name in header {number} that no header can have"))?;
            let mut value = decoded(value.trim())
                .filter(|value| !value.is_empty())
                .and_then(|value| HeaderValue::from_bytes(&value).ok())
                .ok_or_else(|| format!("has a value in header {number} that no header can have"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if headers.is_empty() { Err("is blank: give it a value or unset it".to_owned()) } else { Ok(Self(headers)) }
    }

    /// Puts them into a request, in place of those of the same name.
    pub fn put_into(&self, request: &mut HeaderMap) {
        for (name, value) in &self.0 {
            request.insert(name.clone(), value.clone());
        }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Percent-decoded. A percent sign that begins no code is one, since tokens may hold it.
fn decoded(value: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|digits| {
            let digits =
                std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()
        });
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    std::str::from_utf8(&bytes).is_ok().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        let Headers(headers) = Headers::parse(text).unwrap();
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn pairs_in_the_variables_form_and_a_files() {
        let expected =
            [("authorization".to_owned(), "Bearer a=b".to_owned()), ("x-tenant".to_owned(), "100%".to_owned())];
        for text in [
            "Authorization=Bearer%20a=b,x-tenant=100%",
            " authorization = Bearer a=b , x-tenant=100%25,",
            "# the collector's\nauthorization=Bearer a=b\nx-tenant=100%\n",
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused_and_not_quoted() {
        for text in ["", " ", "# nothing", "hunter2", "a=1,Bearer hunter2", "a b=hunter2", "a=", "a=hunter2%00"] {
            let problem = Headers::parse(text).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        assert_eq!(format!("{:?}", Headers::parse("a=hunter2").unwrap()), "***");
    }
}
