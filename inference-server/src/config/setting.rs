//! A setting: its name, its default, what it may hold and what it is for, said once.

use std::{borrow::Cow, ops::RangeInclusive, path::PathBuf, time::Duration};

/// A setting whose value is a `T`.
pub struct Setting<T: 'static> {
    pub(super) variable: Variable,
    pub(super) parse: fn(&str, &Allowed) -> Option<T>,
}

/// The environment variable of a setting.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Another name that is read when this one isn't set.
    pub also: Option<&'static str>,
    /// What is in force when it isn't set; empty for "nothing".
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Whether it is a secret.
    pub secrecy: Secrecy,
    pub(super) allowed: Allowed,
    /// Whether it is a list of objects.
    pub(super) holds_objects: bool,
}

/// How a variable has to do with secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Not at all.
    Open,
    /// It is one, and never printed. Blank ends the start.
    Secret,
    /// It names the file of one, which may be the only place for it. Blank ends the start, too.
    SecretFile,
}

/// What a variable may hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allowed {
    Said(&'static str),
    /// A whole number, of so many units where they have a name.
    Whole {
        unit: &'static str,
        least: u64,
        most: u64,
    },
    /// A number from 0.
    Number {
        most: f64,
    },
}

impl Allowed {
    const fn whole(unit: &'static str, range: &RangeInclusive<u64>) -> Self {
        Self::Whole { unit, least: *range.start(), most: *range.end() }
    }

    fn whole_number(&self, value: &str) -> Option<u64> {
        let Self::Whole { least, most, .. } = self else { return None };
        value.parse().ok().filter(|number| (least..=most).contains(&number))
    }
}

impl Variable {
    pub(super) const fn new(
        name: &'static str,
        default: &'static str,
        allowed: &'static str,
        help: &'static str,
    ) -> Self {
        let allowed = Allowed::Said(allowed);
        Self { name, also: None, default, allowed, help, secrecy: Secrecy::Open, holds_objects: false }
    }

    pub(super) const fn secret(name: &'static str, help: &'static str) -> Self {
        Self { secrecy: Secrecy::Secret, ..Self::new(name, "", "text", help) }
    }

    pub(super) const fn secret_file(name: &'static str, help: &'static str) -> Self {
        Self { secrecy: Secrecy::SecretFile, ..Self::new(name, "", "a path", help) }
    }

    pub(super) const fn of_objects(self) -> Self {
        Self { holds_objects: true, ..self }
    }

    /// What it may hold, as the end of a sentence that starts with "must be".
    #[must_use]
    pub fn allowed(&self) -> Cow<'static, str> {
        match self.allowed {
            Allowed::Said(words) => words.into(),
            Allowed::Whole { unit: "", least, most } => format!("a whole number from {least} to {most}").into(),
            Allowed::Whole { unit, least, most } => format!("a whole number of {unit} from {least} to {most}").into(),
            Allowed::Number { most } => format!("a number from 0 to {most}").into(),
        }
    }

    /// Its key in a file: the name without `MLOPS_`, in lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.name.trim_start_matches(super::variables::PREFIX).to_ascii_lowercase()
    }
}

impl<T> Setting<T> {
    /// The name of its variable.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.variable.name
    }

    /// One that `parse` reads; `allowed` ends a sentence that starts with "must be".
    pub(super) const fn other(
        name: &'static str,
        default: &'static str,
        allowed: &'static str,
        help: &'static str,
        parse: fn(&str, &Allowed) -> Option<T>,
    ) -> Self {
        Self { variable: Variable::new(name, default, allowed, help), parse }
    }

    /// Reads another variable, too.
    pub(super) const fn also(self, name: &'static str) -> Self {
        Self { variable: Variable { also: Some(name), ..self.variable }, parse: self.parse }
    }

    const fn within(
        name: &'static str,
        default: &'static str,
        allowed: Allowed,
        help: &'static str,
        parse: fn(&str, &Allowed) -> Option<T>,
    ) -> Self {
        Self { variable: Variable { allowed, ..Variable::new(name, default, "", help) }, parse }
    }
}

impl Setting<usize> {
    pub(super) const fn count(
        name: &'static str,
        default: &'static str,
        range: &RangeInclusive<u64>,
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        Self::within(name, default, Allowed::whole(unit, range), help, |value, allowed| {
            allowed.whole_number(value)?.try_into().ok()
        })
    }
}

impl Setting<u16> {
    pub(super) const fn short(
        name: &'static str,
        default: &'static str,
        range: &RangeInclusive<u64>,
        help: &'static str,
    ) -> Self {
        Self::within(name, default, Allowed::whole("", range), help, |value, allowed| {
            allowed.whole_number(value)?.try_into().ok()
        })
    }

    /// A TCP port; 0 lets the kernel choose.
    pub(super) const fn port(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self::short(name, default, &(0..=65_535), help)
    }
}

impl Setting<Duration> {
    pub(super) const fn seconds(
        name: &'static str,
        default: &'static str,
        range: &RangeInclusive<u64>,
        help: &'static str,
    ) -> Self {
        Self::within(name, default, Allowed::whole("seconds", range), help, |value, allowed| {
            allowed.whole_number(value).map(Duration::from_secs)
        })
    }

    pub(super) const fn milliseconds(
        name: &'static str,
        default: &'static str,
        range: &RangeInclusive<u64>,
        help: &'static str,
    ) -> Self {
        Self::within(name, default, Allowed::whole("milliseconds", range), help, |value, allowed| {
            allowed.whole_number(value).map(Duration::from_millis)
        })
    }
}

impl Setting<f64> {
    pub(super) const fn number(name: &'static str, default: &'static str, most: f64, help: &'static str) -> Self {
        Self::within(name, default, Allowed::Number { most }, help, |value, allowed| {
            let Allowed::Number { most } = *allowed else { return None };
            value.parse().ok().filter(|number| (0.0..=most).contains(number))
        })
    }
}

impl Setting<bool> {
    /// True or false, as the predecessor's settings library spells them.
    pub(super) const fn switch(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self::other(name, default, "true or false", help, |value, _| match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
            _ => None,
        })
    }
}

impl Setting<String> {
    pub(super) const fn text(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self::other(name, default, "text", help, |value, _| Some(value.to_owned()))
    }
}

impl Setting<PathBuf> {
    pub(super) const fn path(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self::other(name, default, "a path", help, |value, _| Some(value.into()))
    }
}
