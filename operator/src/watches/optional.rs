//! Kinds that a cluster may or may not have.
//!
//! Whether one is there is told by a watch of its CustomResourceDefinition, and of no other. A Role can't give the right
//! to read that; there, and where it is missing, the kind itself is asked for from time to time.

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, TryStreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::watch, time::sleep};

use super::WATCH_SECONDS;

/// How often a kind is asked for where its CustomResourceDefinition can't be watched.
const AGAIN: Duration = Duration::from_mins(1);

/// Whether an API is installed, as far as is known. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Installed(Arc<watch::Sender<Option<bool>>>);

impl Default for Installed {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Installed {
    /// Whether the API server has said that there is no such API.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        *self.0.borrow() == Some(false)
    }

    /// An item for each time that the API was found, or found to be gone.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + Sync + 'static {
        stream::unfold(self.0.subscribe(), |mut receiver| async move {
            receiver.changed().await.ok()?;
            Some(((), receiver))
        })
    }

    /// Notes what was found.
    pub(super) fn set(&self, installed: bool) {
        self.0.send_if_modified(|known| {
            let is_new = *known != Some(installed);
            *known = Some(installed);
            is_new
        });
    }
}

/// Waits until the kind may be there: its CustomResourceDefinition was made or changed, or, where that can't be watched,
/// some time has passed.
pub(super) async fn may_be_there(client: &Client, definition: &str) {
    let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client.clone());
    let config = watcher::Config::default().fields(&format!("metadata.name={definition}")).timeout(WATCH_SECONDS);
    let seen = async {
        let events = watcher(definitions, config).default_backoff();
        let mut forbidden = pin!(events.map_err(|error| is_forbidden(&error)).filter_map(|event| async move {
            match event {
                Ok(watcher::Event::InitApply(_) | watcher::Event::Apply(_)) => Some(Ok(())),
                Err(true) => Some(Err(())),
                _ => None,
            }
        }));
        match forbidden.next().await {
            Some(Ok(())) => {}
            Some(Err(())) => sleep(AGAIN).await,
            None => pending().await,
        }
    };
    seen.await;
}

fn is_forbidden(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 403
    )
}
