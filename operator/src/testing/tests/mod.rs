//! What stands in for an API server does what the tests that use it rely on.

mod faults;
mod objects;
mod operating;
mod ownership;
