//! A layer's result added to what went into it, then normalized.

use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use pulp::{Arch, Simd, WithSimd};

use super::{FLOATS_IN, FLOATS_OUT, input};

/// Inputs `a` and `b` (f32, tokens × width), `scale` and `bias` (f32, width). Attribute `epsilon`.
/// Output as `a`: ONNX's `LayerNormalization` of a + b over the last axis.
pub(super) struct AddLayerNorm;

impl Operator for AddLayerNorm {
    type Kernel<'attr> = Normalizing;

    fn name(&self) -> &'static str {
        "AddLayerNorm"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [FLOATS_IN; 4]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [FLOATS_OUT]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<Normalizing> {
        let epsilon = context.get("epsilon").ok_or_else(|| ort::Error::new("AddLayerNorm has no epsilon"))?;
        Ok(Normalizing { epsilon })
    }
}

pub(super) struct Normalizing {
    epsilon: f32,
}

impl Kernel for Normalizing {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let bad = |problem: &str| ort::Error::new(format!("AddLayerNorm: {problem}"));
        let (a, b, scale, bias) = (input(context, 0)?, input(context, 1)?, input(context, 2)?, input(context, 3)?);
        let (shape, a) = a.try_extract_tensor::<f32>()?;
        let (_, b) = b.try_extract_tensor::<f32>()?;
        let (_, scale) = scale.try_extract_tensor::<f32>()?;
        let (_, bias) = bias.try_extract_tensor::<f32>()?;
        let width = shape.last().and_then(|width| usize::try_from(*width).ok()).unwrap_or_default();
        if width == 0 || a.len() != b.len() || scale.len() != width || bias.len() != width {
            return Err(bad("the inputs are of different sizes"));
        }
        let mut output = context.output(0, shape.clone())?.ok_or_else(|| bad("the output is missing"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        Arch::new().dispatch(EachToken { a, b, scale, bias, epsilon: self.epsilon, output });
        Ok(())
    }
}

struct EachToken<'a> {
    a: &'a [f32],
    b: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    output: &'a mut [f32],
}

impl WithSimd for EachToken<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.scale.len();
        #[expect(clippy::cast_precision_loss, reason = "a width is far below 2^24")]
        let count = width as f32;
        let tokens = self.a.chunks_exact(width).zip(self.b.chunks_exact(width));
        for ((a, b), output) in tokens.zip(self.output.chunks_exact_mut(width)) {
            let mean = add(simd, a, b, output) / count;
            let variance = subtract(simd, mean, output) / count;
            normalize(simd, (variance + self.epsilon).sqrt().recip(), self.scale, self.bias, output);
        }
    }
}

/// Writes a + b, and returns the sum of it all.
#[inline(always)]
fn add<S: Simd>(simd: S, a: &[f32], b: &[f32], output: &mut [f32]) -> f32 {
    let ((a, last_a), (b, last_b)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let (output, last) = S::as_mut_simd_f32s(output);
    let mut sum = simd.splat_f32s(0.0);
    for ((a, b), output) in a.iter().zip(b).zip(output) {
        *output = simd.add_f32s(*a, *b);
        sum = simd.add_f32s(sum, *output);
    }
    let mut sum = simd.reduce_sum_f32s(sum);
    for ((a, b), output) in last_a.iter().zip(last_b).zip(last) {
        *output = a + b;
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
                let (a, b, scale, bias) = (&a, &b, &scale, &bias);
                arch.dispatch(EachToken { a, b, scale, bias, epsilon: 1e-5, output: &mut output });
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
