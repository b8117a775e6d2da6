//! A file as far as it is here.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{Opened, Part};
use crate::{
    checks::{Checksum, Taking},
    error::FetchError,
};

/// A file as far as it is here.
pub(super) struct Local {
    path: PathBuf,
    file: File,
    /// Bytes that are here.
    pub(super) length: u64,
    /// Bytes of the whole, as far as that is known.
    pub(super) size: Option<u64>,
    /// What the answer had that they are of.
    pub(super) validator: Option<String>,
    checks: Vec<Checksum>,
    /// Empty until it is known what to take.
    taking: Vec<Taking>,
    /// Who sent them.
    pub(super) server: String,
}

impl Local {
    pub(super) fn open(path: &Path, part: &Part) -> Result<Self, FetchError> {
        let error = |problem| FetchError::io(path, problem);
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(error)?;
        let length = file.metadata().map_err(error)?.len();
        let validator = fs::read_to_string(path.with_extension("validator")).ok();
        let mut local = Self {
            path: path.to_owned(),
            file,
            length,
            size: part.size,
            validator,
            checks: part.checks.clone(),
            taking: Vec::new(),
            server: "the source".to_owned(),
        };
        // Without either, nothing says that the rest would be of the same file.
        let is_known = local.validator.is_some() || !part.checks.is_empty();
        if part.size.is_some_and(|size| length > size) || (length > 0 && !is_known) {
            local.restart(part)?;
        }
        local.take_anew()?;
        Ok(local)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.size == Some(self.length)
    }

    fn error(&self, problem: std::io::Error) -> FetchError {
        FetchError::io(&self.path, problem)
    }

    /// Takes note of what an answer tells.
    pub(super) fn begin(&mut self, part: &Part, opened: &Opened) -> Result<(), FetchError> {
        if self.validator != opened.validator {
            self.validator.clone_from(&opened.validator);
            let path = self.path.with_extension("validator");
            let kept = match &opened.validator {
                Some(validator) => fs::write(&path, validator),
                None => fs::remove_file(&path).or(Ok(())),
            };
            kept.map_err(|problem| FetchError::io(&path, problem))?;
        }
        let mut checks = part.checks.clone();
        checks.extend(opened.checks.iter().cloned());
        if checks.iter().any(|check| !self.checks.contains(check)) {
            self.checks = checks;
            self.take_anew()?;
        }
        Ok(())
    }

    /// Takes the checksums of what is there.
    fn take_anew(&mut self) -> Result<(), FetchError> {
        self.taking = self.checks.iter().filter_map(|check| Taking::start(check, self.size)).collect();
        self.file.rewind().map_err(|problem| self.error(problem))?;
        let mut left = self.length;
        let mut buffer = vec![0; 1 << 18];
        while left > 0 && !self.taking.is_empty() {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            self.file.read_exact(&mut buffer[..most]).map_err(|problem| self.error(problem))?;
            self.taking.iter_mut().for_each(|taking| taking.update(&buffer[..most]));
            left -= most as u64;
        }
        self.file.seek(SeekFrom::Start(self.length)).map_err(|problem| self.error(problem))?;
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|problem| self.error(problem))?;
        self.taking.iter_mut().for_each(|taking| taking.update(bytes));
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn restart(&mut self, part: &Part) -> Result<(), FetchError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(|problem| self.error(problem))?;
        self.length = 0;
        self.size = part.size;
        self.validator = None;
        let _ = fs::remove_file(self.path.with_extension("validator"));
        self.take_anew()
    }

    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(self.path.with_extension("validator"));
    }

    /// Checks the whole file, and has it on the disk.
    pub(super) fn finish(&mut self, part: &Part) -> Result<(), FetchError> {
        if let Some(expected) = self.size.filter(|size| *size != self.length) {
            let (server, what) = (self.server.clone(), part.what.clone());
            return Err(FetchError::WrongSize { server, what, expected, got: self.length });
        }
        for taking in self.taking.drain(..) {
            if let Err((expected, got)) = taking.finish() {
                let (server, what) = (self.server.clone(), part.what.clone());
                return Err(FetchError::WrongDigest { server, what, expected, got });
            }
        }
        self.file.sync_all().map_err(|problem| self.error(problem))
    }
}
