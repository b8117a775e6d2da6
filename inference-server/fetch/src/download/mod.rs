//! Brings files here, whatever becomes of connections and of this process meanwhile.

mod local;

use std::{
    collections::HashSet,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tokio::{task::block_in_place, time::Instant};

use crate::{
    checks::{Checksum, sha256},
    error::{Failure, FetchError},
    progress::Progress,
};
use local::Local;

/// Files that are fetched at once.
const AT_ONCE: usize = 4;

/// Bytes that have to come within the time that a slow server has.
const LEAST: u64 = 16 << 10;

/// Longest pause before the next try, and longest that a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_ASKED_PAUSE: Duration = Duration::from_mins(2);

/// How much is borne.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries in a row that bring nothing.
    pub attempts: u32,
    /// Time in which at least 16 KiB have to come.
    pub stall: Duration,
}

impl Patience {
    /// Does something until it goes well, or fails for good.
    pub async fn retry<T, F>(&self, what: &str, mut attempt: impl FnMut() -> F) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut tries = 0;
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => self.pause(what, failure, &mut tries).await?,
            }
        }
    }

    /// Waits before the next try; the error where there is none.
    async fn pause(&self, what: &str, failure: Failure, tries: &mut u32) -> Result<(), FetchError> {
        *tries += 1;
        if !failure.is_transient {
            return Err(failure.error);
        }
        if *tries >= self.attempts {
            if *tries == 1 {
                return Err(failure.error);
            }
            return Err(FetchError::GaveUp { attempts: *tries, last: Box::new(failure.error) });
        }
        let pause = match failure.retry_after {
            Some(asked) => asked.min(LONGEST_ASKED_PAUSE),
            None => back_off(*tries),
        };
        let seconds = pause.as_secs_f32();
        tracing::warn!(problem = %failure.error, attempt = *tries, seconds, "trying again to fetch {what}");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Doubles from half a second, and differs between pods that were cut off together.
fn back_off(tries: u32) -> Duration {
    let most = Duration::from_millis(500).saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// A file at a source.
#[derive(Clone, Debug)]
pub struct Part {
    /// As sentences name it.
    pub what: String,
    /// Differs for files of different content, as far as the source tells them apart. Not shown, but it may hold no secret either.
    pub identity: String,
    /// Bytes that it has.
    pub size: Option<u64>,
    /// What else is known of it.
    pub checks: Vec<Checksum>,
}

/// An answer whose bytes are to come.
pub struct Opened {
    /// Who answers.
    pub server: String,
    /// The first byte's place in the file.
    pub start: u64,
    /// Bytes of the whole file.
    pub size: Option<u64>,
    /// What the next request can ask to be the same: a strong `ETag`, or a date.
    pub validator: Option<String>,
    /// What the answer tells of the whole file's content.
    pub checks: Vec<Checksum>,
    /// The bytes.
    pub body: BoxStream<'static, Result<Bytes, String>>,
}

/// Where files are.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Asks for a file from a byte on; the answer may begin before it. `validator` is what an earlier answer had.
    async fn open(&self, part: &Part, from: u64, validator: Option<&str>) -> Result<Opened, Failure>;
}

/// Brings files here.
#[derive(Debug)]
pub struct Downloads {
    folder: PathBuf,
    patience: Patience,
    /// Told of each byte.
    pub progress: Arc<Progress>,
    max_bytes: u64,
    promised: AtomicU64,
}

impl Downloads {
    /// Files are put into a folder under names of its own; what is there already is gone on with.
    #[must_use]
    pub fn new(folder: PathBuf, patience: Patience, max_bytes: u64, progress: Arc<Progress>) -> Self {
        Self { folder, patience, progress, max_bytes, promised: AtomicU64::new(0) }
    }

    /// How much is borne.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Removes what is of no file of these.
    pub fn keep<'a>(&self, parts: impl Iterator<Item = &'a Part>) -> Result<(), FetchError> {
        let names: HashSet<String> = parts.map(|part| sha256(part.identity.as_bytes())).collect();
        let entries = fs::read_dir(&self.folder).map_err(|problem| FetchError::io(&self.folder, problem))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.file_stem().and_then(|name| name.to_str()).is_none_or(|name| !names.contains(name)) {
                fs::remove_file(&path).map_err(|problem| FetchError::io(&path, problem))?;
            }
        }
        Ok(())
    }

    /// Fetches files, some at once, and gives where they are.
    pub async fn fetch(&self, remote: &dyn Remote, parts: &[Part]) -> Result<Vec<PathBuf>, FetchError> {
        for part in parts {
            self.promise(part, part.size.unwrap_or(0))?;
        }
        let files: Vec<_> = parts.iter().map(|part| self.fetch_one(remote, part)).collect();
        stream::iter(files).buffered(AT_ONCE).try_collect().await
    }

    /// Counts bytes against what is allowed.
    fn promise(&self, part: &Part, bytes: u64) -> Result<(), FetchError> {
        let before = self.promised.fetch_add(bytes, Relaxed);
        if before.saturating_add(bytes) > self.max_bytes {
            return Err(FetchError::TooLarge { what: part.what.clone(), most: self.max_bytes });
        }
        self.progress.expect(bytes);
        Ok(())
    }

    async fn fetch_one(&self, remote: &dyn Remote, part: &Part) -> Result<PathBuf, FetchError> {
        let path = self.folder.join(sha256(part.identity.as_bytes()));
        let mut local = block_in_place(|| Local::open(&path, part))?;
        let was_there = local.length;
        self.progress.found(was_there);
        if was_there > 0 {
            tracing::info!(file = part.what, bytes = was_there, "going on where an earlier start ended");
        }
        // From more than one answer.
        let mut is_patched = was_there > 0;
        let mut tries = 0;
        loop {
            let before = local.length;
            let outcome = if local.is_whole() { Ok(()) } else { self.attempt(remote, part, &mut local).await };
            match outcome {
                Ok(()) => match block_in_place(|| local.finish(part)) {
                    Ok(()) => return Ok(path),
                    // What another process left may have been torn by a crash, and a file may have been replaced
                    // behind a name: that is no word against the source.
                    Err(error @ (FetchError::WrongDigest { .. } | FetchError::WrongSize { .. })) if is_patched => {
                        tracing::warn!(problem = %error, "the parts don't make a whole, so the file is fetched anew");
                        is_patched = false;
                        self.progress.lost(local.length);
                        block_in_place(|| local.restart(part))?;
                    }
                    Err(error) => {
                        block_in_place(|| local.remove());
                        return Err(error);
                    }
                },
                Err(failure) => {
                    if local.length.saturating_sub(before) >= LEAST {
                        tries = 0;
                    }
                    is_patched |= local.length > 0;
                    self.patience.pause(&part.what, failure, &mut tries).await?;
                }
            }
        }
    }

    async fn attempt(&self, remote: &dyn Remote, part: &Part, local: &mut Local) -> Result<(), Failure> {
        // Nothing would say that the rest is of the same file.
        if local.length > 0 && local.validator.is_none() && part.checks.is_empty() {
            self.progress.lost(local.length);
            block_in_place(|| local.restart(part))?;
        }
        let opened = remote.open(part, local.length, local.validator.as_deref()).await?;
        self.agree(part, local, &opened)?;
        block_in_place(|| local.begin(part, &opened))?;
        self.receive(part, local, opened).await
    }

    /// Sees whether an answer goes on where the file ends. One of another file means that it is fetched anew.
    fn agree(&self, part: &Part, local: &mut Local, opened: &Opened) -> Result<(), Failure> {
        let (server, what) = (opened.server.clone(), part.what.clone());
        local.server.clone_from(&opened.server);
        if opened.start != local.length {
            if opened.start != 0 {
                let problem = format!("it begins at byte {} in place of {}", opened.start, local.length);
                return Err(FetchError::BadAnswer { server, what, problem }.into());
            }
            self.progress.lost(local.length);
            block_in_place(|| local.restart(part))?;
        }
        match (part.size, local.size, opened.size) {
            (Some(expected), _, Some(got)) if expected != got => {
                Err(FetchError::WrongSize { server, what, expected, got }.into())
            }
            (None, Some(before), Some(now)) if before != now => {
                self.progress.lost(local.length);
                block_in_place(|| local.restart(part))?;
                let problem = "the file is another than before".to_owned();
                Err(Failure::transient(FetchError::Cut { server, what, at: 0, problem }))
            }
            (_, None, Some(size)) => {
                self.promise(part, size)?;
                local.size = Some(size);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes what comes, for as long as enough of it does.
    async fn receive(&self, part: &Part, local: &mut Local, mut opened: Opened) -> Result<(), Failure> {
        let (server, what) = (|| opened.server.clone(), || part.what.clone());
        let cut = |at, problem| Failure::transient(FetchError::Cut { server: server(), what: what(), at, problem });
        let (mut since, mut bytes) = (Instant::now(), 0);
        loop {
            let within = self.patience.stall;
            let is_over = match tokio::time::timeout_at(since + within, opened.body.next()).await {
                Ok(Some(Ok(chunk))) => {
                    let length = chunk.len() as u64;
                    self.bound(part, local, length)?;
                    block_in_place(|| local.write(&chunk))?;
                    self.progress.fetched(length);
                    bytes += length;
                    since.elapsed() >= within
                }
                Ok(Some(Err(problem))) => return Err(cut(local.length, problem)),
                Ok(None) => break,
                Err(_) => true,
            };
            if is_over && bytes < LEAST {
                let (server, what) = (server(), what());
                return Err(Failure::transient(FetchError::Stalled { server, what, bytes, within }));
            }
            if is_over {
                (since, bytes) = (Instant::now(), 0);
            }
        }
        match local.size {
            Some(size) if local.length < size => {
                Err(cut(local.length, format!("{} bytes are missing", size - local.length)))
            }
            _ => Ok(()),
        }
    }

    /// Whether so many more bytes are still within what was promised and what is allowed.
    fn bound(&self, part: &Part, local: &Local, more: u64) -> Result<(), FetchError> {
        let got = local.length + more;
        match local.size {
            Some(expected) if got > expected => {
                let (server, what) = (local.server.clone(), part.what.clone());
                Err(FetchError::WrongSize { server, what, expected, got })
            }
            None if got > self.max_bytes => Err(FetchError::TooLarge { what: part.what.clone(), most: self.max_bytes }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        for tries in 1..20 {
            let most = Duration::from_millis(500 * (1 << (tries - 1).min(6))).min(LONGEST_PAUSE);
            let pauses: Vec<_> = (0..20).map(|_| back_off(tries)).collect();
            assert!(pauses.iter().all(|pause| *pause <= most && *pause >= most / 2), "{tries}: {pauses:?}");
            assert!(pauses.iter().collect::<HashSet<_>>().len() > 1);
        }
    }
}
