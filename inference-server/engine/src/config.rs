//! How texts are queued and batched.

use std::time::Duration;

/// How texts are queued and batched.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Inference threads; `None` takes one per usable CPU.
    pub threads: Option<usize>,
    /// Most tokens of one batch, padding included. One longer text runs alone.
    pub max_batch_tokens: usize,
    /// Texts of one batch.
    pub max_batch_size: usize,
    /// Texts of each lane that may wait; one more is refused.
    pub queue_capacity: usize,
    /// The longest that a text may have to wait for its turn; one that would wait longer is refused.
    pub max_queue_wait: Duration,
}
