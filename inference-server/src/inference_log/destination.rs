//! Where records go.

use super::Record;

/// What became of one try to write a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there.
    Yes,
    /// It will never be taken, for this reason.
    Refused(String),
    /// It may be taken later; this is what is in the way.
    NotNow(String),
}

/// A place that records are written to, from a thread of its own.
pub trait Destination: Send + 'static {
    /// Its name in series and log lines.
    fn name(&self) -> &'static str;

    /// Tries once. May block for some seconds.
    fn write(&mut self, record: &Record) -> Written;
}
