//! x · Φ(x), Φ the normal distribution, which BERT's kind has between its layers' two products.

use std::{ops::Range, slice};

use ort::{
    operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::ValueRef,
};
use pulp::{Arch, Simd, WithSimd};

use super::{
    FLOATS_OUT, STARTS_IN, bad,
    dense::{Dense, Floats, Products, Reads},
    inputs, texts,
};

/// Reads what a layer made, and where that is products `cu_seqlens`. Output f32 of the same shape.
pub(super) struct Gelu(pub(super) Reads);

impl Operator for Gelu {
    type Kernel<'attr> = Activating;

    fn name(&self) -> &'static str {
        match self.0 {
            Reads::Floats => "Gelu",
            Reads::Products => "QuantizedGelu",
        }
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let starts = matches!(self.0, Reads::Products).then_some(STARTS_IN);
        self.0.inputs(1).into_iter().chain(starts)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [FLOATS_OUT]
    }

    fn create_kernel(&self, _: &KernelContext<'_>) -> ort::Result<Activating> {
        Ok(Activating(self.0))
    }
}

pub(super) struct Activating(Reads);

impl Kernel for Activating {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        match self.0 {
            Reads::Floats => {
                let values = inputs(context, 1)?;
                let made = Floats::of(&values[0])?;
                activate(context, &values[0], made, slice::from_ref(&(0..made.tokens())))
            }
            Reads::Products => {
                let values = inputs(context, 7)?;
                let starts = values[6].try_extract_tensor::<i64>()?.1;
                let made = Products::of(&values[..6], starts)?;
                activate(context, &values[0], made, &texts(starts, made.tokens())?)
            }
        }
    }
}

/// Has an output of the shape of `like`.
fn activate<D: Dense>(
    context: &ComputeContext,
    like: &ValueRef<'_>,
    made: D,
    texts: &[Range<usize>],
) -> ort::Result<()> {
    let mut output = context.output(0, like.shape().clone())?.ok_or_else(|| bad("the output is missing"))?;
    let (_, output) = output.try_extract_tensor_mut::<f32>()?;
    Arch::new().dispatch(EachToken { made, texts, output });
    Ok(())
}

struct EachToken<'a, D> {
    made: D,
    texts: &'a [Range<usize>],
    output: &'a mut [f32],
}

impl<D: Dense> WithSimd for EachToken<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.made.width();
        for (text, tokens) in self.texts.iter().enumerate() {
            for token in tokens.clone() {
                let output = &mut self.output[token * width..(token + 1) * width];
                self.made.read(text, token, 0..width, output);
                let (numbers, last) = S::as_mut_simd_f32s(output);
                for number in numbers {
                    *number = gelu(simd, *number);
                }
                let activated = gelu(simd, simd.partial_load_f32s(last));
                simd.partial_store_f32s(last, activated);
            }
        }
    }
}

/// Where Φ is 0 or 1 but for 1e-7.
const FLAT_FROM: f32 = 5.2;

/// (Φ(x) - ½) / x by s = 2x²/5.2² - 1, highest power first: the polynomial of degree 14 whose largest
/// error in x · Φ(x) is least, 3e-8, by iterated least squares. In s all coefficients are small, so
/// that rounding adds no more than a few units in the last place.
const COEFFICIENTS: [f32; 15] = [
    1.652_159_1e-4,
    -5.300_982e-4,
    7.085_271e-4,
    -1.069_125e-3,
    2.542_273e-3,
    -4.970_405_3e-3,
    8.074_782e-3,
    -1.240_249_35e-2,
    1.811_666_2e-2,
    -2.475_154e-2,
    3.196_441_4e-2,
    -3.992_661e-2,
    5.002_602_2e-2,
    -6.774_377e-2,
    1.359_499_8e-1,
];

/// Off by at most 7e-7.
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let lowest = simd.max_f32s(x, simd.splat_f32s(-FLAT_FROM));
    let bounded = simd.min_f32s(lowest, simd.splat_f32s(FLAT_FROM));
    let square = simd.mul_f32s(bounded, bounded);
    let s = simd.mul_add_e_f32s(square, simd.splat_f32s(2.0 / (FLAT_FROM * FLAT_FROM)), simd.splat_f32s(-1.0));
    let mut slope = simd.splat_f32s(0.0);
    for coefficient in COEFFICIENTS {
        slope = simd.mul_add_e_f32s(slope, s, simd.splat_f32s(coefficient));
    }
    let share = simd.mul_add_e_f32s(bounded, slope, simd.splat_f32s(0.5));
    simd.mul_f32s(lowest, share)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x · Φ(x) by the series of Φ around 0, in f64.
    fn by_series(x: f64) -> f64 {
        if x.abs() > 7.0 {
            return x.max(0.0);
        }
        let (mut term, mut sum) = (x, x);
        for index in 1..200 {
            term *= x * x / f64::from(2 * index + 1);
            sum += term;
        }
        x * (0.5 + sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt())
    }

    #[test]
    fn it_is_that_of_the_normal_distribution() {
        // An odd count, so that some are left over from vectors of any size.
        let numbers: Vec<f32> = (-9_000..=9_000_i16).map(|step| f32::from(step) / 1000.0).chain([-1e4, 1e4]).collect();
        for arch in [Arch::new(), Arch::Scalar] {
            let mut output = vec![f32::NAN; numbers.len()];
            let made = Floats { numbers: &numbers, width: numbers.len() };
            arch.dispatch(EachToken { made, texts: slice::from_ref(&(0..1)), output: &mut output });
            for (x, got) in numbers.iter().zip(output) {
                let expected = by_series(f64::from(*x));
                assert!((f64::from(got) - expected).abs() < 1e-6 * expected.max(1.0), "{x}: {got}, not {expected}");
            }
        }
    }
}
