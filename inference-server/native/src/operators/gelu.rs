//! x · Φ(x), Φ the normal distribution, which BERT's kind has between its layers' two products.

use std::iter;

use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use pulp::{Arch, Simd, WithSimd};

use super::{FLOATS_IN, FLOATS_OUT, input};

/// One input of any shape, f32, and an output like it.
pub(super) struct Gelu;

impl Operator for Gelu {
    type Kernel<'attr> = Self;

    fn name(&self) -> &'static str {
        "Gelu"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        iter::once(FLOATS_IN)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        iter::once(FLOATS_OUT)
    }

    fn create_kernel(&self, _: &KernelContext<'_>) -> ort::Result<Self> {
        Ok(Self)
    }
}

impl Kernel for Gelu {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let numbers = input(context, 0)?;
        let (shape, numbers) = numbers.try_extract_tensor::<f32>()?;
        let mut output = context.output(0, shape.clone())?.ok_or_else(|| ort::Error::new("Gelu has no output"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        Arch::new().dispatch(Each { numbers, output });
        Ok(())
    }
}

struct Each<'a> {
    numbers: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Each<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (numbers, last) = S::as_simd_f32s(self.numbers);
        let (output, last_output) = S::as_mut_simd_f32s(self.output);
        for (number, output) in numbers.iter().zip(output) {
            *output = gelu(simd, *number);
        }
        simd.partial_store_f32s(last_output, gelu(simd, simd.partial_load_f32s(last)));
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
            arch.dispatch(Each { numbers: &numbers, output: &mut output });
            for (x, got) in numbers.iter().zip(output) {
                let expected = by_series(f64::from(*x));
                assert!((f64::from(got) - expected).abs() < 1e-6 * expected.max(1.0), "{x}: {got}, not {expected}");
            }
        }
    }
}
