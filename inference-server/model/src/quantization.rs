//! Tells a quantized model from a plain one. The file's name doesn't: exporters name both alike.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Operators that only a quantized graph has.
const OPERATORS: [&[u8]; 4] = [b"MatMulInteger", b"QLinearMatMul", b"DequantizeLinear", b"MatMulNBits"];

/// A graph's nodes come before its weights, and those of a large model fit in this.
const NODES_AT_MOST: u64 = 1 << 20;

/// Whether the graph in this file multiplies quantized weights.
pub(super) fn is_quantized(file: &Path) -> bool {
    let Ok(start) = start_of(file) else {
        return false;
    };
    OPERATORS.iter().any(|operator| start.windows(operator.len()).any(|window| window == *operator))
}

fn start_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(file)?.take(NODES_AT_MOST).read_to_end(&mut start)?;
    Ok(start)
}
