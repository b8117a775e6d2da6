//! The service `grpc.health.v1.Health`: whether new calls should come here.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use super::{call::CallContext, methods::SERVICE};
use crate::http::App;

/// How late those who watch may learn of a change.
const LATE: Duration = Duration::from_millis(100);

/// Answers probes.
pub(super) struct Probe(Arc<App>);

impl Probe {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self(Arc::clone(app))
    }

    /// The server as a whole, its service, and its model are ready together.
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || service == SERVICE || service == self.0.config.model.name
    }
}

fn status(app: &App) -> ServingStatus {
    if app.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

#[tonic::async_trait]
impl Health for Probe {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("there is no service of this name here"));
        }
        Ok(Response::new(HealthCheckResponse { status: status(&self.0).into() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = self.knows(&request.get_ref().service);
        let Some(CallContext { conversation, .. }) = request.extensions().get().cloned() else {
            return Err(Status::internal("the call has no context"));
        };
        let app = Arc::clone(&self.0);
        let mut ticks = interval(LATE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let changes = stream::unfold((app, ticks, None), move |(app, mut ticks, told)| async move {
            loop {
                ticks.tick().await;
                let now = if known { status(&app) } else { ServingStatus::ServiceUnknown };
                if told != Some(now) {
                    return Some((Ok(HealthCheckResponse { status: now.into() }), (app, ticks, Some(now))));
                }
            }
        });
        Ok(Response::new(Box::pin(changes.take_until(conversation.stopped()))))
    }
}
