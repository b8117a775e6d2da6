//! What the inference server needs of native code and its crates don't offer: two unsafe calls, each
//! behind a safe function, so that the server itself forbids `unsafe`.

mod allocator;
mod session;

pub use allocator::return_large_blocks;
pub use session::SharedSession;
