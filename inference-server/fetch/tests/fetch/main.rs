//! The program itself, run against servers that misbehave.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test's helper may fail its test")]

mod archives;
mod buckets;
mod common;
mod hub;
mod registry;
mod volume;
mod web;
