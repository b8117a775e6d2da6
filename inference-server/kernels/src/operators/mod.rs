//! The operators that `models/prepare` puts into a graph: what ONNX Runtime's CPU provider
//! lacks for texts that stand one after another, and what it computes number by number.
//!
//! ONNX Runtime calls one kernel from all threads that run the session, so kernels hold only what
//! never changes.

#![allow(clippy::inline_always, reason = "what isn't inlined isn't compiled for the CPU's vectors")]

mod add_layer_norm;
mod attention;
mod dense;
mod gelu;
mod guarded;
mod quantize_texts;

use std::ops::Range;

use ort::{
    operator::{ComputeContext, OperatorDomain, OperatorInput, OperatorOutput},
    session::builder::SessionBuilder,
    value::{TensorElementType, ValueRef},
};

use dense::Reads;
use guarded::Guarded;

/// Their domain in a graph.
const DOMAIN: &str = "kubesentiment";

/// A builder whose graphs may hold operators of the domain `kubesentiment`.
pub fn with_operators(builder: SessionBuilder) -> ort::Result<SessionBuilder> {
    let mut domain = OperatorDomain::new(DOMAIN)?
        .add(Guarded(quantize_texts::QuantizeTexts))?
        .add(Guarded(dense::DequantizeTexts))?;
    for reads in [Reads::Floats, Reads::Products] {
        domain = domain
            .add(Guarded(attention::VarlenAttention(reads)))?
            .add(Guarded(add_layer_norm::AddLayerNorm(reads)))?
            .add(Guarded(gelu::Gelu(reads)))?;
    }
    Ok(builder.with_operators(domain)?)
}

const FLOATS_IN: OperatorInput = OperatorInput::required(TensorElementType::Float32);
const DISTANCES_IN: OperatorInput = OperatorInput::optional(TensorElementType::Float32);
const FLOATS_OUT: OperatorOutput = OperatorOutput::required(TensorElementType::Float32);

/// `cu_seqlens`: where each text begins, and where the last ends.
const STARTS_IN: OperatorInput = OperatorInput::required(TensorElementType::Int64);

/// The first inputs, all of which have to be there.
fn inputs(context: &ComputeContext, count: usize) -> ort::Result<Vec<ValueRef<'_>>> {
    (0..count).map(|index| context.input(index)?.ok_or_else(|| bad(&format!("input {index} is missing")))).collect()
}

/// Names no operator: ONNX Runtime's own message has the node before it.
fn bad(problem: &str) -> ort::Error {
    ort::Error::new(problem)
}

/// The texts' tokens, when they follow upon each other and are all there are.
fn texts(starts: &[i64], tokens: usize) -> ort::Result<Vec<Range<usize>>> {
    let starts: Option<Vec<usize>> = starts.iter().map(|start| usize::try_from(*start).ok()).collect();
    starts
        .filter(|starts| starts.first() == Some(&0) && starts.last() == Some(&tokens) && starts.is_sorted())
        .map(|starts| starts.windows(2).map(|ends| ends[0]..ends[1]).collect())
        .ok_or_else(|| bad("cu_seqlens doesn't divide the tokens"))
}

/// Numbers between -1 and 1 that look random, the same each time.
#[cfg(test)]
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_leave_tokens_out_are_refused() {
        assert_eq!(texts(&[0, 2, 5], 5).unwrap(), [0..2, 2..5]);
        for starts in [&[][..], &[0], &[1, 5], &[0, 4], &[0, 6], &[0, 3, 2, 5], &[0, -1, 5]] {
            assert!(texts(starts, 5).is_err(), "{starts:?}");
        }
    }
}
