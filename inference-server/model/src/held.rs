//! A file that is held open: what it held then can be read whatever its name leads to now.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::ModelError;
use ring::digest::{Context, Digest, SHA256};

/// A file as it was when it was opened.
#[derive(Debug)]
pub(super) struct HeldFile {
    path: PathBuf,
    file: File,
    then: Mark,
}

/// What tells a file from another, and from what was written into it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    links: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Of the content, or of what is known about the file.
    changed: (i64, i64),
}

impl Mark {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            links: file.nlink(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether the same file holds the same still. That a name of it went, as another file took its place, is a change of
    /// what is known about it and none of what it holds.
    fn holds_the_same(&self, now: &Self) -> bool {
        let same = (self.size, self.modified) == (now.size, now.modified);
        same && (self.changed == now.changed || self.links != now.links)
    }
}

impl HeldFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let then = Mark::of(&file.metadata()?);
        Ok(Self { path: path.to_owned(), file, then })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The error of a read.
    pub(super) fn unreadable(&self, source: io::Error) -> ModelError {
        ModelError::Unreadable { path: self.path.clone(), source }
    }

    /// Whether the name leads to this file, and nothing was written into it.
    pub(super) fn is_current(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|now| Mark::of(&now) == self.then)
    }

    /// From its start.
    pub(super) fn read_to_string(&self) -> io::Result<String> {
        let mut text = String::new();
        self.start()?.read_to_string(&mut text)?;
        Ok(text)
    }

    /// What reads from its start. Two readers at once would take each other's bytes.
    pub(super) fn start(&self) -> io::Result<&File> {
        (&self.file).rewind()?;
        Ok(&self.file)
    }

    /// SHA-256 of what it held when it was opened; `None` when something was written into it since.
    pub(super) fn sha256(&self) -> io::Result<Option<Digest>> {
        let mut hash = Context::new(&SHA256);
        let mut buffer = vec![0; 64 * 1024];
        let mut position = 0;
        loop {
            match self.file.read_at(&mut buffer, position) {
                Ok(0) => break,
                Ok(length) => {
                    hash.update(&buffer[..length]);
                    position += length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let now = Mark::of(&self.file.metadata()?);
        Ok(self.then.holds_the_same(&now).then(|| hash.finish()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kubesentiment-held-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        /// A file that was written long ago: the clock of a file system has coarse ticks.
        fn write(&self, name: &str, content: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, content).unwrap();
            date(&path, 1000);
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn date(path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn hexadecimal(digest: Option<Digest>) -> String {
        let mut text = String::new();
        crate::digest::push_hex(&mut text, digest.unwrap().as_ref());
        text
    }

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_file_that_was_replaced_is_read_as_it_was() {
        let folder = Folder::new("replaced");
        let path = folder.write("a", "abc");
        let held = HeldFile::open(&path).unwrap();
        assert!(held.is_current());
        fs::rename(folder.write("b", "xyz"), &path).unwrap();
        assert!(!held.is_current());
        assert_eq!(hexadecimal(held.sha256().unwrap()), ABC);
        assert_eq!(held.read_to_string().unwrap(), "abc");
        fs::remove_file(&path).unwrap();
        assert!(!held.is_current());
        assert_eq!(hexadecimal(held.sha256().unwrap()), ABC);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_another_file() {
        let folder = Folder::new("link");
        folder.write("a", "abc");
        folder.write("b", "abc");
        let link = folder.0.join("link");
        std::os::unix::fs::symlink("a", &link).unwrap();
        let held = HeldFile::open(&link).unwrap();
        assert!(held.is_current());
        std::os::unix::fs::symlink("b", folder.0.join("next")).unwrap();
        fs::rename(folder.0.join("next"), &link).unwrap();
        assert!(!held.is_current());
        assert!(held.sha256().unwrap().is_some());
    }

    #[test]
    fn what_is_written_into_it_is_seen() {
        let folder = Folder::new("written");
        for (name, write) in [
            ("longer", (|path| fs::write(path, "abcd").unwrap()) as fn(&Path)),
            ("other", |path| fs::write(path, "xyz").unwrap()),
            ("shorter", |path| File::options().write(true).open(path).unwrap().set_len(2).unwrap()),
            // As `cp --preserve` into it does.
            ("dated back", |path| {
                fs::write(path, "xyz").unwrap();
                date(path, 1000);
            }),
        ] {
            let path = folder.write(name, "abc");
            let held = HeldFile::open(&path).unwrap();
            // The clock of what is known about a file has ticks of some milliseconds.
            while HeldFile::open(&path).unwrap().then == held.then {
                write(&path);
            }
            assert!(!held.is_current(), "{name}");
            assert!(held.sha256().unwrap().is_none(), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let folder = Folder::new("unreadable");
        assert!(HeldFile::open(&folder.0.join("none")).is_err());
        assert!(HeldFile::open(&folder.0).unwrap().sha256().is_err());
    }
}
