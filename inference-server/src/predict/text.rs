//! A text that may be answered.

use engine::Input;

/// Longest text of the contract; the settings may allow less.
pub const LONGEST_TEXT: usize = 10_000;

/// A text, stripped, and its length in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text itself.
    pub content: String,
    /// Another that goes with it, for models that read pairs.
    pub pair: Option<String>,
    /// Characters of both.
    pub characters: usize,
}

/// Why a text isn't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// There is nothing but white space in it.
    #[error("the text is empty")]
    Empty,
    /// It is longer than any server takes.
    #[error("the text has {characters} characters, and no server takes more than {LONGEST_TEXT}")]
    OverContract {
        /// Characters of it.
        characters: usize,
    },
    /// It is longer than the settings allow.
    #[error("the text has {characters} characters, and at most {most} are allowed")]
    TooLong {
        /// Characters of it.
        characters: usize,
        /// Characters allowed.
        most: usize,
    },
}

impl TextError {
    /// Length of the text in characters.
    #[must_use]
    pub fn characters(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::OverContract { characters } | Self::TooLong { characters, .. } => *characters,
        }
    }
}

impl Text {
    /// Takes a text of at most so many characters. It is copied only when it is good.
    pub fn new(text: &str, most: usize) -> Result<Self, TextError> {
        let (content, characters) = check(text, most)?;
        Ok(Self { content: content.to_owned(), pair: None, characters })
    }

    /// With another that goes with it, if there is one.
    #[must_use]
    pub fn with_pair(self, pair: Option<Self>) -> Self {
        match pair {
            Some(pair) => Self { characters: self.characters + pair.characters, pair: Some(pair.content), ..self },
            None => self,
        }
    }

    /// What the tokenizer takes.
    pub(crate) fn as_input(&self) -> Input<'_> {
        Input { text: (&*self.content).into(), pair: self.pair.as_deref().map(Into::into) }
    }
}

fn check(text: &str, most: usize) -> Result<(&str, usize), TextError> {
    let content = text.trim();
    let characters = content.chars().count();
    match characters {
        0 => Err(TextError::Empty),
        _ if characters > LONGEST_TEXT => Err(TextError::OverContract { characters }),
        _ if characters > most => Err(TextError::TooLong { characters, most }),
        _ => Ok((content, characters)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_in_characters_without_white_space_around() {
        let text = Text::new(" a 😀\n", 3).unwrap();
        assert_eq!((text.content.as_str(), text.characters), ("a 😀", 3));
        assert_eq!(Text::new(" \t", 3), Err(TextError::Empty));
        assert_eq!(Text::new("éééé", 3), Err(TextError::TooLong { characters: 4, most: 3 }));
        let longest = "é".repeat(LONGEST_TEXT + 1);
        assert_eq!(Text::new(&longest, 3), Err(TextError::OverContract { characters: LONGEST_TEXT + 1 }));
    }

    #[test]
    fn a_pair_is_as_long_as_both() {
        let pair = Text::new("abc", 3).unwrap().with_pair(Text::new(" de ", 3).ok());
        assert_eq!((pair.pair.as_deref(), pair.characters), (Some("de"), 5));
    }
}
