//! Batch jobs over HTTP: submit, look, fetch, take back. The shapes are those of version 1.

mod error;
mod request;
mod response;

use std::sync::Arc;

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use uuid::Uuid;

use super::{
    ApiError, App,
    bodies::Received,
    openapi::{Failing, Failures, tags},
    predict_batch, texts,
};
use crate::predict::{Call, PredictError, Text, WhenFull};
use crate::protocol::Protocol;
use crate::{
    clock,
    jobs::{self, Jobs, Status},
};
pub use error::JobError;
use request::{Defaults, Page, PageQuery};
use response::{BatchFigures, BatchJob, BatchJobStatus, BatchResults, Cancelled, QueueStatus};

/// How a job can be refused.
pub(super) struct Submitting;

impl Failing for Submitting {
    fn failures() -> Vec<ApiError> {
        let refused = JobError::Refused("500 jobs of medium priority are waiting already".to_owned());
        let overloaded = ApiError::Overloaded("8 batches are being handled already".to_owned());
        vec![
            PredictError::NotReady.into(),
            ApiError::from(PredictError::Stopping),
            overloaded,
            refused.into(),
            JobError::Disabled.into(),
        ]
    }
}

/// How [`enabled`] and [`job_id`] fail.
pub(super) struct Finding;

impl Failing for Finding {
    fn failures() -> Vec<ApiError> {
        vec![JobError::Disabled.into(), JobError::Unknown(Uuid::nil().to_string()).into()]
    }
}

/// How [`enabled`] fails.
pub(super) struct Enabled;

impl Failing for Enabled {
    fn failures() -> Vec<ApiError> {
        vec![JobError::Disabled.into()]
    }
}

/// How the results of a job can be out of reach.
pub(super) struct Fetching;

impl Failing for Fetching {
    fn failures() -> Vec<ApiError> {
        vec![JobError::NoResults { id: Uuid::nil(), status: Status::Processing }.into(), Page::invalid()]
    }
}

/// How a job can be beyond cancelling.
pub(super) struct Cancelling;

impl Failing for Cancelling {
    fn failures() -> Vec<ApiError> {
        vec![JobError::NotCancellable { id: Uuid::nil(), status: Status::Completed }.into()]
    }
}

/// Hand in up to 1000 texts to be run in the background
///
/// Answers at once with the job's id. Jobs are held by the one server that took them, and are lost when it stops.
#[utoipa::path(
    post, path = "/batch/predict", operation_id = "submit_batch_job", tag = tags::JOBS,
    request_body = request::Request,
    responses(
        (status = OK, description = "The job was taken", body = BatchJob, links(
            ("status" = (operation_id = "batch_job_status", parameters(("id" = "$response.body#/job_id")))),
            ("results" = (operation_id = "batch_job_results", parameters(("id" = "$response.body#/job_id")))),
            ("cancel" = (operation_id = "cancel_batch_job", parameters(("id" = "$response.body#/job_id")))),
        )),
        Failures<(Received<{ predict_batch::MOST_BYTES }>, texts::Checking, Submitting)>,
    ),
)]
pub(super) async fn submit(
    State(app): State<Arc<App>>,
    body: Result<Received<{ predict_batch::MOST_BYTES }>, ApiError>,
) -> Result<Json<BatchJob>, ApiError> {
    let jobs = enabled(&app)?;
    if app.is_draining() {
        // It would be lost with the process; another replica can take it.
        return Err(ApiError::from(PredictError::Stopping));
    }
    let body = body?;
    let _place = predict_batch::place(&app)?;
    let (longest, defaults) = (app.config.max_text_length, Defaults::of(jobs));
    let submission = body.read(&app, move |json| request::submission(json, longest, defaults)).await?;
    app.predictor.model()?;
    let taken = jobs.submit(submission).map_err(|refusal| JobError::Refused(refusal.to_string()))?;
    Ok(Json(taken.into()))
}

/// How far a job is
#[utoipa::path(
    get, path = "/batch/status/{id}", operation_id = "batch_job_status", tag = tags::JOBS,
    params(("id" = Uuid, Path, description = "The job's id")),
    responses((status = OK, description = "The job's state", body = BatchJobStatus), Failures<Finding>),
)]
pub(super) async fn status(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<BatchJobStatus>, ApiError> {
    let (jobs, id) = (enabled(&app)?, job_id(id)?);
    let snapshot = jobs.status(id).ok_or_else(|| JobError::Unknown(id.to_string()))?;
    Ok(Json(snapshot.into()))
}

/// What came out of a job, page by page
///
/// Of a job that was run to its end, whether or not each text has an answer: one without has the label `ERROR`.
#[utoipa::path(
    get, path = "/batch/results/{id}", operation_id = "batch_job_results", tag = tags::JOBS,
    params(("id" = Uuid, Path, description = "The job's id"), PageQuery),
    responses((status = OK, description = "A page of results", body = BatchResults), Failures<(Finding, Fetching)>),
)]
pub(super) async fn results(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<BatchResults>, ApiError> {
    let (jobs, id) = (enabled(&app)?, job_id(id)?);
    let page = Page::of(query)?;
    let items = jobs.results(id).map_err(|why| JobError::no_results(id, why))?;
    Ok(Json(BatchResults::of(id, &items, page, &app.config.model.name)))
}

/// Take a job back that waits or is being run
#[utoipa::path(
    delete, path = "/batch/jobs/{id}", operation_id = "cancel_batch_job", tag = tags::JOBS,
    params(("id" = Uuid, Path, description = "The job's id")),
    responses((status = OK, description = "The job is cancelled", body = Cancelled), Failures<(Finding, Cancelling)>),
)]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Cancelled>, ApiError> {
    let (jobs, id) = (enabled(&app)?, job_id(id)?);
    jobs.cancel(id).map_err(|why| JobError::not_cancellable(id, why))?;
    Ok(Json(Cancelled::of(id)))
}

/// Figures over all jobs since the start
#[utoipa::path(
    get, path = "/batch/metrics", operation_id = "batch_figures", tag = tags::JOBS,
    responses((status = OK, description = "The figures", body = BatchFigures), Failures<Enabled>),
)]
pub(super) async fn figures(State(app): State<Arc<App>>) -> Result<Json<BatchFigures>, ApiError> {
    Ok(Json(enabled(&app)?.figures().into()))
}

/// How many jobs wait
#[utoipa::path(
    get, path = "/batch/queue/status", operation_id = "batch_queue_status", tag = tags::JOBS,
    responses((status = OK, description = "Jobs that wait, by priority", body = QueueStatus), Failures<Enabled>),
)]
pub(super) async fn queue_status(State(app): State<Arc<App>>) -> Result<Json<QueueStatus>, ApiError> {
    let queued = enabled(&app)?.queued();
    Ok(Json(QueueStatus::of(queued, app.is_draining(), clock::unix_seconds())))
}

fn enabled(app: &App) -> Result<&Jobs, ApiError> {
    app.jobs.as_ref().ok_or(ApiError::Job(JobError::Disabled))
}

/// A path that no job can have is one of a job that isn't here.
fn job_id(id: Result<Path<String>, PathRejection>) -> Result<Uuid, ApiError> {
    let given = id.map(|Path(id)| id).unwrap_or_default();
    Uuid::parse_str(&given).map_err(|_| JobError::Unknown(given).into())
}

/// Runs the jobs' texts for as long as the process serves. Returns at once when there are none to
/// come: jobs are turned off, or no model is loaded.
pub async fn run_jobs(app: Arc<App>) {
    let (Some(jobs), Some(model)) = (&app.jobs, app.predictor.served()) else {
        return;
    };
    let capacity = app.config.engine.queue_capacity;
    let most = |running| {
        let waiting = usize::try_from(app.metrics.engine.queue_depth.get()).unwrap_or_default();
        texts_at_once(model.threads, capacity, running, waiting, app.predictor.is_busy())
    };
    let classify = |jobs::Text { content, characters }, deadline| {
        let text = Text { content, pair: None, characters };
        let call = Call { protocol: Protocol::Native, deadline, when_full: WhenFull::WaitBehindRequests };
        let app = &app;
        async move {
            let told = |error: ApiError| jobs::Failure::new(error.code(), &error.to_string());
            // Whichever serves when the text's turn comes.
            let model = app.predictor.model().map_err(|error| told(error.into()))?;
            let answer = app.predictor.predict(&model, text, call).await;
            answer.map(jobs::Answer::from).map_err(|error| told(error.into()))
        }
    };
    jobs.run(classify, most).await;
}

/// Texts of jobs that may be with the engine: `running` are, and `waiting` texts of all kinds are in
/// its queue. `requests` says whether texts of requests are there too, or were a moment ago.
fn texts_at_once(threads: usize, capacity: usize, running: usize, waiting: usize, requests: bool) -> usize {
    if waiting > running {
        // More texts wait than there are of jobs: requests queue up.
        1
    } else if requests {
        // The other half of the workers takes what requests bring at once.
        (threads / 2).max(1)
    } else {
        // Every worker has some texts before it while it runs others.
        (4 * threads).min(capacity.div_ceil(2))
    }
}

#[cfg(test)]
mod tests {
    use super::texts_at_once;

    #[test]
    fn jobs_hold_back_for_requests_and_more_so_when_these_wait() {
        assert_eq!(texts_at_once(4, 256, 16, 12, false), 16);
        assert_eq!(texts_at_once(4, 256, 16, 12, true), 2);
        assert_eq!(texts_at_once(4, 256, 16, 17, true), 1);
        assert_eq!(texts_at_once(1, 256, 0, 0, true), 1);
        // The queue keeps room for requests whatever its capacity.
        assert_eq!(texts_at_once(64, 10, 0, 0, false), 5);
        assert_eq!(texts_at_once(64, 1, 0, 0, false), 1);
    }
}
