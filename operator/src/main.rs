//! The operator's entry point.
fn main() {}
