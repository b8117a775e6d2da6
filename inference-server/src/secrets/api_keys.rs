//! The keys that callers may send, each with a name.

use std::{collections::BTreeMap, fmt, sync::Arc};

use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::Secret;

/// Keys of one file. Each is compared with each request's, and each has a series.
const MOST_KEYS: usize = 100;

/// Longest name in bytes.
const LONGEST_NAME: usize = 63;

/// The name of a key that has none.
const DEFAULT_NAME: &str = "default";

#[derive(Clone, PartialEq, Eq)]
struct Named {
    name: Arc<str>,
    key: Secret,
}

/// One key or more.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeys(Vec<Named>);

impl ApiKeys {
    /// A single key, as a variable holds it. The error is the end of a sentence, and never quotes the value.
    pub fn single(text: &str) -> Result<Self, String> {
        if text.trim().contains('\n') {
            return Err("has several lines, but must be one key: put a list into a file that MLOPS_API_KEY_FILE names"
                .to_owned());
        }
        Secret::key(text).map(|key| Self(vec![Named { name: DEFAULT_NAME.into(), key }]))
    }

    /// A file's keys: `name: key` a line, or one key alone. Lines that begin with `#` are comments. The error is
    /// the end of a sentence, and quotes neither keys nor names: which is which may be what is wrong.
    pub fn list(text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let lines: Vec<_> = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
        if lines.is_empty() {
            return Err("holds no key: give it one or unset the variable".to_owned());
        }
        if lines.len() > MOST_KEYS {
            return Err(format!("holds more than {MOST_KEYS} keys: take some out"));
        }
        let alone = lines.len() == 1;
        let mut keys: Vec<Named> = Vec::with_capacity(lines.len());
        let (mut names, mut values) = (BTreeMap::new(), BTreeMap::new());
        for (number, line) in lines {
            let (name, key) = match line.split_once(':') {
                Some((name, key)) => (name.trim_end(), key),
                None if alone => (DEFAULT_NAME, line),
                None => return Err(format!("has no name in line {number}: write name: key")),
            };
            if !Self::is_name(name) {
                return Err(format!(
                    "has a name in line {number} that can't be one: use up to {LONGEST_NAME} letters, digits, '-', '_' and '.'"
                ));
            }
            let key = Secret::key(key).map_err(|problem| format!("has a key in line {number} that {problem}"))?;
            if let Some(earlier) = names.insert(name.to_owned(), number) {
                return Err(format!("has the same name in lines {earlier} and {number}: change one"));
            }
            if let Some(earlier) = values.insert(key.expose().to_owned(), number) {
                return Err(format!("has the same key in lines {earlier} and {number}: change one"));
            }
            keys.push(Named { name: name.into(), key });
        }
        Ok(Self(keys))
    }

    /// The name of a key that a caller sent, if it is one of these. All are compared, in constant time: how long
    /// that takes says nothing about them but their number and lengths.
    #[must_use]
    pub fn name_of(&self, sent: &[u8]) -> Option<&Arc<str>> {
        let mut found = u64::MAX;
        for (index, named) in (0..).zip(&self.0) {
            found.conditional_assign(&index, sent.ct_eq(named.key.expose().as_bytes()));
        }
        self.0.get(usize::try_from(found).ok()?).map(|named| &named.name)
    }

    /// Whether a key can have this name.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(allowed)
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.0.iter().map(|named| &named.name)
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(keys: &ApiKeys, sent: &str) -> Option<String> {
        keys.name_of(sent.as_bytes()).map(ToString::to_string)
    }

    #[test]
    fn a_file_of_names_and_keys() {
        let keys = ApiKeys::list("# who may call\n\nshop: a=b:c# d\r\n  billing:s3cret \n").unwrap();
        assert_eq!(name(&keys, "a=b:c# d").as_deref(), Some("shop"));
        assert_eq!(name(&keys, "s3cret").as_deref(), Some("billing"));
        for wrong in ["", "s3cre", "s3cret ", "shop", "billing:s3cret", "a=b"] {
            assert_eq!(name(&keys, wrong), None, "{wrong:?}");
        }
        assert_eq!(keys.names().len(), 2);
    }

    #[test]
    fn one_key_alone_needs_no_name() {
        // Padding of Base64 separates nothing.
        for text in ["czNjcmV0==", "czNjcmV0==\n", "# a comment\nczNjcmV0==\n"] {
            assert_eq!(name(&ApiKeys::list(text).unwrap(), "czNjcmV0==").as_deref(), Some("default"));
        }
        let single = ApiKeys::single("not: a name\n").unwrap();
        assert_eq!(name(&single, "not: a name").as_deref(), Some("default"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_line_and_not_quoted() {
        let many = (0..=MOST_KEYS).map(|number| format!("n{number}: key{number}")).collect::<Vec<_>>().join("\n");
        for (text, expected) in [
            ("", "holds no key"),
            ("# hunter2\n \n", "holds no key"),
            ("hunter2\nhunter3", "has no name in line 1"),
            ("a: hunter2\n\nhunter3", "has no name in line 3"),
            ("a: hunter2\na: hunter3", "has the same name in lines 1 and 2"),
            ("a: hunter2\nb: hunter2", "has the same key in lines 1 and 2"),
            ("hunter2 hunter3: hunter4", "has a name in line 1 that can't be one"),
            (": hunter2", "has a name in line 1 that can't be one"),
            ("a:", "has a key in line 1 that is blank"),
            ("a: hunter2\u{1}", "has a key in line 1 that holds a control character"),
            ("a: hünter2", "has a key in line 1 that holds a character that is not ASCII"),
            (&many, "holds more than 100 keys"),
        ] {
            let problem = ApiKeys::list(text).unwrap_err();
            assert!(problem.starts_with(expected) && !problem.contains("unter"), "{problem}");
        }
        assert!(ApiKeys::single("a\nb").unwrap_err().contains("MLOPS_API_KEY_FILE"));
        assert!(ApiKeys::single("\n").unwrap_err().starts_with("is blank"));
        assert_eq!(format!("{:?}", ApiKeys::single("hunter2").unwrap()), "***");
    }
}
