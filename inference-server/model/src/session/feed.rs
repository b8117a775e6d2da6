//! What a graph is fed with: each input by its name, in the type that it asks for.

use std::fmt;

use engine::{Layout, Tokens};
use half::f16;
use kernels::InputRef;
use ort::{
    session::{Session, SessionInputValue},
    value::{TensorElementType, TensorRef, ValueType},
};

use super::sentence;

/// What an input is fed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    Ids,
    Mask,
    Types,
    Positions,
    Starts,
}

impl Feed {
    /// By the input's name: those of the transformers library first, then those of TensorFlow's BERT, and `FlashAttention`'s
    /// `cu_seqlens`.
    const NAMES: [(&'static str, Self); 10] = [
        ("input_ids", Self::Ids),
        ("attention_mask", Self::Mask),
        ("token_type_ids", Self::Types),
        ("position_ids", Self::Positions),
        ("cu_seqlens", Self::Starts),
        ("input_word_ids", Self::Ids),
        ("input_mask", Self::Mask),
        ("segment_ids", Self::Types),
        ("input_type_ids", Self::Types),
        ("mask", Self::Mask),
    ];

    /// TensorFlow's exporters put words before a name, and the number of a tensor behind it.
    fn of(name: &str) -> Option<Self> {
        let bare = name.strip_prefix("serving_default_").unwrap_or(name);
        let bare = match bare.rsplit_once(':') {
            Some((before, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => before,
            _ => bare,
        };
        Self::NAMES.iter().find(|(known, _)| *known == bare).map(|(_, feed)| *feed)
    }
}

/// The type of an input's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Int64,
    Int32,
    Bool,
    Float32,
    Float16,
}

impl Element {
    fn of(element: TensorElementType) -> Option<Self> {
        Some(match element {
            TensorElementType::Int64 => Self::Int64,
            TensorElementType::Int32 => Self::Int32,
            TensorElementType::Bool => Self::Bool,
            TensorElementType::Float32 => Self::Float32,
            TensorElementType::Float16 => Self::Float16,
            _ => return None,
        })
    }
}

/// One input of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) feed: Feed,
    element: Element,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = match self.element {
            Element::Int64 => "int64",
            Element::Int32 => "int32",
            Element::Bool => "bool",
            Element::Float32 => "float32",
            Element::Float16 => "float16",
        };
        write!(f, "{} ({element})", self.name)
    }
}

/// What a graph says of the sides of its inputs. A side that isn't fixed is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Axes {
    /// Texts of each run.
    pub(super) texts: Option<usize>,
    /// Tokens of each text.
    pub(super) tokens: Option<usize>,
}

impl Axes {
    fn of(shape: &[i64]) -> Self {
        let fixed = |side: usize| shape.get(side).and_then(|side| usize::try_from(*side).ok()).filter(|side| *side > 0);
        Self { texts: fixed(0), tokens: fixed(1) }
    }
}

/// How a batch is filled up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// The token's id. Where the mask is 0 it doesn't matter; a graph that makes its own mask knows padding by it.
    pub id: u32,
    /// Whether it stands before the texts.
    pub is_left: bool,
}

/// The inputs of a graph, in its order.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    pub(super) all: Vec<Input>,
    pub(super) layout: Layout,
    pub(super) axes: Axes,
    pub(super) padding: Padding,
    /// The first token's position, where the graph asks for positions.
    pub(super) first_position: i64,
}

impl Inputs {
    /// Those that a session asks for.
    pub(super) fn of(session: &Session) -> Result<Self, String> {
        let (mut axes, mut all) = (Axes::default(), Vec::new());
        let is_only = session.inputs().len() == 1;
        for input in session.inputs() {
            let name = input.name();
            // What the only one is for is plain, whatever its name.
            let feed = Feed::of(name).or(is_only.then_some(Feed::Ids)).ok_or_else(|| {
                let known: Vec<_> = Feed::NAMES[..4].iter().map(|(known, _)| *known).collect();
                format!("its input {name} is none of those that texts are fed to: {}", known.join(", "))
            })?;
            let ValueType::Tensor { ty, shape, .. } = input.dtype() else {
                return Err(format!("its input {name} is {}, not a tensor", input.dtype()));
            };
            let element = Element::of(*ty)
                .filter(|element| feed == Feed::Mask || matches!(element, Element::Int64 | Element::Int32))
                .ok_or_else(|| format!("its input {name} is {}, not a tensor of int64 or int32", input.dtype()))?;
            if feed == Feed::Ids {
                axes = Axes::of(shape);
            }
            all.push(Input { name: name.to_owned(), feed, element });
        }
        let has = |wanted| all.iter().any(|input: &Input| input.feed == wanted);
        if !has(Feed::Ids) {
            return Err("it has no input input_ids".to_owned());
        }
        let (layout, axes) = if has(Feed::Starts) { (Layout::Varlen, Axes::default()) } else { (Layout::Padded, axes) };
        Ok(Self { all, layout, axes, padding: Padding::default(), first_position: 0 })
    }

    pub(super) fn has(&self, wanted: Feed) -> bool {
        self.all.iter().any(|input| input.feed == wanted)
    }

    /// What a batch of texts is fed as.
    pub(super) fn fill(&self, batch: &[&Tokens]) -> Vec<Tensor> {
        let fill = |input: &Input| {
            let (shape, numbers) = self.numbers(input.feed, batch);
            Tensor { shape, elements: Elements::of(numbers, input.element) }
        };
        self.all.iter().map(fill).collect()
    }

    /// Shape and numbers of one input, filled up to the fixed length or that of the longest text.
    fn numbers(&self, feed: Feed, batch: &[&Tokens]) -> (Vec<usize>, Vec<i64>) {
        if feed == Feed::Starts {
            let mut numbers = vec![0];
            for text in batch {
                let tokens = i64::try_from(text.ids.len()).unwrap_or(i64::MAX);
                numbers.push(numbers[numbers.len() - 1] + tokens);
            }
            return (vec![numbers.len()], numbers);
        }
        let length = match self.layout {
            Layout::Padded => batch.iter().map(|text| text.ids.len()).chain(self.axes.tokens).max().unwrap_or_default(),
            Layout::Varlen => 0,
        };
        let padding = if feed == Feed::Ids { i64::from(self.padding.id) } else { 0 };
        let mut numbers = Vec::new();
        for text in batch {
            let filling = length.saturating_sub(text.ids.len());
            if self.padding.is_left {
                numbers.resize(numbers.len() + filling, padding);
            }
            let row = numbers.len();
            match (feed, &text.type_ids) {
                (Feed::Ids, _) => numbers.extend(text.ids.iter().map(|id| i64::from(*id))),
                (Feed::Types, Some(types)) => numbers.extend(types.iter().map(|kind| i64::from(*kind))),
                (Feed::Types, None) => numbers.resize(row + text.ids.len(), 0),
                (Feed::Positions, _) => numbers.extend((self.first_position..).take(text.ids.len())),
                (Feed::Mask | Feed::Starts, _) => numbers.resize(row + text.ids.len(), 1),
            }
            if !self.padding.is_left {
                numbers.resize(numbers.len() + filling, padding);
            }
        }
        let shape = match self.layout {
            Layout::Padded => vec![batch.len(), length],
            Layout::Varlen => vec![numbers.len()],
        };
        (shape, numbers)
    }
}

/// One input for a whole batch.
#[derive(Debug, PartialEq)]
pub(super) struct Tensor {
    shape: Vec<usize>,
    elements: Elements,
}

#[derive(Debug, PartialEq)]
enum Elements {
    Int64(Vec<i64>),
    Int32(Vec<i32>),
    Bool(Vec<bool>),
    Float32(Vec<f32>),
    Float16(Vec<f16>),
}

impl Elements {
    fn of(numbers: Vec<i64>, element: Element) -> Self {
        let is_one = |number: i64| number != 0;
        match element {
            Element::Int64 => Self::Int64(numbers),
            Element::Int32 => {
                Self::Int32(numbers.into_iter().map(|number| i32::try_from(number).unwrap_or(i32::MAX)).collect())
            }
            Element::Bool => Self::Bool(numbers.into_iter().map(is_one).collect()),
            Element::Float32 => Self::Float32(numbers.into_iter().map(|number| is_one(number).into()).collect()),
            Element::Float16 => {
                let of = |number| if is_one(number) { f16::ONE } else { f16::ZERO };
                Self::Float16(numbers.into_iter().map(of).collect())
            }
        }
    }
}

impl Tensor {
    pub(super) fn view(&self) -> Result<InputRef<'_>, String> {
        let shape = self.shape.as_slice();
        let view = match &self.elements {
            Elements::Int64(numbers) => TensorRef::from_array_view((shape, numbers.as_slice())).map(InputRef::Int64),
            Elements::Int32(numbers) => TensorRef::from_array_view((shape, numbers.as_slice())).map(InputRef::Int32),
            Elements::Bool(numbers) => TensorRef::from_array_view((shape, numbers.as_slice())).map(InputRef::Bool),
            Elements::Float32(numbers) => {
                TensorRef::from_array_view((shape, numbers.as_slice())).map(InputRef::Float32)
            }
            Elements::Float16(numbers) => {
                TensorRef::from_array_view((shape, numbers.as_slice())).map(InputRef::Float16)
            }
        };
        view.map_err(sentence)
    }

    /// The same, for a session that nobody shares.
    pub(super) fn value(&self) -> Result<SessionInputValue<'_>, String> {
        Ok(match self.view()? {
            InputRef::Int64(tensor) => tensor.into(),
            InputRef::Int32(tensor) => tensor.into(),
            InputRef::Bool(tensor) => tensor.into(),
            InputRef::Float32(tensor) => tensor.into(),
            InputRef::Float16(tensor) => tensor.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(layout: Layout, tokens: Option<usize>, padding: Padding) -> Inputs {
        Inputs { all: Vec::new(), layout, axes: Axes { texts: None, tokens }, padding, first_position: 0 }
    }

    fn filled(inputs: &Inputs, feed: Feed) -> (Vec<usize>, Vec<i64>) {
        let short = Tokens { ids: vec![7], type_ids: None };
        let long = Tokens { ids: vec![1, 2, 3], type_ids: Some(vec![0, 1, 1]) };
        inputs.numbers(feed, &[&short, &long])
    }

    #[test]
    fn rows_are_padded_to_the_longest() {
        let inputs = inputs(Layout::Padded, None, Padding { id: 9, is_left: false });
        let padded = |feed| filled(&inputs, feed);
        assert_eq!(padded(Feed::Ids), (vec![2, 3], vec![7, 9, 9, 1, 2, 3]));
        assert_eq!(padded(Feed::Mask), (vec![2, 3], vec![1, 0, 0, 1, 1, 1]));
        assert_eq!(padded(Feed::Types), (vec![2, 3], vec![0, 0, 0, 0, 1, 1]));
        assert_eq!(padded(Feed::Positions), (vec![2, 3], vec![0, 0, 0, 0, 1, 2]));
    }

    #[test]
    fn padding_stands_on_the_side_where_the_model_learned_it() {
        let inputs = inputs(Layout::Padded, Some(4), Padding { id: 9, is_left: true });
        let padded = |feed| filled(&inputs, feed);
        assert_eq!(padded(Feed::Ids), (vec![2, 4], vec![9, 9, 9, 7, 9, 1, 2, 3]));
        assert_eq!(padded(Feed::Mask), (vec![2, 4], vec![0, 0, 0, 1, 0, 1, 1, 1]));
        assert_eq!(padded(Feed::Positions), (vec![2, 4], vec![0, 0, 0, 0, 0, 0, 1, 2]));
    }

    #[test]
    fn positions_begin_where_the_model_counts_from() {
        let mut inputs = inputs(Layout::Padded, None, Padding::default());
        inputs.first_position = 2;
        let (_, numbers) = filled(&inputs, Feed::Positions);
        assert_eq!(numbers, [2, 0, 0, 2, 3, 4]);
    }

    #[test]
    fn without_padding_texts_follow_upon_each_other() {
        let inputs = inputs(Layout::Varlen, None, Padding { id: 9, is_left: false });
        let varlen = |feed| filled(&inputs, feed);
        assert_eq!(varlen(Feed::Ids), (vec![4], vec![7, 1, 2, 3]));
        assert_eq!(varlen(Feed::Types), (vec![4], vec![0, 0, 1, 1]));
        assert_eq!(varlen(Feed::Positions), (vec![4], vec![0, 0, 1, 2]));
        assert_eq!(varlen(Feed::Starts), (vec![3], vec![0, 1, 4]));
    }

    #[test]
    fn a_side_is_fixed_where_the_graph_has_a_number() {
        assert_eq!(Axes::of(&[-1, -1]), Axes::default());
        assert_eq!(Axes::of(&[1, -1]), Axes { texts: Some(1), tokens: None });
        assert_eq!(Axes::of(&[-1, 128]), Axes { texts: None, tokens: Some(128) });
        assert_eq!(Axes::of(&[]), Axes::default());
    }

    #[test]
    fn inputs_are_known_by_the_names_of_two_libraries() {
        for (name, feed) in [
            ("input_ids", Some(Feed::Ids)),
            ("input_ids:0", Some(Feed::Ids)),
            ("serving_default_attention_mask:0", Some(Feed::Mask)),
            ("input_word_ids", Some(Feed::Ids)),
            ("input_mask:0", Some(Feed::Mask)),
            ("segment_ids", Some(Feed::Types)),
            ("position_ids", Some(Feed::Positions)),
            ("pixel_values", None),
            ("input_ids:x", None),
        ] {
            assert_eq!(Feed::of(name), feed, "{name}");
        }
    }

    #[test]
    fn a_mask_is_of_whatever_type_the_graph_asks_for() {
        let of = |element| Elements::of(vec![1, 0], element);
        assert_eq!(of(Element::Int32), Elements::Int32(vec![1, 0]));
        assert_eq!(of(Element::Bool), Elements::Bool(vec![true, false]));
        assert_eq!(of(Element::Float32), Elements::Float32(vec![1.0, 0.0]));
        assert_eq!(of(Element::Float16), Elements::Float16(vec![f16::ONE, f16::ZERO]));
    }
}
