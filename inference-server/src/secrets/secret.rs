//! A secret of one line: a key or a password.

use std::fmt;

/// Longest key or password in bytes. A request's head has 16 KiB in all.
const LONGEST: usize = 1024;

/// A value that never reaches a log line or a debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A key that callers send in a header. White space around it is cut, as HTTP does with theirs; so
    /// is the newline that `echo` leaves.
    ///
    /// The error, as each of this module's, is the end of a sentence that begins with the setting's name. It
    /// never quotes the value.
    pub fn key(text: &str) -> Result<Self, String> {
        let key = one_line(text.trim())?;
        if key.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
            // Callers would send such a character in one encoding or another.
            return Err("holds a character that is not ASCII, so that callers can't send it: choose another".to_owned());
        }
        Ok(Self(key.to_owned()))
    }

    /// A password. Only a newline at its end is cut.
    pub fn password(text: &str) -> Result<Self, String> {
        one_line(text.trim_end_matches(['\n', '\r'])).map(|password| Self(password.to_owned()))
    }

    /// The secret itself, for the one comparison that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn one_line(text: &str) -> Result<&str, String> {
    if text.trim().is_empty() {
        return Err("is blank: give it a value or unset it".to_owned());
    }
    if text.contains(['\n', '\r']) {
        return Err("has several lines, but must have one".to_owned());
    }
    if text.contains(char::is_control) {
        return Err("holds a control character, which is not allowed: choose another".to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("has more than {LONGEST} bytes: choose a shorter one"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_or_a_shell_leaves_around_a_secret_is_cut() {
        for text in ["s3cret", "s3cret\n", "s3cret\r\n", "  s3cret \n\n"] {
            assert_eq!(Secret::key(text).unwrap().expose(), "s3cret");
        }
        assert_eq!(Secret::password(" with spaces \r\n").unwrap().expose(), " with spaces ");
        assert_eq!(Secret::password("größe").unwrap().expose(), "größe");
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_and_not_quoted() {
        let long = "k".repeat(LONGEST + 1);
        for text in ["", " ", "\n", "\t \r\n", "one\ntwo", "hunter2\u{0}", "hunter2\u{7f}", long.as_str()] {
            for problem in [Secret::key(text).unwrap_err(), Secret::password(text).unwrap_err()] {
                assert!(!problem.contains("hunter2") && !problem.contains("kkk"), "{problem}");
            }
        }
        assert!(Secret::key("schlüssel").unwrap_err().starts_with("holds a character that is not ASCII"));
        assert!(Secret::key("a\tb").is_err());
    }
}
