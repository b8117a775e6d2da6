//! Watches of kinds that a cluster may or may not have.
//!
//! The watch itself is the discovery: it is answered with 404 until the API is installed, and
//! tries again at most 30 s later. That needs no right to read CustomResourceDefinitions, which a
//! Role can't give.

use std::{fmt::Debug, sync::Arc};

use futures::{Stream, stream};
use kube::{Client, runtime::watcher};
use tokio::sync::watch;

use super::{Scope, Told, Watch, children_config, follow, is_missing, required, trim};
use crate::{kind::Kind, metrics::Metrics};

/// Whether an API is installed, as far as its watch has been told. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Installed(Arc<watch::Sender<Option<bool>>>);

impl Installed {
    fn unknown() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

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

    fn set(&self, installed: bool) {
        self.0.send_if_modified(|known| {
            let is_new = *known != Some(installed);
            *known = Some(installed);
            is_new
        });
    }
}

/// Like a watch of children, but the absence of their API is a state and no fault.
pub(super) fn watch_children<K: Kind>(client: &Client, scope: &Scope, metrics: &Metrics) -> (Watch<K>, Installed) {
    let installed = Installed::unknown();
    let found = installed.clone();
    let tell = move |event: &watcher::Result<watcher::Event<K>>| match event {
        Err(error) if is_missing(error) => {
            found.set(false);
            Told::Answered
        }
        Ok(watcher::Event::InitDone) => {
            found.set(true);
            Told::Answered
        }
        _ => required(event),
    };
    (follow(watcher(scope.api(client), children_config()), trim, tell, metrics), installed)
}
