//! The server as a process, with real models and the real ONNX Runtime: one program, since each is linked with all of it.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helper may fail its test")]

#[path = "../common/mod.rs"]
mod common;

mod abuse;
mod api;
mod cache;
mod docs;
mod graphs;
mod grpc;
mod heads;
mod healthcheck;
mod inference_log;
mod insight;
mod jobs;
mod lifecycle;
mod long_texts;
mod memory;
mod model_command;
mod oip;
mod others;
mod playground;
mod predecessor;
mod proto;
mod redis;
mod secrets;
mod tls;
mod tokens;
mod traces;
mod varlen;
