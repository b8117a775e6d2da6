//! The protocol's messages and services, made from `proto/open_inference.proto` by `make proto`.
#![allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, reason = "made by a program")]

include!("proto/inference.rs");

/// The protocol described, for reflection.
pub const DESCRIPTOR: &[u8] = include_bytes!("proto/descriptor.bin");
