//! The operators that `scripts/prepare-model.py` puts into a graph: what ONNX Runtime's CPU provider
//! lacks for texts that stand one after another, and what it computes number by number.
//!
//! ONNX Runtime calls one kernel from all threads that run the session, so kernels hold only what
//! never changes.

#![allow(clippy::inline_always, reason = "what isn't inlined isn't compiled for the CPU's vectors")]

mod add_layer_norm;
mod attention;
mod gelu;

use ort::{
    operator::{ComputeContext, OperatorDomain, OperatorInput, OperatorOutput},
    session::builder::SessionBuilder,
    value::{TensorElementType, ValueRef},
};

/// Their domain in a graph.
const DOMAIN: &str = "kubesentiment";

/// A builder whose graphs may hold operators of the domain `kubesentiment`.
pub fn with_operators(builder: SessionBuilder) -> ort::Result<SessionBuilder> {
    let domain = OperatorDomain::new(DOMAIN)?
        .add(attention::VarlenAttention)?
        .add(add_layer_norm::AddLayerNorm)?
        .add(gelu::Gelu)?;
    Ok(builder.with_operators(domain)?)
}

const FLOATS_IN: OperatorInput = OperatorInput::required(TensorElementType::Float32);
const FLOATS_OUT: OperatorOutput = OperatorOutput::required(TensorElementType::Float32);

fn input(context: &ComputeContext, index: usize) -> ort::Result<ValueRef<'_>> {
    context.input(index)?.ok_or_else(|| ort::Error::new(format!("input {index} is missing")))
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
