//! Looks settings up in the environment and names the one that is wrong.

use std::collections::BTreeMap;

use super::variables::{self, Variable};

/// Environment variables by name.
pub type Environment = BTreeMap<String, String>;

/// Why the settings can't be used; each reads as one sentence.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A variable holds something that isn't allowed.
    #[error("{name} is {value:?}, but must be {allowed}")]
    BadValue {
        /// The variable.
        name: String,
        /// What it holds, masked when it is a secret.
        value: String,
        /// What it may hold.
        allowed: String,
    },
    /// A variable asks for more than the model can do.
    #[error("MLOPS_MAX_TOKENS is {asked}, but the model takes at most {most}")]
    TooManyTokens {
        /// Tokens asked for.
        asked: usize,
        /// Tokens that the model has positions for.
        most: usize,
    },
    /// Another number of labels than the model has classes.
    #[error("MLOPS_LABELS has {given} labels, but the model has {classes} classes")]
    WrongLabelCount {
        /// Labels in the variable.
        given: usize,
        /// Classes that the model answers.
        classes: usize,
    },
}

/// Reads variables against the table of [`variables::VARIABLES`].
pub struct Reader<'a> {
    environment: &'a Environment,
}

impl<'a> Reader<'a> {
    /// A reader over these variables.
    #[must_use]
    pub fn new(environment: &'a Environment) -> Self {
        Self { environment }
    }

    /// What is in force for a variable: its value, else its default. An empty value counts as unset.
    #[must_use]
    pub fn effective(&self, variable: &'a Variable) -> &'a str {
        self.set(variable.name).or_else(|| variable.also.and_then(|name| self.set(name))).unwrap_or(variable.default)
    }

    fn set(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// What is in force for a variable by name, unparsed: for use when the settings as a whole are wrong.
    #[must_use]
    pub fn raw(&self, name: &str) -> &'a str {
        variables::find(name).map_or("", |variable| self.effective(variable))
    }

    /// A setting that always has a value.
    pub(super) fn required<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, ConfigError> {
        let variable = variables::find(name);
        let (value, allowed) = variable.map_or(("", "known"), |found| (self.effective(found), found.allowed));
        parse(value).ok_or_else(|| ConfigError::BadValue {
            name: name.to_owned(),
            value: mask(variable, value).to_owned(),
            allowed: allowed.to_owned(),
        })
    }

    /// A setting that may be left out.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let unset = variables::find(name).is_none_or(|found| self.effective(found).is_empty());
        if unset { Ok(None) } else { self.required(name, parse).map(Some) }
    }

    /// One sentence for each `MLOPS_` variable that has no effect. A warning, not an error: the
    /// predecessor's users may still set variables for parts that don't exist any more.
    #[must_use]
    pub fn without_effect(&self) -> Vec<String> {
        self.environment
            .keys()
            .filter(|name| name.starts_with("MLOPS_") && variables::find(name).is_none())
            .map(|name| match variables::nearest(name) {
                Some(near) => format!("{name} is not a known variable and has no effect; did you mean {near}?"),
                None => format!("{name} is not a known variable and has no effect"),
            })
            .collect()
    }

    /// Every variable and what is in force for it, secrets masked, one `NAME=value` a line.
    #[must_use]
    pub fn print(&self) -> String {
        let mut lines = String::new();
        for variable in variables::VARIABLES {
            lines.push_str(variable.name);
            lines.push('=');
            lines.push_str(mask(Some(variable), self.effective(variable)));
            lines.push('\n');
        }
        lines
    }
}

fn mask<'v>(variable: Option<&Variable>, value: &'v str) -> &'v str {
    match variable {
        Some(found) if found.secret && !value.is_empty() => "***",
        _ => value,
    }
}
