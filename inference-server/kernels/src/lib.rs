//! What the inference server needs of native code and its crates don't offer: the unsafe calls, each
//! behind a safe function, so that the server itself forbids `unsafe`.

mod activations;
mod allocator;
mod exit;
mod operators;
mod pages;
mod session;
mod slice;
mod telemetry;

pub use activations::{keep_activations_apart, return_activations};
pub use allocator::{keep_heap_small, return_free_memory};
pub use exit::exit_beside_running_threads;
pub use operators::with_operators;
pub use pages::forget_code_of_the_start;
pub use session::{InputRef, OutputRef, SharedSession};
pub use slice::run_soon_after_waking;
pub use telemetry::forbid_telemetry;
