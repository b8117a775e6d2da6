//! Looks settings up and names the one that is wrong.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ConfigError,
    setting::{Secrecy, Setting, Variable},
    settings::{Origin, Settings},
    variables::{self, variables},
};
use crate::secrets::{Live, Parse, masked};

/// Reads settings.
pub struct Reader<'a> {
    settings: &'a Settings,
}

impl<'a> Reader<'a> {
    /// A reader over these settings.
    #[must_use]
    pub fn new(settings: &'a Settings) -> Self {
        Self { settings }
    }

    /// What is in force for a variable, unparsed: for use when the settings as a whole are wrong.
    pub(super) fn raw(&self, variable: &'static Variable) -> &'a str {
        self.settings.effective(variable).0
    }

    /// The file that tells Kubernetes why the process ended, also when the settings as a whole are wrong.
    #[must_use]
    pub fn termination_log(&self) -> &'a Path {
        Path::new(self.raw(&super::TERMINATION_LOG.variable))
    }

    /// The setting as the user wrote it: a variable, a flag, or a key and its file.
    pub(super) fn written(&self, variable: &'static Variable) -> String {
        let (_, origin) = self.settings.effective(variable);
        origin.name(variable)
    }

    /// A setting that always has a value.
    pub(super) fn required<T>(&self, setting: &'static Setting<T>) -> Result<T, ConfigError> {
        let variable = &setting.variable;
        let value = self.text(variable)?;
        (setting.parse)(value, &variable.allowed).ok_or_else(|| ConfigError::BadValue {
            setting: self.written(variable),
            value: mask(variable, value).as_ref().into(),
            allowed: variable.allowed().into_owned(),
        })
    }

    /// As [`Self::raw`], unless that leaves out a variable that is set, but not to text.
    fn text(&self, variable: &'static Variable) -> Result<&'a str, ConfigError> {
        debug_assert!(variables::find(variable.name).is_some(), "{} is in no part's list", variable.name);
        let (value, origin) = self.settings.effective(variable);
        let names = [Some(variable.name), variable.also];
        let before = names.into_iter().flatten().take_while(|name| origin != Origin::Environment(name));
        self.are_text(before)?;
        Ok(value)
    }

    fn are_text<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> Result<(), ConfigError> {
        match names.find(|name| self.settings.is_no_text(name)) {
            Some(name) => Err(ConfigError::NotText { setting: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// That every variable of ours is text, also those that aren't read with the settings at hand.
    pub(super) fn all_are_text(&self) -> Result<(), ConfigError> {
        self.are_text(variables().map(|variable| variable.name))
    }

    /// The value of a variable of others that isn't in the table; `None` when it is blank.
    pub(super) fn of_others(&self, name: &str) -> Result<Option<&'a str>, ConfigError> {
        self.are_text([name].into_iter())?;
        Ok(self.settings.of_others(name))
    }

    /// A setting that may be left out.
    pub(super) fn optional<T>(&self, setting: &'static Setting<T>) -> Result<Option<T>, ConfigError> {
        if self.text(&setting.variable)?.is_empty() { Ok(None) } else { self.required(setting).map(Some) }
    }

    /// As [`Self::optional`], where `parse` says itself what is wrong.
    pub(super) fn explained<T>(
        &self,
        variable: &'static Variable,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let text = self.text(variable)?;
        if text.is_empty() {
            return Ok(None);
        }
        parse(text).map(Some).map_err(|problem| ConfigError::Unfit { setting: self.written(variable), problem })
    }

    /// A secret, from its variable or from the file that another names. One that is there but can't be used
    /// is an error, also when it is blank: nothing may run as if nobody had asked for it.
    pub(super) fn secret<T: 'static>(
        &self,
        variable: &'static Variable,
        file: &'static Variable,
        value: Parse<T>,
        content: Parse<T>,
    ) -> Result<Option<Arc<Live<T>>>, ConfigError> {
        let written = |variable: &'static Variable| {
            let (text, origin) = self.settings.written(variable)?;
            Some((text, origin.name(variable), variable))
        };
        let live = match (written(variable), written(file)) {
            (None, None) => return Ok(None),
            (Some((_, one, _)), Some((_, other, _))) => return Err(ConfigError::Both { one, other }),
            (Some((text, place, _)), None) => {
                value(text).map(Live::fixed).map_err(|problem| ConfigError::Secret { place, problem })
            }
            (None, Some((path, setting, variable))) => {
                let path = whole_path(path, &setting)?;
                let place = format!("the file that {setting} names");
                Live::of_file(variable.name, path, content).map_err(|problem| ConfigError::Secret { place, problem })
            }
        };
        live.map(|live| Some(Arc::new(live)))
    }

    /// The path of a secret that only a file can hold. As in [`Self::secret`], a blank one is an error.
    pub(super) fn path_of_secret(&self, variable: &'static Variable) -> Result<Option<PathBuf>, ConfigError> {
        let Some((path, origin)) = self.settings.written(variable) else { return Ok(None) };
        whole_path(path, &origin.name(variable)).map(|path| Some(path.to_owned()))
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
        for variable in variables() {
            let (value, origin) = self.settings.effective(variable);
            let setting = format!("{}={}", variable.name, mask(variable, value));
            lines.push_str(&format!("{setting:<50}  # {origin}\n"));
        }
        lines
    }
}

fn whole_path<'p>(path: &'p str, setting: &str) -> Result<&'p Path, ConfigError> {
    let path = path.trim();
    if path.starts_with('/') {
        return Ok(Path::new(path));
    }
    // The value is not shown: it may be the secret itself, where its file's name is meant.
    let problem = "must be the whole path of a file, from / on: set it right or unset it".to_owned();
    Err(ConfigError::Secret { place: setting.to_owned(), problem })
}

fn mask<'v>(variable: &Variable, value: &'v str) -> Cow<'v, str> {
    match variable.secrecy {
        Secrecy::Secret if !value.is_empty() => Cow::Borrowed("***"),
        // The secret itself, where its file's name is meant.
        Secrecy::SecretFile if !value.is_empty() && !value.starts_with('/') => Cow::Borrowed("***"),
        _ => masked(value),
    }
}
