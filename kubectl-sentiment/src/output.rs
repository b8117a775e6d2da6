//! How things are printed: columns as kubectl has them, JSON and YAML, and colours where a person looks.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::error::Error;

/// A form for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One document of JSON.
    Json,
    /// The same as YAML.
    Yaml,
}

/// JSON, the one form for programs that some commands have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JsonFormat {
    /// One document of JSON.
    Json,
}

/// A form for programs, or more columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WideFormat {
    /// One document of JSON.
    Json,
    /// The same as YAML.
    Yaml,
    /// More columns.
    Wide,
}

/// That all is well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// That something is under way.
pub const CHANGING: Style = AnsiColor::Yellow.on_default();
/// That somebody has to act.
pub const BAD: Style = AnsiColor::Red.on_default();
/// A title.
pub const TITLE: Style = Style::new().bold();

/// A text in a style. The style is taken out where nobody looks: see [`write`](fn@write).
#[must_use]
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes to the standard output, without styles where it is no terminal or `NO_COLOR` is set.
pub fn write(text: &str) -> Result<(), Error> {
    match anstream::stdout().write_all(text.as_bytes()) {
        // Who reads has seen enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Writes what is beside the point to the standard error.
pub fn note(text: &str) {
    // There is nowhere left to say that it failed.
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// A value for programs.
pub fn serialized(format: Format, value: &impl Serialize) -> Result<String, Error> {
    let unwritable = |error: String| Error::Answer(format!("the result can't be written: {error}"));
    match format {
        Format::Json => Ok(serde_json::to_string_pretty(value).map_err(|error| unwritable(error.to_string()))? + "\n"),
        Format::Yaml => serde_yaml::to_string(value).map_err(|error| unwritable(error.to_string())),
    }
}

/// Rows below upper-case headers, three spaces between columns, as kubectl prints them. A cell may have a style.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    /// A table of these columns.
    #[must_use]
    pub fn new<const N: usize>(headers: [&str; N]) -> Self {
        Self { rows: vec![headers.map(|header| (header.to_owned(), Style::new())).into()] }
    }

    /// Adds a column at the right end of the last row, the header's at first.
    pub fn add(&mut self, cell: impl Into<String>) {
        self.add_styled(cell, Style::new());
    }

    /// The same in a style.
    pub fn add_styled(&mut self, cell: impl Into<String>, style: Style) {
        let cell = cell.into();
        let cell = if cell.is_empty() { "-".to_owned() } else { cell };
        if let Some(row) = self.rows.last_mut() {
            row.push((cell, style));
        }
    }

    /// Begins a row.
    pub fn row(&mut self) {
        self.rows.push(Vec::new());
    }

    /// Adds a whole row.
    pub fn push<const N: usize>(&mut self, cells: [&str; N]) {
        self.row();
        for cell in cells {
            self.add(cell);
        }
    }

    /// Whether it has nothing but headers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The table as text, each row in a line of its own behind this indent.
    #[must_use]
    pub fn render(&self, indent: &str) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(cell, _)| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            text.push_str(indent);
            for (column, (cell, style)) in row.iter().enumerate() {
                let is_last = column + 1 == row.len();
                let gap = if is_last { 0 } else { widths[column] + 3 - cell.chars().count() };
                // Writing to a text can't fail.
                let _ = write!(text, "{style}{cell}{style:#}{:gap$}", "");
            }
            text.push('\n');
        }
        text
    }
}

/// How long ago something was, as kubectl tells it.
#[must_use]
pub fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(since) = since else { return "<unknown>".to_owned() };
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => with_rest(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => with_rest(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => with_rest(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        _ => with_rest(days / 365, "y", days % 365, "d"),
    }
}

fn with_rest(large: i64, unit: &str, small: i64, of: &str) -> String {
    if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{of}") }
}

/// `1 pod`, `2 pods`.
#[must_use]
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["NAME", "READY"]);
        table.push(["reviews-1", "True"]);
        table.push(["é", ""]);
        assert_eq!(table.render("  "), "  NAME        READY\n  reviews-1   True\n  é           -\n");
    }

    #[test]
    fn ages_are_as_kubectl_tells_them() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let of = |seconds: i64| age(Some(Timestamp::from_second(now.as_second() - seconds).unwrap()), now);
        let told = [0, 119, 125, 180, 3600, 10_860, 90_000, 180_000, 864_000, 70_000_000].map(of);
        assert_eq!(told, ["0s", "119s", "2m5s", "3m", "60m", "3h1m", "25h", "2d2h", "10d", "2y80d"]);
        assert_eq!(of(-9), "0s", "a clock that is behind");
        assert_eq!(age(None, now), "<unknown>");
    }
}
