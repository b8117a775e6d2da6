//! The inference server library.
