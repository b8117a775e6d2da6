//! Where settings come from: flags, the environment, files, defaults; the first that has one wins.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use super::{ConfigError, Setting, Variable, files};

/// Environment variables by name.
pub type Environment = BTreeMap<String, String>;

/// The variable that names the folder of files. The one setting that can't be in a file.
pub(super) static CONFIG_DIR: Setting<PathBuf> =
    Setting::path("MLOPS_CONFIG_DIR", "/app/config", "Folder whose *.yaml files hold settings; variables win");

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// Nobody set it.
    Default,
    /// A file.
    File(&'a Path),
    /// An environment variable, by the name under which it was found.
    Environment(&'a str),
    /// The command line.
    Flag,
}

impl Origin<'_> {
    /// The setting as the user wrote it, for a message.
    pub(super) fn name(self, variable: &Variable) -> String {
        match self {
            Self::Default => variable.name.to_owned(),
            Self::File(file) => format!("{} in {}", variable.key(), file.display()),
            Self::Environment(name) => name.to_owned(),
            Self::Flag => format!("--{}", variable.key().replace('_', "-")),
        }
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Environment(name) => write!(f, "environment, {name}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// A value from a file.
#[derive(Clone, Debug)]
struct FromFile {
    value: String,
    file: PathBuf,
}

/// All that was set, unparsed, with its origin. Not `Debug`: it holds secrets.
#[derive(Clone, Default)]
pub struct Settings {
    config_dir: Option<String>,
    environment: Environment,
    /// Names of variables that are set, but not to text.
    not_text: BTreeSet<String>,
    /// By the variable's name.
    from_files: BTreeMap<&'static str, FromFile>,
    files: Vec<PathBuf>,
    without_ending: Vec<PathBuf>,
}

impl From<Environment> for Settings {
    /// The environment alone, without files.
    fn from(environment: Environment) -> Self {
        Self { environment, ..Self::default() }
    }
}

impl Settings {
    /// The environment, and the folder of files if the command line names one.
    #[must_use]
    pub fn new(environment: Environment, config_dir: Option<String>) -> Self {
        Self { config_dir, ..Self::from(environment) }
    }

    /// As [`Self::new`], of variables as a process has them. One whose value isn't text is kept by its name: it
    /// must not seem to be unset.
    #[must_use]
    pub fn of_process(variables: impl Iterator<Item = (OsString, OsString)>, config_dir: Option<String>) -> Self {
        let mut settings = Self { config_dir, ..Self::default() };
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            match value.into_string() {
                Ok(value) => _ = settings.environment.insert(name, value),
                Err(_) => _ = settings.not_text.insert(name),
            }
        }
        settings
    }

    /// Adds the files of the folder that the command line names, else `MLOPS_CONFIG_DIR`. A folder
    /// that nobody named needn't exist.
    pub fn read_files(&mut self) -> Result<(), ConfigError> {
        let variable = &CONFIG_DIR.variable;
        let (folder, origin) = self.effective(variable);
        let named = (origin != Origin::Default).then(|| origin.name(variable));
        let folder = PathBuf::from(folder);
        let listing = files::list(&folder, named.as_deref())?;
        self.without_ending = listing.without_ending;
        for file in listing.files {
            for (variable, value) in files::read(&file)? {
                self.from_files.insert(variable.name, FromFile { value, file: file.clone() });
            }
            self.files.push(file);
        }
        Ok(())
    }

    /// The files that were read, in order; of two that set the same, the later one won.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Files that weren't read since their names have no ending.
    pub(super) fn files_without_ending(&self) -> &[PathBuf] {
        &self.without_ending
    }

    /// What is in force for a variable, and why. An empty value counts as not set.
    pub(super) fn effective<'a>(&'a self, variable: &'a Variable) -> (&'a str, Origin<'a>) {
        let flag = || {
            let value = self.config_dir.as_deref().filter(|_| variable.name == CONFIG_DIR.variable.name)?;
            Some((value, Origin::Flag))
        };
        let environment = |name: &'a str| Some((filled(self.environment.get(name)?)?, Origin::Environment(name)));
        let file = || {
            let found = self.from_files.get(variable.name)?;
            Some((filled(&found.value)?, Origin::File(&found.file)))
        };
        flag()
            .or_else(|| environment(variable.name))
            .or_else(|| variable.also.and_then(environment))
            .or_else(file)
            .unwrap_or((variable.default, Origin::Default))
    }

    /// What somebody wrote for a variable, blank or not, and where.
    pub(super) fn written<'a>(&'a self, variable: &'a Variable) -> Option<(&'a str, Origin<'a>)> {
        let environment = self.environment.get(variable.name);
        let environment = environment.map(|value| (value.as_str(), Origin::Environment(variable.name)));
        environment.or_else(|| {
            let found = self.from_files.get(variable.name)?;
            Some((found.value.as_str(), Origin::File(&found.file)))
        })
    }

    /// The value of an environment variable that isn't in the table.
    pub(super) fn of_others(&self, name: &str) -> Option<&str> {
        self.environment.get(name).and_then(|value| filled(value))
    }

    /// Whether an environment variable is set to something that is no text.
    pub(super) fn is_no_text(&self, name: &str) -> bool {
        self.not_text.contains(name)
    }

    /// Names of all environment variables, in order.
    pub(super) fn environment_names(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self.environment.keys().chain(&self.not_text).map(String::as_str).collect();
        names.sort_unstable();
        names.into_iter()
    }
}

fn filled(value: &str) -> Option<&str> {
    Some(value.trim()).filter(|value| !value.is_empty())
}
