//! The service `inference.GRPCInferenceService`.

use std::{pin::Pin, sync::Arc};

use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    call::CallContext,
    error::CallError,
    infer, methods, model,
    proto::{
        ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
        ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse,
        ModelStreamInferResponse, RepositoryIndexRequest, RepositoryIndexResponse, ServerLiveRequest,
        ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
        grpc_inference_service_server::GrpcInferenceService,
    },
    statistics, stream,
};
use crate::{
    http::App,
    predict::{PredictError, ServedModel},
    version,
};

/// Extensions of Triton's that are there, by its names.
const EXTENSIONS: [&str; 3] = ["model_configuration", "model_repository", "statistics"];

/// Answers the protocol's calls.
pub(super) struct Inference {
    app: Arc<App>,
}

impl Inference {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }

    /// The model of this name, once it serves.
    fn model(&self, name: &str, version: &str) -> Result<Arc<ServedModel>, CallError> {
        model::known(&self.app, name, version)?;
        Ok(self.app.predictor.served().ok_or(PredictError::NotReady)?)
    }
}

/// The call that a request came by.
fn context<T>(request: &Request<T>) -> Result<CallContext, Status> {
    let context = request.extensions().get().cloned();
    context.ok_or_else(|| Status::internal("the call has no context"))
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: self.app.is_ready() }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.into_inner();
        model::known(&self.app, &name, &version)?;
        Ok(Response::new(ModelReadyResponse { ready: self.app.is_ready() }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(ServerMetadataResponse {
            name: "KubeSentiment".to_owned(),
            version: version().to_owned(),
            extensions: EXTENSIONS.map(str::to_owned).into(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        Ok(Response::new(model::metadata(&*self.model(&name, &version)?)))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        let context = context(&request)?;
        // Held until the request is answered.
        let _memory = context.messages.take();
        let message = request.into_inner();
        let answer = infer::observed(&self.app, &context, methods::INFER, message).await?;
        Ok(Response::new(answer))
    }

    type ModelStreamInferStream = Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let context = context(&request)?;
        Ok(Response::new(Box::pin(stream::answers(Arc::clone(&self.app), context, request.into_inner()))))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let config = model::config(&*self.model(&name, &version)?);
        Ok(Response::new(ModelConfigResponse { config: Some(config) }))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let served = &self.app.config.model.name;
        // Without a name those of all models are asked for.
        model::known(&self.app, if name.is_empty() { served } else { &name }, &version)?;
        Ok(Response::new(ModelStatisticsResponse { model_stats: vec![statistics::of(&self.app, served)] }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        Ok(Response::new(model::index(&self.app, request.into_inner().ready)))
    }
}
