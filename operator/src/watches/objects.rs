//! Follows one watch into a cache.

use std::{fmt::Debug, pin::pin};

use futures::{Stream, StreamExt};
use kube::{
    Resource,
    runtime::{WatchStreamExt, watcher},
};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What the events of a watch mean.
pub(super) trait Follow<K>: Send {
    /// A list of all objects begins.
    fn begins(&mut self);
    /// An object, as it is now.
    fn seen(&mut self, object: K);
    /// An object is gone, or is none of ours any more.
    fn gone(&mut self, object: K);
    /// The list is complete.
    fn complete(&mut self);
}

/// Tells `follower` of all that a watch sees, for as long as it is polled. `whole` is cancelled when the watch has been
/// answered in full for the first time.
pub(super) async fn follow<K>(
    kind: &str,
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    mut follower: impl Follow<K>,
    whole: CancellationToken,
    metrics: Metrics,
) where
    K: Resource + Clone + Debug + Send + 'static,
{
    let mut events = pin!(events.default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                metrics.watch_started(kind);
                follower.begins();
            }
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => follower.seen(object),
            Ok(watcher::Event::Delete(object)) => follower.gone(object),
            Ok(watcher::Event::InitDone) => {
                follower.complete();
                whole.cancel();
            }
            Err(error) => {
                metrics.watch_failed(kind);
                tracing::warn!(kind, error = describe(&error), "watch interrupted, trying again");
            }
        }
    }
}

fn describe(error: &watcher::Error) -> String {
    if is_missing(error) {
        "this API is not installed in the cluster; for SentimentService, apply the CustomResourceDefinition that comes with the operator".to_owned()
    } else {
        error.to_string()
    }
}

/// Whether an API isn't there at all.
pub(super) fn is_missing(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 404
    )
}
