//! Where a model is put: written beside, then renamed, by one process at a time.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::error::FetchError;

/// Between looks at a lock that another process holds.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Between log lines about the wait.
const TELL_AGAIN: Duration = Duration::from_secs(15);

/// In the finished directory: what it was made of. Hidden, so that servers pass it over.
const NOTE: &str = ".model-fetch.json";

/// What is known of a finished directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The source as sentences name it, with the commit, digest or version that it had.
    pub source: String,
    /// The model's digest.
    pub digest: Option<String>,
    /// Files of the model.
    pub files: usize,
    /// Bytes of the model.
    pub bytes: u64,
}

impl Note {
    /// The note of a directory that was made here.
    #[must_use]
    pub fn of(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(directory.join(NOTE)).ok()?).ok()
    }
}

/// The directory that is asked for, and the names beside it.
#[derive(Clone, Debug)]
pub struct Destination {
    directory: PathBuf,
    parent: PathBuf,
    name: String,
}

/// The right to write the directory, for as long as this lives. The system takes it back when the process ends, however it does.
#[derive(Debug)]
pub struct Claim {
    destination: Destination,
    _lock: File,
}

impl Destination {
    /// A directory that may be there or not.
    pub fn new(directory: &Path) -> Result<Self, FetchError> {
        let directory = std::path::absolute(directory).map_err(|problem| FetchError::io(directory, problem))?;
        let (Some(parent), Some(name)) = (directory.parent(), directory.file_name().and_then(|name| name.to_str()))
        else {
            let given = directory.display().to_string();
            let problem = "is no name for a directory; write one such as /model/NAME".to_owned();
            return Err(FetchError::BadSource { what: "--into", given, problem });
        };
        Ok(Self { parent: parent.to_owned(), name: name.to_owned(), directory })
    }

    /// Whether a model is there. An empty directory is none: volumes begin so.
    pub fn is_finished(&self) -> Result<bool, FetchError> {
        match fs::read_dir(&self.directory) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(problem) => Err(FetchError::io(&self.directory, problem)),
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until no other process writes this directory.
    pub async fn claim(&self) -> Result<Claim, FetchError> {
        fs::create_dir_all(&self.parent).map_err(|problem| FetchError::io(&self.parent, problem))?;
        let path = self.parent.join(format!(".{}.lock", self.name));
        // Never removed: who opened it before would hold a lock that nobody else sees.
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|problem| FetchError::io(&path, problem))?;
        let mut told: Option<Instant> = None;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Claim { destination: self.clone(), _lock: lock }),
                Err(TryLockError::WouldBlock) => {
                    if told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
                        tracing::info!(lock = %path.display(), "waiting for another process that fetches this model");
                        told = Some(Instant::now());
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(TryLockError::Error(problem)) => return Err(FetchError::io(&path, problem)),
            }
        }
    }
}

impl Claim {
    /// Where downloads are until they are whole; what a killed process left is still there.
    pub fn parts(&self) -> Result<PathBuf, FetchError> {
        let path = self.partial().join("parts");
        fs::create_dir_all(&path).map_err(|problem| FetchError::io(&path, problem))?;
        Ok(path)
    }

    /// An empty directory, in which the model is put together.
    pub fn tree(&self) -> Result<PathBuf, FetchError> {
        let path = self.partial().join("tree");
        remove(&path)?;
        fs::create_dir_all(&path).map_err(|problem| FetchError::io(&path, problem))?;
        Ok(path)
    }

    fn partial(&self) -> PathBuf {
        self.destination.parent.join(format!(".{}.partial", self.destination.name))
    }

    /// Takes away a finished directory, which has to be fetched again. At no time is a part of it under its name.
    pub fn discard(&self) -> Result<(), FetchError> {
        let aside = self.partial().join("discarded");
        remove(&aside)?;
        let directory = &self.destination.directory;
        let moved = fs::create_dir_all(self.partial()).and_then(|()| fs::rename(directory, &aside));
        moved.map_err(|problem| FetchError::io(directory, problem))?;
        remove(&aside)
    }

    /// Writes everything to the disk, then gives the tree its name.
    pub fn publish(&self, tree: &Path, note: &Note) -> Result<(), FetchError> {
        let path = tree.join(NOTE);
        let text = serde_json::to_vec(note).unwrap_or_default();
        let written = File::create(&path).and_then(|mut file| file.write_all(&text));
        written.map_err(|problem| FetchError::io(&path, problem))?;
        sync(tree)?;
        let target = &self.destination.directory;
        fs::rename(tree, target).map_err(|problem| FetchError::io(target, problem))?;
        sync_one(&self.destination.parent)?;
        remove(&self.partial())
    }

    /// Takes away what has been fetched, since it is of no use.
    pub fn forget(&self) -> Result<(), FetchError> {
        remove(&self.partial())
    }
}

fn remove(path: &Path) -> Result<(), FetchError> {
    match fs::remove_dir_all(path) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => Err(FetchError::io(path, problem)),
        _ => Ok(()),
    }
}

fn sync(directory: &Path) -> Result<(), FetchError> {
    let entries = fs::read_dir(directory).map_err(|problem| FetchError::io(directory, problem))?;
    for entry in entries {
        let path = entry.map_err(|problem| FetchError::io(directory, problem))?.path();
        if path.is_dir() { sync(&path)? } else { sync_one(&path)? }
    }
    sync_one(directory)
}

fn sync_one(path: &Path) -> Result<(), FetchError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|problem| FetchError::io(path, problem))
}
