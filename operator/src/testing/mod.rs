//! The means to see faults: an API server in memory, and a layer of faults under a client.
//!
//! ```
//! # use kubesentiment_operator::testing::{Fault, Server, requests};
//! let server = Server::new();
//! server.faults().inject(requests("update", "leases").named("operator").once(), Fault::CutAfterActing);
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let client = server.client();
//! # drop(client);
//! # });
//! ```
//!
//! The server is good enough for decisions: versions, watches, conflicts and who owns which field. What a real one makes
//! of an object is tested on a real one, in `e2e/`. There the same faults go under the client by
//! [`connect_through`](crate::runtime::client::connect_through).

mod events;
mod faults;
mod matching;
mod server;

use axum::body::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tower::BoxError;

pub use self::{
    faults::{Fault, Faults, Faulty},
    matching::{Matching, requests},
    server::{Server, Service},
};

/// The body of an answer.
pub type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

fn boxed<B>(body: B) -> AnswerBody
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

#[cfg(test)]
mod tests;
