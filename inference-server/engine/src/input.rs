//! What is classified.

use std::borrow::Cow;

/// A text, or a text and another that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// The other one.
    pub pair: Option<Cow<'a, str>>,
}

impl Input<'_> {
    /// Bytes of both.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len() + self.pair.as_ref().map_or(0, |pair| pair.len())
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn owned(&self) -> Input<'static> {
        let copy = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
        Input { text: copy(&self.text), pair: self.pair.as_ref().map(copy) }
    }
}

impl From<String> for Input<'static> {
    fn from(text: String) -> Self {
        Self { text: text.into(), pair: None }
    }
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(text: &'a str) -> Self {
        Self { text: text.into(), pair: None }
    }
}
