//! Looks into the files of secrets again and again.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::App;
use crate::secrets::{Change, Watched};

/// A mounted Secret is renewed within a minute or two; this adds next to nothing to that.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Follows the files of secrets for as long as the process lives. Returns at once when there are none.
pub async fn watch_secret_files(app: Arc<App>) {
    show_certificate(&app);
    let files = app.config.secret_files();
    if files.is_empty() {
        return;
    }
    for file in &files {
        app.metrics.access.set_file(file.variable(), true);
    }
    let mut times = interval(LOOK_EVERY);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        for file in &files {
            let looking = Arc::clone(file);
            // A volume may hang: not on a thread that serves HTTP.
            if let Ok(Some(change)) = tokio::task::spawn_blocking(move || looking.look()).await {
                tell(&app, file.as_ref(), &change);
            }
        }
    }
}

/// Shows when the certificate in force expires, and warns when it has.
fn show_certificate(app: &App) {
    let Some(tls) = &app.config.tls else { return };
    let identity = tls.current();
    app.metrics.access.set_certificate_expiry(identity.expires());
    if identity.has_expired() {
        tracing::warn!(
            expired = identity.expires(),
            "the certificate in MLOPS_TLS_CERT_FILE has expired, and clients refuse it: renew it"
        );
    }
}

fn tell(app: &App, file: &dyn Watched, change: &Change) {
    let (variable, path) = (file.variable(), file.path().display());
    app.metrics.access.set_file(variable, file.problem().is_none());
    match change {
        Change::Renewed => {
            let api_keys = app.count_keys();
            show_certificate(app);
            tracing::info!(variable, file = %path, api_keys, "a secret is renewed");
        }
        Change::Failed(problem) => {
            tracing::warn!(variable, file = %path, problem, "a secret's file can't be used; what it held stays in force");
        }
        Change::Recovered => tracing::info!(variable, file = %path, "a secret's file can be used again"),
    }
}
