//! Fetches a model into a directory: resumed, verified, unpacked without trust, and renamed only when it is whole.

mod archive;
pub mod checks;
pub mod cli;
mod client;
mod destination;
mod digest;
mod download;
mod error;
mod external;
mod finish;
pub mod logging;
mod names;
mod progress;
mod select;
mod sources;

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use model::Digest;
use tokio::{task::block_in_place, time::timeout};

pub use destination::Note;
pub use error::FetchError;

use cli::Arguments;
use destination::{Claim, Destination};
use download::Downloads;
use progress::Progress;
use sources::{Source, Work};

/// Fetches what the arguments name, within the time that they give.
pub async fn run(arguments: &Arguments) -> Result<(), FetchError> {
    let progress = Arc::new(Progress::default());
    match timeout(arguments.timeout, fetch(arguments, &progress)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(FetchError::TimedOut { after: arguments.timeout, bytes: progress.bytes() }),
    }
}

async fn fetch(arguments: &Arguments, progress: &Arc<Progress>) -> Result<(), FetchError> {
    let started = Instant::now();
    let destination = Destination::new(&arguments.into)?;
    // Before anything is written: the volume may be one that only others write.
    if destination.is_finished()? && is_there(arguments, destination.directory())? {
        return Ok(());
    }
    let source = arguments.source()?;
    let claim = destination.claim().await?;
    // Another process may have been at it meanwhile.
    if destination.is_finished()? {
        if is_there(arguments, destination.directory())? {
            return Ok(());
        }
        claim.discard()?;
    }
    let outcome = fetch_claimed(arguments, progress, &*source, &claim, started).await;
    if let Err(FetchError::WrongModel { .. }) = outcome {
        // The same would be made of what is there, and it takes room.
        claim.forget()?;
    }
    outcome
}

/// Whether a finished directory is what is asked for; `false` if it was and is damaged.
fn is_there(arguments: &Arguments, directory: &Path) -> Result<bool, FetchError> {
    let note = Note::of(directory);
    let source = note.as_ref().map(|note| note.source.as_str());
    let Some(expected) = arguments.digest else {
        let digest = note.as_ref().and_then(|note| note.digest.as_deref());
        tracing::info!(directory = %directory.display(), source, digest, "the model is there already, nothing is fetched");
        return Ok(true);
    };
    let got = block_in_place(|| digest::of(directory));
    if got.as_ref().is_ok_and(|got| *got == expected) {
        tracing::info!(directory = %directory.display(), source, digest = %expected, "the model is there already, nothing is fetched");
        return Ok(true);
    }
    // It was made here with this digest: no source is to blame, and nobody's own files are lost.
    if note.is_some_and(|note| note.digest == Some(expected.to_string())) {
        tracing::warn!(directory = %directory.display(), "the files of the model are damaged, so it is fetched again");
        return Ok(false);
    }
    let directory = directory.to_owned();
    Err(FetchError::OtherModel { directory, expected, got: got? })
}

async fn fetch_claimed(
    arguments: &Arguments,
    progress: &Arc<Progress>,
    source: &dyn Source,
    claim: &Claim,
    started: Instant,
) -> Result<(), FetchError> {
    let what = source.shown();
    tracing::info!(source = what, into = %arguments.into.display(), "fetching a model");
    let work = Work {
        http: client::Http::new()?,
        downloads: Downloads::new(claim.parts()?, arguments.patience(), arguments.max_bytes, Arc::clone(progress)),
        limits: archive::Limits::new(arguments.max_bytes, Arc::clone(progress)),
        variant: arguments.variant.clone(),
        is_chosen: AtomicBool::new(false),
        tree: claim.tree()?,
    };
    let teller = progress.tell();
    let state = source.fetch(&work).await?;
    drop(teller);
    block_in_place(|| {
        let variant = arguments.variant.as_ref().filter(|_| !work.is_chosen.load(Relaxed));
        finish::arrange(&work.tree, variant, &what)?;
        let digest = verified(arguments, &work.tree)?;
        let (files, bytes) = extent(&work.tree)?;
        let digest = digest.map(|digest| digest.to_string());
        let note = Note { source: state, digest, files, bytes };
        claim.publish(&work.tree, &note)?;
        let fetched = progress.bytes();
        let elapsed = started.elapsed();
        tracing::info!(
            source = note.source,
            files,
            bytes,
            fetched,
            seconds = elapsed.as_secs_f32(),
            bytes_per_second = progress::rate(fetched, elapsed),
            digest = note.digest,
            "the model is there"
        );
        Ok(())
    })
}

/// The digest of what was fetched, which is the one that is asked for.
fn verified(arguments: &Arguments, tree: &Path) -> Result<Option<Digest>, FetchError> {
    match (digest::of(tree), arguments.digest) {
        (Ok(got), Some(expected)) if got != expected => Err(FetchError::WrongModel { expected, got }),
        (Ok(got), _) => Ok(Some(got)),
        (Err(error), Some(_)) => Err(error),
        (Err(error), None) => {
            // The server says better what it can't load.
            tracing::warn!(problem = %error, "the model has no digest");
            Ok(None)
        }
    }
}

/// Files and bytes of a directory.
fn extent(tree: &Path) -> Result<(usize, u64), FetchError> {
    let files = finish::files(tree)?;
    let mut bytes = 0;
    for name in &files {
        let path = name.below(tree);
        bytes += fs::metadata(&path).map_err(|problem| FetchError::io(&path, problem))?.len();
    }
    Ok((files.len(), bytes))
}
