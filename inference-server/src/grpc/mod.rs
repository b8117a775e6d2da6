//! The Open Inference Protocol, version 2, over gRPC, with health and reflection. What came is translated for the
//! [`Predictor`](crate::predict::Predictor), and its answer back.

mod arriving;
mod call;
pub(crate) mod codec;
mod conversation;
mod deadline;
mod error;
mod health;
mod infer;
mod inference;
mod key;
mod methods;
mod model;
mod outgoing;
mod outputs;
pub mod proto;
mod raw;
mod request;
mod response;
mod statistics;
mod stream;

use std::sync::Arc;

use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::{Builder, Error};

use crate::http::{App, predict_batch::MOST_BYTES};
pub use call::Calls;
pub use conversation::Conversation;
use health::Probe;
use inference::Inference;
pub use outgoing::Outgoing;
use proto::grpc_inference_service_server::GrpcInferenceServiceServer;

/// Everything that is served over gRPC. It fails only where the protocol's description is broken.
pub fn calls(app: &Arc<App>) -> Result<Calls, Error> {
    let described = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let inference = GrpcInferenceServiceServer::new(Inference::new(app)).max_decoding_message_size(MOST_BYTES);
    let routes = Routes::new(inference)
        .add_service(HealthServer::new(Probe::new(app)))
        .add_service(described().build_v1()?)
        // Older clients, some releases of grpcurl among them, ask for this one.
        .add_service(described().build_v1alpha()?);
    Ok(Calls::new(app, routes))
}
