//! Dynamic quantization of each text by itself, so that its score doesn't depend on what runs beside it.

use std::ops::Range;

use ort::{
    operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::TensorElementType,
};
use pulp::{Arch, Simd, WithSimd};

use super::{
    FLOATS_IN, FLOATS_OUT, STARTS_IN, bad,
    dense::{Dense, Floats},
    inputs, texts,
};

/// ONNX's `DynamicQuantizeLinear`, but for each text instead of for all. Inputs: numbers (f32, tokens × width) and
/// `cu_seqlens`. Outputs: the quantized numbers (u8), each text's scale (f32) and zero point (i32).
pub(super) struct QuantizeTexts;

impl Operator for QuantizeTexts {
    type Kernel<'attr> = Self;

    fn name(&self) -> &'static str {
        "QuantizeTexts"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [FLOATS_IN, STARTS_IN]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        let [quantized, zero_points] =
            [TensorElementType::Uint8, TensorElementType::Int32].map(OperatorOutput::required);
        [quantized, FLOATS_OUT, zero_points]
    }

    fn create_kernel(&self, _: &KernelContext<'_>) -> ort::Result<Self> {
        Ok(Self)
    }
}

impl Kernel for QuantizeTexts {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let missing = || bad("an output is missing");
        let values = inputs(context, 2)?;
        let numbers = Floats::of(&values[0])?;
        let shape = values[0].shape().clone();
        let texts = texts(values[1].try_extract_tensor::<i64>()?.1, numbers.tokens())?;
        let mut quantized = context.output(0, shape)?.ok_or_else(missing)?;
        let mut scales = context.output(1, [texts.len()])?.ok_or_else(missing)?;
        let mut zero_points = context.output(2, [texts.len()])?.ok_or_else(missing)?;
        Arch::new().dispatch(EachText {
            numbers,
            texts: &texts,
            quantized: quantized.try_extract_tensor_mut()?.1,
            scales: scales.try_extract_tensor_mut()?.1,
            zero_points: zero_points.try_extract_tensor_mut()?.1,
        });
        Ok(())
    }
}

struct EachText<'a> {
    numbers: Floats<'a>,
    texts: &'a [Range<usize>],
    quantized: &'a mut [u8],
    scales: &'a mut [f32],
    zero_points: &'a mut [i32],
}

impl WithSimd for EachText<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Floats { numbers, width } = self.numbers;
        for ((tokens, text_scale), text_zero) in self.texts.iter().zip(self.scales).zip(self.zero_points) {
            let part = tokens.start * width..tokens.end * width;
            let numbers = &numbers[part.clone()];
            let (scale, zero_point) = scale(simd, numbers);
            quantize(numbers, scale, zero_point, &mut self.quantized[part]);
            (*text_scale, *text_zero) = (scale, zero_point);
        }
    }
}

/// Scale and zero point by which these numbers, and 0, fit into 8 bits.
#[inline(always)]
fn scale<S: Simd>(simd: S, numbers: &[f32]) -> (f32, i32) {
    let (vectors, rest) = S::as_simd_f32s(numbers);
    let (mut lowest, mut highest) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
    for vector in vectors {
        lowest = simd.min_f32s(lowest, *vector);
        highest = simd.max_f32s(highest, *vector);
    }
    let lowest = rest.iter().fold(simd.reduce_min_f32s(lowest), |lowest, number| lowest.min(*number));
    let highest = rest.iter().fold(simd.reduce_max_f32s(highest), |highest, number| highest.max(*number));
    let scale = if lowest < highest { (highest - lowest) / 255.0 } else { 1.0 };
    (scale, whole((-lowest / scale).clamp(0.0, 255.0)))
}

#[inline(always)]
fn quantize(numbers: &[f32], scale: f32, zero_point: i32, quantized: &mut [u8]) {
    for (number, quantized) in numbers.iter().zip(quantized) {
        #[expect(clippy::cast_sign_loss, reason = "it is from 0 to 255")]
        let byte = whole(number / scale).wrapping_add(zero_point).clamp(0, 255) as u8;
        *quantized = byte;
    }
}

/// A number between -2^22 and 2^22 rounded to the nearest whole one, of two as near to the even one.
#[inline(always)]
fn whole(number: f32) -> i32 {
    // Added to it, the fraction has no bits left, and the lowest bits are the whole number.
    const ROUND: f32 = 12_582_912.0;
    (number + ROUND).to_bits().wrapping_sub(ROUND.to_bits()).cast_signed()
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::{super::numbers, *};

    fn quantized(arch: Arch, numbers: &[f32], width: usize, texts: &[Range<usize>]) -> (Vec<u8>, Vec<f32>, Vec<i32>) {
        let mut made = (vec![77; numbers.len()], vec![f32::NAN; texts.len()], vec![77; texts.len()]);
        let (quantized, scales, zero_points) = (&mut made.0[..], &mut made.1[..], &mut made.2[..]);
        arch.dispatch(EachText { numbers: Floats { numbers, width }, texts, quantized, scales, zero_points });
        made
    }

    #[test]
    fn one_text_is_quantized_as_onnx_says() {
        // ONNX's own examples of DynamicQuantizeLinear; then what is half way between two, and nothing but 0.
        let examples: [(&[f32], &[u8], f32, i32); 5] = [
            (&[0.0, 2.0, -3.0, -2.5, 1.34, 0.5], &[153, 255, 0, 26, 221, 179], 5.0 / 255.0, 153),
            (&[-1.0, -2.1, -1.3, -2.5, -3.34, -4.0], &[191, 121, 172, 96, 42, 0], 4.0 / 255.0, 255),
            (
                &[1.0, 2.1, 1.3, 2.5, 3.34, 4.0, 1.5, 2.6, 3.9, 4.0, 3.0, 2.345],
                &[64, 134, 83, 159, 213, 255, 96, 166, 249, 255, 191, 149],
                4.0 / 255.0,
                0,
            ),
            (&[0.5, 1.5, 2.5, 255.0], &[0, 2, 2, 255], 1.0, 0),
            (&[0.0, 0.0], &[0, 0], 1.0, 0),
        ];
        for (numbers, bytes, scale, zero_point) in examples {
            let all = 0..numbers.len();
            for arch in [Arch::new(), Arch::Scalar] {
                let made = quantized(arch, numbers, 1, slice::from_ref(&all));
                assert_eq!(made, (bytes.to_vec(), vec![scale], vec![zero_point]), "{numbers:?}");
            }
        }
    }

    #[test]
    fn a_text_is_quantized_alike_in_all_company() {
        let width = 37;
        let mut all = numbers(9 * width, 5);
        // Where one text's numbers are large, the others' are as ever.
        all[..2 * width].iter_mut().for_each(|number| *number *= 50.0);
        let texts = [0..2, 2..2, 2..6, 6..9];
        let (bytes, scales, zero_points) = quantized(Arch::new(), &all, width, &texts);
        for (index, text) in texts.iter().enumerate() {
            let part = text.start * width..text.end * width;
            let alone = quantized(Arch::Scalar, &all[part.clone()], width, slice::from_ref(&(0..text.len())));
            assert_eq!(alone, (bytes[part].to_vec(), vec![scales[index]], vec![zero_points[index]]), "text {index}");
        }
    }
}
