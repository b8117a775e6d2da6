//! What a dense layer makes of each token, for the operators that read it: numbers, or the sums of products of
//! quantized ones. Those become numbers where they are read, so that nothing passes over memory just for that.

use std::ops::Range;

use ort::{
    operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::{TensorElementType, ValueRef},
};
use pulp::{Arch, Simd, WithSimd};

use super::{FLOATS_OUT, bad, inputs, texts};

/// Which of the two an operator reads. In a graph those of the second kind have `Quantized` before their names.
#[derive(Clone, Copy)]
pub(super) enum Reads {
    /// f32, tokens × width.
    Floats,
    /// Six inputs: the sums (i32, tokens × width) of a quantized input's products with quantized weights; scale
    /// (f32) and zero point (i32) of each text's input, as `QuantizeTexts` has them; scale (f32), sum (i32) and bias
    /// (f32) of each column of the weights.
    Products,
}

impl Reads {
    /// Inputs for each layer that is read.
    pub(super) fn inputs(self, layers: usize) -> Vec<OperatorInput> {
        const FLOATS: TensorElementType = TensorElementType::Float32;
        const INTEGERS: TensorElementType = TensorElementType::Int32;
        let one = match self {
            Self::Floats => &[FLOATS][..],
            Self::Products => &[INTEGERS, FLOATS, INTEGERS, FLOATS, INTEGERS, FLOATS],
        };
        one.repeat(layers).into_iter().map(OperatorInput::required).collect()
    }

    /// How many inputs these are for one.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Floats => 1,
            Self::Products => 6,
        }
    }
}

/// The numbers of each token.
pub(super) trait Dense: Copy {
    /// Numbers of a token.
    fn width(&self) -> usize;

    /// Tokens.
    fn tokens(&self) -> usize;

    /// Reads some columns of a token, which is part of the text of this index.
    fn read(&self, text: usize, token: usize, columns: Range<usize>, into: &mut [f32]);
}

/// Numbers as they are.
#[derive(Clone, Copy)]
pub(super) struct Floats<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) width: usize,
}

impl<'a> Floats<'a> {
    pub(super) fn of(value: &'a ValueRef<'_>) -> ort::Result<Self> {
        let (shape, numbers) = value.try_extract_tensor::<f32>()?;
        let width = shape.last().and_then(|width| usize::try_from(*width).ok()).filter(|width| *width > 0);
        Ok(Self { numbers, width: width.ok_or_else(|| bad("a token without numbers"))? })
    }
}

impl Dense for Floats<'_> {
    fn width(&self) -> usize {
        self.width
    }

    fn tokens(&self) -> usize {
        self.numbers.len() / self.width
    }

    #[inline(always)]
    fn read(&self, _: usize, token: usize, columns: Range<usize>, into: &mut [f32]) {
        let start = token * self.width;
        into.copy_from_slice(&self.numbers[start + columns.start..start + columns.end]);
    }
}

/// Sums of products. A number is `text's scale · column's scale · (sum - zero point · column's sum) + bias`, each
/// step rounded as ONNX Runtime's `MatMulIntegerToFloat` does it.
#[derive(Clone, Copy)]
pub(super) struct Products<'a> {
    sums: &'a [i32],
    text_scales: &'a [f32],
    zero_points: &'a [i32],
    column_scales: &'a [f32],
    column_sums: &'a [i32],
    biases: &'a [f32],
}

impl<'a> Products<'a> {
    /// From their six inputs, and where the texts begin.
    pub(super) fn of(values: &'a [ValueRef<'_>], starts: &[i64]) -> ort::Result<Self> {
        let [sums, text_scales, zero_points, column_scales, column_sums, biases] = values else {
            return Err(bad("products need six inputs"));
        };
        let products = Self {
            sums: sums.try_extract_tensor()?.1,
            text_scales: text_scales.try_extract_tensor()?.1,
            zero_points: zero_points.try_extract_tensor()?.1,
            column_scales: column_scales.try_extract_tensor()?.1,
            column_sums: column_sums.try_extract_tensor()?.1,
            biases: biases.try_extract_tensor()?.1,
        };
        let width = products.biases.len();
        let same = products.column_scales.len() == width && products.column_sums.len() == width;
        if width == 0 || !same || !products.sums.len().is_multiple_of(width) {
            return Err(bad("products, and scale, sum and bias of each column, aren't of one width"));
        }
        let texts = starts.len().saturating_sub(1);
        if products.text_scales.len() != texts || products.zero_points.len() != texts {
            return Err(bad("not every text has a scale and a zero point"));
        }
        Ok(products)
    }
}

impl Dense for Products<'_> {
    fn width(&self) -> usize {
        self.biases.len()
    }

    fn tokens(&self) -> usize {
        self.sums.len() / self.width()
    }

    #[inline(always)]
    fn read(&self, text: usize, token: usize, columns: Range<usize>, into: &mut [f32]) {
        let (scale, zero_point) = (self.text_scales[text], self.zero_points[text]);
        let start = token * self.width();
        let sums = &self.sums[start + columns.start..start + columns.end];
        let of_columns = self.column_scales[columns.clone()]
            .iter()
            .zip(&self.column_sums[columns.clone()])
            .zip(&self.biases[columns]);
        for ((into, sum), ((column_scale, column_sum), bias)) in into.iter_mut().zip(sums).zip(of_columns) {
            // No sum of products of 8 bits with fewer than 2^16 weights leaves 32 bits.
            let exact = sum.wrapping_sub(zero_point.wrapping_mul(*column_sum));
            #[expect(clippy::cast_precision_loss, reason = "ONNX Runtime rounds them too")]
            let rounded = exact as f32;
            *into = rounded * (scale * column_scale) + bias;
        }
    }
}

/// The numbers of products: their six inputs, and `cu_seqlens`. Output f32, tokens × width.
pub(super) struct DequantizeTexts;

impl Operator for DequantizeTexts {
    type Kernel<'attr> = Self;

    fn name(&self) -> &'static str {
        "DequantizeTexts"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        Reads::Products.inputs(1).into_iter().chain([super::STARTS_IN])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [FLOATS_OUT]
    }

    fn create_kernel(&self, _: &KernelContext<'_>) -> ort::Result<Self> {
        Ok(Self)
    }
}

impl Kernel for DequantizeTexts {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let values = inputs(context, 7)?;
        let starts = values[6].try_extract_tensor::<i64>()?.1;
        let products = Products::of(&values[..6], starts)?;
        let texts = texts(starts, products.tokens())?;
        let mut output = context.output(0, values[0].shape().clone())?.ok_or_else(|| bad("the output is missing"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        Arch::new().dispatch(Dequantize { products, texts: &texts, output });
        Ok(())
    }
}

struct Dequantize<'a> {
    products: Products<'a>,
    texts: &'a [Range<usize>],
    output: &'a mut [f32],
}

impl WithSimd for Dequantize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.products.width();
        for (text, tokens) in self.texts.iter().enumerate() {
            for token in tokens.clone() {
                self.products.read(text, token, 0..width, &mut self.output[token * width..(token + 1) * width]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "all these numbers have few bits")]
    fn products_become_the_numbers_that_were_multiplied() {
        // Two texts of two tokens and one, each with a scale and a zero point of its own; three columns.
        let products = Products {
            sums: &[100, -200, 7, 3, 0, -9, 40, 50, 60],
            text_scales: &[0.5, 0.25],
            zero_points: &[10, 200],
            column_scales: &[2.0, 1.0, 0.125],
            column_sums: &[4, -5, 0],
            biases: &[0.0, 100.0, -1.0],
        };
        let expected = [60.0, 25.0, -0.5625, -37.0, 125.0, -1.5625, -380.0, 362.5, 0.875];
        for arch in [Arch::new(), Arch::Scalar] {
            let mut output = [f32::NAN; 9];
            arch.dispatch(Dequantize { products, texts: &[0..2, 2..3], output: &mut output });
            assert_eq!(output, expected);
        }
        // Part of a token, as a head of attention reads it.
        let mut part = [f32::NAN; 2];
        products.read(1, 2, 1..3, &mut part);
        assert_eq!(part, expected[7..]);
    }
}
