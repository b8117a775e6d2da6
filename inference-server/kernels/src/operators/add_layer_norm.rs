//! A layer's result added to what went into it, then normalized.

use std::{ops::Range, slice};

use ort::{
    operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::ValueRef,
};
use pulp::{Arch, Simd, WithSimd};

use super::{
    FLOATS_IN, FLOATS_OUT, STARTS_IN, bad,
    dense::{Dense, Floats, Products, Reads},
    inputs, texts,
};

/// Reads what a layer made; then `residual` (f32, tokens × width), `scale` and `bias` (f32, width), and where it
/// reads products `cu_seqlens`. Attribute `epsilon`. Output as `residual`: ONNX's `LayerNormalization` over the last
/// axis of what both are together.
pub(super) struct AddLayerNorm(pub(super) Reads);

impl Operator for AddLayerNorm {
    type Kernel<'attr> = Normalizing;

    fn name(&self) -> &'static str {
        match self.0 {
            Reads::Floats => "AddLayerNorm",
            Reads::Products => "QuantizedAddLayerNorm",
        }
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let starts = matches!(self.0, Reads::Products).then_some(STARTS_IN);
        self.0.inputs(1).into_iter().chain([FLOATS_IN; 3]).chain(starts)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [FLOATS_OUT]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<Normalizing> {
        let epsilon = context.get("epsilon").ok_or_else(|| bad("AddLayerNorm has no epsilon"))?;
        Ok(Normalizing { reads: self.0, epsilon })
    }
}

pub(super) struct Normalizing {
    reads: Reads,
    epsilon: f32,
}

impl Kernel for Normalizing {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        match self.reads {
            Reads::Floats => {
                let values = inputs(context, 4)?;
                let made = Floats::of(&values[0])?;
                self.normalize(
                    context,
                    made,
                    [&values[1], &values[2], &values[3]],
                    slice::from_ref(&(0..made.tokens())),
                )
            }
            Reads::Products => {
                let values = inputs(context, 10)?;
                let starts = values[9].try_extract_tensor::<i64>()?.1;
                let made = Products::of(&values[..6], starts)?;
                self.normalize(context, made, [&values[6], &values[7], &values[8]], &texts(starts, made.tokens())?)
            }
        }
    }
}

impl Normalizing {
    fn normalize<D: Dense>(
        &self,
        context: &ComputeContext,
        made: D,
        [residual, scale, bias]: [&ValueRef<'_>; 3],
        texts: &[Range<usize>],
    ) -> ort::Result<()> {
        let (shape, residual) = residual.try_extract_tensor::<f32>()?;
        let (_, scale) = scale.try_extract_tensor::<f32>()?;
        let (_, bias) = bias.try_extract_tensor::<f32>()?;
        let width = made.width();
        if residual.len() != made.tokens() * width || scale.len() != width || bias.len() != width {
            return Err(bad("the inputs of AddLayerNorm are of different sizes"));
        }
        let mut output = context.output(0, shape.clone())?.ok_or_else(|| bad("the output is missing"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        Arch::new().dispatch(EachToken { made, texts, residual, scale, bias, epsilon: self.epsilon, output });
        Ok(())
    }
}

struct EachToken<'a, D> {
    made: D,
    texts: &'a [Range<usize>],
    residual: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    output: &'a mut [f32],
}

impl<D: Dense> WithSimd for EachToken<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.scale.len();
        #[expect(clippy::cast_precision_loss, reason = "a width is far below 2^24")]
        let count = width as f32;
        for (text, tokens) in self.texts.iter().enumerate() {
            for token in tokens.clone() {
                let at = token * width..(token + 1) * width;
                let output = &mut self.output[at.clone()];
                self.made.read(text, token, 0..width, output);
                let mean = add(simd, &self.residual[at], output) / count;
                let variance = subtract(simd, mean, output) / count;
                normalize(simd, (variance + self.epsilon).sqrt().recip(), self.scale, self.bias, output);
            }
        }
    }
}

/// Adds the residual, and returns the sum of it all.
#[inline(always)]
fn add<S: Simd>(simd: S, residual: &[f32], output: &mut [f32]) -> f32 {
    let (residual, last_residual) = S::as_simd_f32s(residual);
    let (output, last) = S::as_mut_simd_f32s(output);
    let mut sum = simd.splat_f32s(0.0);
    for (residual, output) in residual.iter().zip(output) {
        *output = simd.add_f32s(*output, *residual);
        sum = simd.add_f32s(sum, *output);
    }
    let mut sum = simd.reduce_sum_f32s(sum);
    for (residual, output) in last_residual.iter().zip(last) {
        *output += residual;
        sum += *output;
    }
    sum
}

/// Subtracts the mean, and returns the sum of the squares that are left.
#[inline(always)]
fn subtract<S: Simd>(simd: S, mean: f32, output: &mut [f32]) -> f32 {
    let (output, last) = S::as_mut_simd_f32s(output);
    let mut sum = simd.splat_f32s(0.0);
    for output in output {
        *output = simd.sub_f32s(*output, simd.splat_f32s(mean));
        sum = simd.mul_add_e_f32s(*output, *output, sum);
    }
    let mut sum = simd.reduce_sum_f32s(sum);
    for output in last {
        *output -= mean;
        sum += *output * *output;
    }
    sum
}

#[inline(always)]
fn normalize<S: Simd>(simd: S, factor: f32, scale: &[f32], bias: &[f32], output: &mut [f32]) {
    let ((scale, last_scale), (bias, last_bias)) = (S::as_simd_f32s(scale), S::as_simd_f32s(bias));
    let (output, last) = S::as_mut_simd_f32s(output);
    for ((scale, bias), output) in scale.iter().zip(bias).zip(output) {
        let normal = simd.mul_f32s(*output, simd.splat_f32s(factor));
        *output = simd.mul_add_e_f32s(normal, *scale, *bias);
    }
    for ((scale, bias), output) in last_scale.iter().zip(last_bias).zip(last) {
        *output = *output * factor * scale + bias;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::numbers, *};

    #[test]
    fn it_keeps_to_the_definition() {
        // Widths that are and aren't a whole number of vectors.
        for width in [384, 37, 3] {
            let [a, b] = [1, 2].map(|seed| numbers(3 * width, seed));
            let [scale, bias] = [3, 4].map(|seed| numbers(width, seed));
            for arch in [Arch::new(), Arch::Scalar] {
                let mut output = vec![f32::NAN; a.len()];
                let (made, residual, scale, bias) = (Floats { numbers: &a, width }, &b, &scale, &bias);
                let texts = slice::from_ref(&(0..3));
                arch.dispatch(EachToken { made, texts, residual, scale, bias, epsilon: 1e-5, output: &mut output });
                for (token, output) in output.chunks_exact(width).enumerate() {
                    let at = token * width..(token + 1) * width;
                    let sums = a[at.clone()].iter().zip(&b[at]).map(|(a, b)| f64::from(*a) + f64::from(*b));
                    let sums: Vec<f64> = sums.collect();
                    let count = f64::from(u16::try_from(width).unwrap());
                    let mean = sums.iter().sum::<f64>() / count;
                    let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / count;
                    for (index, got) in output.iter().enumerate() {
                        let normal = (sums[index] - mean) / (variance + 1e-5).sqrt();
                        let expected = normal * f64::from(scale[index]) + f64::from(bias[index]);
                        assert!((f64::from(*got) - expected).abs() < 2e-6, "width {width}: {got}, not {expected}");
                    }
                }
            }
        }
    }
}
