//! A secret's value in force, which follows its file.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use crate::text_file;

/// Largest file of a secret, in bytes: a hundred keys with long names, and comments.
pub(super) const MOST_BYTES: u64 = 256 * 1024;

/// Reads a value from a text. The error is the end of a sentence that begins with what holds the text, and never
/// quotes it.
pub type Parse<T> = fn(&str) -> Result<T, String>;

/// What a look into a file found.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Another value, which is in force now.
    Renewed,
    /// It can't be used, for this reason; the last good value stays in force.
    Failed(String),
    /// It can be used again, and holds what is in force.
    Recovered,
}

/// A file that is looked into again and again.
pub trait Watched: Send + Sync {
    /// Reads the file; `None` when nothing has changed since the last look. Blocks.
    fn look(&self) -> Option<Change>;
    /// The variable that names the file.
    fn variable(&self) -> &'static str;
    /// The file.
    fn path(&self) -> &Path;
    /// Why it can't be used at present.
    fn problem(&self) -> Option<String>;
}

/// Reads a value anew; as [`Parse`] otherwise.
type Read<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

struct Source<T> {
    variable: &'static str,
    path: PathBuf,
    read: Read<T>,
    seen: Mutex<Seen<T>>,
}

struct Seen<T> {
    /// A new value that was read once.
    candidate: Option<T>,
    problem: Option<String>,
}

/// A value that a variable gave for ever, or that follows a file.
pub struct Live<T> {
    current: RwLock<Arc<T>>,
    source: Option<Source<T>>,
}

impl<T: 'static> Live<T> {
    /// A value that stays.
    pub fn fixed(value: T) -> Self {
        Self { current: RwLock::new(Arc::new(value)), source: None }
    }

    /// The value of a file as it is now. `variable` is the one that names it. The error is the end of a sentence
    /// that begins with the file, and tells neither its name nor its content: who mistakes the variable sets the
    /// secret itself.
    pub fn of_file(variable: &'static str, path: &Path, parse: Parse<T>) -> Result<Self, String> {
        let file = path.to_owned();
        let read = move || text_file::read(&file, MOST_BYTES).and_then(|text| parse(&text));
        let value = read()?;
        Ok(Self::following(variable, path, value, read))
    }

    /// A value that several files give, as it was read just now. `path` is the first of them, which `variable` names.
    pub fn following(
        variable: &'static str,
        path: &Path,
        value: T,
        read: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        let seen = Mutex::new(Seen { candidate: None, problem: None });
        let source = Source { variable, path: path.to_owned(), read: Box::new(read), seen };
        Self { current: RwLock::new(Arc::new(value)), source: Some(source) }
    }

    /// What is in force now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it may change.
    #[must_use]
    pub fn follows_a_file(&self) -> bool {
        self.source.is_some()
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T: PartialEq + Send + Sync + 'static> Watched for Live<T> {
    /// By content, not by time stamp: those of mounted volumes say little. A new value counts when two looks in a
    /// row find it, so that a file that is being written doesn't put half a key in force.
    fn look(&self) -> Option<Change> {
        let source = self.source.as_ref()?;
        let read = (source.read)();
        let mut seen = source.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let candidate = seen.candidate.take();
        match read {
            Ok(value) if value == *self.current() => seen.problem.take().map(|_| Change::Recovered),
            Ok(value) if candidate.as_ref() == Some(&value) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                seen.problem = None;
                Some(Change::Renewed)
            }
            Ok(value) => {
                seen.candidate = Some(value);
                None
            }
            Err(problem) if seen.problem.as_ref() == Some(&problem) => None,
            Err(problem) => {
                seen.problem = Some(problem.clone());
                Some(Change::Failed(problem))
            }
        }
    }

    fn variable(&self) -> &'static str {
        self.source.as_ref().map_or("", |source| source.variable)
    }

    fn path(&self) -> &Path {
        self.source.as_ref().map_or(Path::new(""), |source| &source.path)
    }

    fn problem(&self) -> Option<String> {
        let seen = self.source.as_ref()?.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.problem.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::secrets::Secret;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kubesentiment-live-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn live(&self) -> Result<Live<Secret>, String> {
            Live::of_file("MLOPS_REDIS_PASSWORD_FILE", &self.0.join("password"), Secret::password)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_new_value_is_in_force_once_it_was_found_twice() {
        let folder = Folder::new("renewed");
        let file = folder.0.join("password");
        fs::write(&file, "one\n").unwrap();
        let live = folder.live().unwrap();
        assert_eq!((live.look(), live.current().expose()), (None, "one"));
        fs::write(&file, "tw").unwrap();
        assert_eq!(live.look(), None);
        fs::write(&file, "two").unwrap();
        assert_eq!((live.look(), live.current().expose()), (None, "one"));
        assert_eq!((live.look(), live.current().expose()), (Some(Change::Renewed), "two"));
        assert_eq!(live.look(), None);
    }

    #[test]
    fn a_mounted_secret_is_followed_through_its_links() {
        let folder = Folder::new("mounted");
        for (version, password) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(folder.0.join(version)).unwrap();
            fs::write(folder.0.join(version).join("password"), password).unwrap();
        }
        symlink("..1", folder.0.join("..data")).unwrap();
        symlink("..data/password", folder.0.join("password")).unwrap();
        let live = folder.live().unwrap();
        // As the kubelet does it.
        symlink("..2", folder.0.join("..data_tmp")).unwrap();
        fs::rename(folder.0.join("..data_tmp"), folder.0.join("..data")).unwrap();
        assert_eq!((live.look(), live.look()), (None, Some(Change::Renewed)));
        assert_eq!(live.current().expose(), "two");
    }

    #[test]
    fn a_file_that_can_not_be_used_any_more_leaves_the_last_good_value_in_force() {
        let folder = Folder::new("failed");
        let file = folder.0.join("password");
        fs::write(&file, "one").unwrap();
        let live = folder.live().unwrap();
        let steps: [(&dyn Fn(), &str); 4] = [
            (&|| fs::remove_file(&file).unwrap(), "can't be read: "),
            (&|| fs::write(&file, "\n").unwrap(), "is blank"),
            (&|| fs::write(&file, b"hunter2\xff").unwrap(), "is not UTF-8 text"),
            (&|| fs::write(&file, "k".repeat(300_000)).unwrap(), "is larger than 262144 bytes"),
        ];
        for (step, expected) in steps {
            step();
            let Some(Change::Failed(problem)) = live.look() else { panic!("{expected} is not seen") };
            assert!(problem.starts_with(expected), "{problem}");
            assert_eq!((live.look(), live.problem(), live.current().expose()), (None, Some(problem), "one"));
        }
        fs::write(&file, "one").unwrap();
        assert_eq!((live.look(), live.problem()), (Some(Change::Recovered), None));
        fs::remove_file(&file).unwrap();
        live.look();
        fs::write(&file, "two").unwrap();
        assert_eq!((live.look(), live.look(), live.problem()), (None, Some(Change::Renewed), None));
    }

    #[test]
    fn a_file_that_can_not_be_used_at_first_is_an_error_without_its_name() {
        let folder = Folder::new("hunter2");
        let problem = folder.live().unwrap_err();
        assert!(problem.starts_with("can't be read: ") && !problem.contains("hunter2"), "{problem}");
    }
}
