//! Looks settings up and names the one that is wrong.

use super::{
    ConfigError,
    settings::Settings,
    variables::{self, Variable},
};

/// Reads settings against the table of [`variables::VARIABLES`].
pub struct Reader<'a> {
    settings: &'a Settings,
}

impl<'a> Reader<'a> {
    /// A reader over these settings.
    #[must_use]
    pub fn new(settings: &'a Settings) -> Self {
        Self { settings }
    }

    /// What is in force for a variable by name, unparsed: for use when the settings as a whole are wrong.
    #[must_use]
    pub fn raw(&self, name: &str) -> &'a str {
        variables::find(name).map_or("", |variable| self.settings.effective(variable).0)
    }

    /// The setting as the user wrote it: a variable, a flag, or a key and its file.
    pub(super) fn written(&self, name: &str) -> String {
        variables::find(name).map_or_else(
            || name.to_owned(),
            |variable| {
                let (_, origin) = self.settings.effective(variable);
                origin.name(variable)
            },
        )
    }

    /// A setting that always has a value.
    pub(super) fn required<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, ConfigError> {
        let variable = variables::find(name);
        let value = self.raw(name);
        parse(value).ok_or_else(|| ConfigError::BadValue {
            setting: self.written(name),
            value: mask(variable, value).to_owned(),
            allowed: variable.map_or("known", |variable| variable.allowed).to_owned(),
        })
    }

    /// A setting that may be left out.
    pub(super) fn optional<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        if self.raw(name).is_empty() { Ok(None) } else { self.required(name, parse).map(Some) }
    }

    /// One sentence for each `MLOPS_` variable that has no effect, and for each file beside those that
    /// were read whose name has no ending, as a key of a `ConfigMap` easily is. Warnings, not errors: the
    /// predecessor's users may still set variables for parts that don't exist any more.
    #[must_use]
    pub fn without_effect(&self) -> Vec<String> {
        let files = self.settings.files_without_ending().iter();
        let files = files.map(|file| format!("{} is not read: its name must end in .yaml", file.display()));
        self.settings
            .environment_names()
            .filter(|name| name.starts_with("MLOPS_") && variables::find(name).is_none())
            .map(|name| match variables::nearest(name) {
                Some(near) => format!("{name} is not a known variable and has no effect; did you mean {near}?"),
                None => format!("{name} is not a known variable and has no effect"),
            })
            .chain(files)
            .collect()
    }

    /// Every variable, what is in force for it, and where that comes from; secrets masked. One
    /// `NAME=value  # origin` a line.
    #[must_use]
    pub fn print(&self) -> String {
        let mut lines = String::new();
        for variable in variables::VARIABLES {
            let (value, origin) = self.settings.effective(variable);
            let setting = format!("{}={}", variable.name, mask(Some(variable), value));
            lines.push_str(&format!("{setting:<50}  # {origin}\n"));
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
