//! The texts of a job that were not run yet, in one block of memory.

use super::Text;

/// Texts in order. One block, since a thousand small ones for each job take half as much again as they
/// hold, and leave the heap full of holes that the system doesn't get back.
#[derive(Debug, Default)]
pub(super) struct Texts {
    contents: String,
    spans: Vec<Span>,
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    /// The text's place among all of the job.
    index: usize,
    /// Its end in the contents.
    end: usize,
    characters: usize,
}

impl Texts {
    /// Texts with their places among all of the job.
    pub(super) fn new(texts: Vec<(usize, Text)>) -> Self {
        let mut contents = String::with_capacity(texts.iter().map(|(_, text)| text.content.len()).sum());
        let mut spans = Vec::with_capacity(texts.len());
        for (index, Text { content, characters }) in texts {
            contents.push_str(&content);
            spans.push(Span { index, end: contents.len(), characters });
        }
        Self { contents, spans, next: 0 }
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.spans.len() - self.next
    }

    /// The next text and its place among all.
    pub(super) fn take(&mut self) -> Option<(usize, Text)> {
        let Span { index, end, characters } = *self.spans.get(self.next)?;
        let start = self.next.checked_sub(1).map_or(0, |before| self.spans[before].end);
        self.next += 1;
        Some((index, Text { content: self.contents[start..end].to_owned(), characters }))
    }

    /// Memory that is held, whether or not texts were taken.
    pub(super) fn bytes(&self) -> usize {
        self.contents.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let texts = ["one", "zwölf", "😀", "four"]
            .map(|text| Text { content: text.to_owned(), characters: text.chars().count() });
        let given: Vec<_> = [0, 2, 3, 7].into_iter().zip(texts).collect();
        let mut held = Texts::new(given.clone());
        assert_eq!((held.left(), held.bytes()), (4, 3 + 6 + 4 + 4 + 4 * 24));
        let taken: Vec<_> = std::iter::from_fn(|| held.take()).collect();
        assert_eq!(taken, given);
        assert_eq!(held.left(), 0);
    }
}
