//! The data of a request: its texts.

use serde::de::{Error, SeqAccess};

use super::request::{protocol, refuse};
use crate::http::{
    ApiError,
    elements::{Elements, ListOf},
    rows::MOST_TEXTS,
    texts,
};
use crate::predict::Text;

/// The texts, flat or nested. The first that is none ends the reading.
#[derive(Default)]
pub(super) struct Data {
    pub(super) longest: usize,
    depth: usize,
    is_there: bool,
    /// The text at which the JSON is broken.
    pub(super) broken: Option<usize>,
    texts: Vec<Text>,
    /// What is wrong.
    pub(super) refused: Option<ApiError>,
}

impl Data {
    pub(super) fn new(longest: usize) -> Self {
        Self { longest, ..Self::default() }
    }

    /// Whether a list of texts was there.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    pub(super) fn finish(self) -> Result<Vec<Text>, ApiError> {
        if self.is_there { Ok(self.texts) } else { refuse("missing field `data`") }
    }

    fn refuse(&mut self, problem: impl Into<String>) {
        self.refused.get_or_insert_with(|| protocol(problem));
    }

    /// Whether one more may come.
    fn has_room(&mut self) -> bool {
        let has_room = self.depth > 0 && self.texts.len() < MOST_TEXTS;
        if self.depth == 0 {
            self.refuse("the data must be a list of texts, flat or nested by shape");
        } else if !has_room {
            self.refuse(format!("1 to {MOST_TEXTS} texts are allowed, not more"));
        }
        has_room
    }
}

impl<'de> Elements<'de> for Data {
    fn begin(&mut self) {
        if self.depth == 0 {
            self.is_there = true;
            self.texts.clear();
        }
    }

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        self.depth += 1;
        let read = list.next_element_seed(ListOf(&mut *self));
        self.depth -= 1;
        if self.refused.is_some() {
            return Err(A::Error::custom("refused"));
        }
        if read.is_err() {
            self.broken.get_or_insert(self.texts.len());
        }
        Ok(read?.is_some())
    }

    fn string(&mut self, text: &str) {
        if self.has_room() {
            match Text::new(text, self.longest) {
                Ok(text) => self.texts.push(text),
                Err(error) => self.refused = Some(texts::at(self.texts.len(), error)),
            }
        }
    }

    fn other(&mut self) {
        if self.has_room() {
            self.refuse(format!("text {}: Input should be a valid string", self.texts.len()));
        }
    }
}
