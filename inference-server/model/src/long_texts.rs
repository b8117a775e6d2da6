//! What is done with texts that the model can't read at once.

/// What is done with a text of more tokens than the model reads at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongTexts {
    /// Its start is read.
    Cut,
    /// It is read in windows, whose outputs are joined.
    Windows,
    /// It is refused.
    Refuse,
}

impl LongTexts {
    /// By its name.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "cut" => Some(Self::Cut),
            "windows" => Some(Self::Windows),
            "refuse" => Some(Self::Refuse),
            _ => None,
        }
    }
}
