//! Which output of a graph holds the scores of texts, and how it is read.

use half::{bf16, f16};
use kernels::OutputRef;
use ort::value::{TensorElementType, TensorRefMut, ValueType};

use super::sentence;

/// How the numbers of texts stand in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// `[texts, numbers]`.
    Rows,
    /// `[texts]`: one number each.
    Flat,
    /// `[texts, 1, numbers]`.
    Deep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Float64,
    Float32,
    Float16,
    Bfloat16,
}

/// The output that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) name: String,
    /// Numbers of each text.
    pub(super) numbers: usize,
    form: Form,
    element: Element,
}

impl Output {
    /// The output of a name and a type whose shape, made of so many texts, is that of their scores.
    fn of(name: &str, kind: &ValueType, texts: usize) -> Option<Self> {
        let ValueType::Tensor { ty, shape, .. } = kind else { return None };
        let element = match ty {
            TensorElementType::Float64 => Element::Float64,
            TensorElementType::Float32 => Element::Float32,
            TensorElementType::Float16 => Element::Float16,
            TensorElementType::Bfloat16 => Element::Bfloat16,
            _ => return None,
        };
        let is_texts = |side: i64| usize::try_from(side) == Ok(texts);
        let (form, numbers) = match **shape {
            [rows] if is_texts(rows) => (Form::Flat, 1),
            [rows, numbers] if is_texts(rows) => (Form::Rows, numbers),
            [rows, 1, numbers] if is_texts(rows) => (Form::Deep, numbers),
            _ => return None,
        };
        let numbers = usize::try_from(numbers).ok().filter(|numbers| *numbers > 0)?;
        Some(Self { name: name.to_owned(), numbers, form, element })
    }

    /// The best of what a run of so many texts put out: that of the name logits, else that of as many numbers as there are
    /// labels, else the plainest and shortest, which no hidden state is.
    pub(super) fn choose<'a>(
        outputs: impl Iterator<Item = (&'a str, ValueType)>,
        texts: usize,
        labels: Option<usize>,
    ) -> Result<Self, String> {
        let (mut seen, mut fitting) = (Vec::new(), Vec::new());
        for (name, kind) in outputs {
            seen.push(format!("{name}: {kind}"));
            fitting.extend(Self::of(name, &kind, texts));
        }
        let rank = |output: &Self| {
            let is_labels = labels == Some(output.numbers);
            (output.name != "logits", !is_labels, output.form, output.numbers)
        };
        fitting.into_iter().min_by_key(rank).ok_or_else(|| {
            format!(
                "none of its outputs has a row of numbers for each text ({}); export it for text classification, with its head",
                seen.join("; ")
            )
        })
    }

    /// Has a run write what it makes of so many texts, and returns the numbers, text after text.
    pub(super) fn read(
        &self,
        texts: usize,
        run: impl FnOnce(&mut OutputRef<'_>) -> Result<(), String>,
    ) -> Result<Vec<f32>, String> {
        let numbers = texts * self.numbers;
        let shape = match self.form {
            Form::Rows => vec![texts, self.numbers],
            Form::Flat => vec![texts],
            Form::Deep => vec![texts, 1, self.numbers],
        };
        let shape = shape.as_slice();
        match self.element {
            Element::Float32 => {
                let mut values = vec![0.0_f32; numbers];
                let tensor = TensorRefMut::from_array_view_mut((shape, values.as_mut_slice())).map_err(sentence)?;
                run(&mut OutputRef::Float32(tensor))?;
                Ok(values)
            }
            Element::Float64 => {
                let mut values = vec![0.0_f64; numbers];
                let tensor = TensorRefMut::from_array_view_mut((shape, values.as_mut_slice())).map_err(sentence)?;
                run(&mut OutputRef::Float64(tensor))?;
                #[expect(clippy::cast_possible_truncation, reason = "scores have no use for more digits")]
                Ok(values.into_iter().map(|value| value as f32).collect())
            }
            Element::Float16 => {
                let mut values = vec![f16::ZERO; numbers];
                let tensor = TensorRefMut::from_array_view_mut((shape, values.as_mut_slice())).map_err(sentence)?;
                run(&mut OutputRef::Float16(tensor))?;
                Ok(values.into_iter().map(f16::to_f32).collect())
            }
            Element::Bfloat16 => {
                let mut values = vec![bf16::ZERO; numbers];
                let tensor = TensorRefMut::from_array_view_mut((shape, values.as_mut_slice())).map_err(sentence)?;
                run(&mut OutputRef::Bfloat16(tensor))?;
                Ok(values.into_iter().map(bf16::to_f32).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ort::value::{Shape, SymbolicDimensions};

    use super::*;

    fn tensor(ty: TensorElementType, shape: &[i64]) -> ValueType {
        let dimension_symbols = SymbolicDimensions::empty(shape.len());
        ValueType::Tensor { ty, shape: Shape::new(shape.iter().copied()), dimension_symbols }
    }

    #[test]
    fn the_output_is_the_one_that_can_be_scores() {
        use TensorElementType::{Float16, Float32, Int64};
        let choose = |outputs: &[(&str, TensorElementType, &[i64])], labels| {
            let outputs = outputs.iter().map(|(name, ty, shape)| (*name, tensor(*ty, shape)));
            let chosen = Output::choose(outputs, 1, labels);
            chosen.map(|output| (output.name, output.numbers, output.form))
        };
        let name = |name: &str, numbers, form| Ok((name.to_owned(), numbers, form));

        let hidden: (&str, TensorElementType, &[i64]) = ("hidden", Float32, &[1, 5, 384]);
        assert_eq!(choose(&[hidden, ("x", Float16, &[1, 3])], None), name("x", 3, Form::Rows));
        // Logits by their name, a pooled state by its size.
        assert_eq!(
            choose(&[("pooled", Float32, &[1, 8]), ("logits", Float32, &[1, 9])], None),
            name("logits", 9, Form::Rows)
        );
        assert_eq!(choose(&[("a", Float32, &[1, 8]), ("b", Float32, &[1, 3])], None), name("b", 3, Form::Rows));
        assert_eq!(choose(&[("a", Float32, &[1, 8]), ("b", Float32, &[1, 3])], Some(8)), name("a", 8, Form::Rows));
        assert_eq!(choose(&[("label", Int64, &[1]), ("p", Float32, &[1])], None), name("p", 1, Form::Flat));
        assert_eq!(choose(&[("p", Float32, &[1, 1, 4])], None), name("p", 4, Form::Deep));
        let error = choose(&[hidden, ("label", Int64, &[1])], None).unwrap_err();
        assert!(error.contains("hidden") && error.contains("export it for text classification"), "{error}");
    }
}
