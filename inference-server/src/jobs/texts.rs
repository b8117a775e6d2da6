//! The texts of a job that were not run yet, in one block of memory.

use super::Text;

/// Texts in order. One block, since a thousand small ones for each job take half as much again as they
/// hold, and leave the heap full of holes that the system doesn't get back.
#[derive(Debug, Default)]
pub(super) struct Texts {
    contents: String,
    /// For each text its end in `contents` and its length in characters.
    spans: Vec<(usize, usize)>,
    next: usize,
}

impl Texts {
    pub(super) fn new(texts: Vec<Text>) -> Self {
        let mut contents = String::with_capacity(texts.iter().map(|text| text.content.len()).sum());
        let mut spans = Vec::with_capacity(texts.len());
        for Text { content, characters } in texts {
            contents.push_str(&content);
            spans.push((contents.len(), characters));
        }
        Self { contents, spans, next: 0 }
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.spans.len() - self.next
    }

    /// The next text and its place among all.
    pub(super) fn take(&mut self) -> Option<(usize, Text)> {
        let index = self.next;
        let (end, characters) = *self.spans.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.spans[before].0);
        self.next += 1;
        Some((index, Text { content: self.contents[start..end].to_owned(), characters }))
    }

    /// Memory that is held, whether or not texts were taken.
    pub(super) fn bytes(&self) -> usize {
        self.contents.capacity() + self.spans.capacity() * size_of::<(usize, usize)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let texts = ["one", "zwölf", "😀", "four"]
            .map(|text| Text { content: text.to_owned(), characters: text.chars().count() });
        let mut held = Texts::new(texts.to_vec());
        assert_eq!((held.left(), held.bytes()), (4, 3 + 6 + 4 + 4 + 4 * 16));
        let taken: Vec<_> = std::iter::from_fn(|| held.take()).collect();
        assert_eq!(taken, texts.into_iter().enumerate().collect::<Vec<_>>());
        assert_eq!(held.left(), 0);
    }
}
