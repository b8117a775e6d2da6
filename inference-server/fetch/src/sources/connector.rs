//! Our own way to servers, for `object_store`.

use std::{
    error::Error,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::StreamExt;
use http::{HeaderMap, StatusCode};
use http_body_util::StreamBody;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    },
};
use url::Url;

use crate::{
    client::{self, Http, Identity},
    error::root_cause,
};

/// The headers of the answer to a request, for the one who has it made.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<HeaderMap>>);

impl Seen {
    /// What was seen.
    pub(super) fn take(&self) -> HeaderMap {
        self.0.lock().map(|mut headers| std::mem::take(&mut *headers)).unwrap_or_default()
    }
}

/// An answer that is no success, as it was before `object_store` made a text of it.
#[derive(Debug, thiserror::Error)]
#[error("{server} answers {status}")]
pub(super) struct Refused {
    /// Who answers so.
    pub server: String,
    /// What it answers.
    pub status: StatusCode,
    /// With these.
    pub headers: HeaderMap,
}

/// The service that tells a pod who it is doesn't.
#[derive(Debug, thiserror::Error)]
#[error("no identity: {0}")]
pub(super) struct NoIdentity(pub String);

/// Gives `object_store` our own way to servers.
#[derive(Debug)]
pub(super) struct Connector(Service);

impl Connector {
    /// One that lets requests for an identity through.
    pub(super) fn new(http: Http, identity: Identity) -> Self {
        Self(Service { http, identity })
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[derive(Clone, Debug)]
struct Service {
    http: Http,
    identity: Identity,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let unknown = |problem: Box<dyn Error + Send + Sync>| HttpError::new_boxed(HttpErrorKind::Unknown, problem);
        let url = Url::parse(&parts.uri.to_string()).map_err(|error| unknown(error.into()))?;
        let mut request = reqwest::Request::new(parts.method, url.clone());
        *request.headers_mut() = parts.headers;
        *request.body_mut() = body.as_bytes().cloned().map(Into::into);
        let is_of_identity = self.identity.is_at(&url);
        let no_identity = |problem| unknown(NoIdentity(problem).into());
        let response = match self.http.execute(request, &self.identity).await {
            Err(error) if is_of_identity => return Err(no_identity(root_cause(&error))),
            response => response?,
        };
        let headers = response.headers().clone();
        let status = response.status();
        if let Some(seen) = parts.extensions.get::<Seen>()
            && let Ok(mut seen) = seen.0.lock()
        {
            seen.clone_from(&headers);
        }
        // object_store would make texts of these, in which neither the status nor the pause is left.
        let is_for_store = status.is_success()
            || matches!(
                status,
                StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE
            );
        if is_of_identity && !is_for_store {
            return Err(no_identity(format!("its service answers {}", status.as_u16())));
        }
        if !is_for_store {
            return Err(unknown(Refused { server: client::server(&url), status, headers }.into()));
        }
        let mut answer = http::Response::builder().status(status).version(response.version());
        if let Some(all) = answer.headers_mut() {
            *all = headers;
        }
        let frames = response.bytes_stream().map(|bytes| match bytes {
            Ok(bytes) => Ok(http_body::Frame::data(bytes)),
            Err(error) => Err(HttpError::new(HttpErrorKind::Interrupted, error.without_url())),
        });
        let body = HttpResponseBody::new(StreamBody::new(frames));
        answer.body(body).map_err(|error| unknown(error.into()))
    }
}
