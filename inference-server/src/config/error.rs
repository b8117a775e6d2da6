//! Why settings can't be used.

use std::path::PathBuf;

use crate::secrets::{Shown, masked};

/// Why the settings can't be used; each reads as one sentence.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A setting holds something that isn't allowed.
    #[error("{setting} is {value:?}, but must be {allowed}")]
    BadValue {
        /// The setting as the user wrote it: a variable, a flag, or a key and its file.
        setting: String,
        /// What it holds, as it may be shown.
        value: Shown,
        /// What it may hold.
        allowed: String,
    },
    /// As [`Self::BadValue`], where one sentence can't say all that is allowed.
    #[error("{setting} {problem}")]
    Unfit {
        /// The setting as the user wrote it.
        setting: String,
        /// What is wrong and what to do, without a full stop.
        problem: String,
    },
    /// A variable that is no text.
    #[error("{setting} is not UTF-8 text: give it a value that is, or unset it")]
    NotText {
        /// The variable.
        setting: String,
    },
    /// A secret that is there but can't be used. To go on without it could serve everybody.
    #[error("{place} {problem}")]
    Secret {
        /// The setting as the user wrote it, or the file that it names.
        place: String,
        /// What is wrong and what to do, without a full stop. Never quotes the secret.
        problem: String,
    },
    /// A secret that is set in two ways.
    #[error("{one} and {other} are both set: keep one")]
    Both {
        /// The one as the user wrote it.
        one: String,
        /// The other.
        other: String,
    },
    /// A setting that only works together with another.
    #[error("{setting} is set, but has no effect unless {needs}")]
    Needs {
        /// The setting as the user wrote it.
        setting: String,
        /// What else must be set.
        needs: &'static str,
    },
    /// Two ports are one.
    #[error("{setting} is {port}, which is {other} already: set another")]
    SamePort {
        /// The setting as the user wrote it.
        setting: String,
        /// The setting that has it.
        other: &'static str,
        /// The port.
        port: u16,
    },
    /// TLS without anything to trust.
    #[error(
        "MLOPS_REDIS_TLS is true, but the system has no certificates of authorities; \
         name a file of them in MLOPS_REDIS_TLS_CA"
    )]
    NoAuthorities,
    /// A file that a setting names, or a file of settings, that can't be used.
    #[error("{file}: {problem}", file = masked(&.file.to_string_lossy()))]
    File {
        /// The file or the folder.
        file: PathBuf,
        /// What is wrong with it and what to do, without a full stop.
        problem: String,
    },
}
