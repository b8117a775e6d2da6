//! The process around the controller: how it starts, is looked at, asks the API server, and ends.

pub mod client;
pub mod health;
pub mod leader;
pub mod logging;
mod port;
pub mod process;
pub mod request_info;
pub mod signals;
pub mod stopping;
pub mod watchdog;
