//! Archives of others, unpacked without trust in them.

mod zstd;

use std::{
    cell::RefCell,
    collections::HashSet,
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use flate2::read::MultiGzDecoder;
use tar::EntryType;
use zip::{ZipArchive, result::ZipError};

use crate::{
    error::{FetchError, short},
    names::{BadName, FileName},
    progress::Progress,
};

/// Files and folders of all archives together.
const MOST_FILES: usize = 10_000;

/// Times that an archive may grow: weights hardly shrink when they are packed.
const MOST_GROWTH: u64 = 50;

/// Bytes of a name and what else is told of a file before its content: the library has them in memory.
const MOST_TOLD: u64 = 1 << 20;

/// Bytes up to which growth is no matter.
const SMALL: u64 = 64 << 20;

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not compressed.
    Tar,
    /// By gzip.
    TarGz,
    /// By Zstandard.
    TarZst,
    /// As a zip file.
    Zip,
}

impl Format {
    /// Judges by the content; a file that is no archive has no format.
    pub fn of(path: &Path, what: &str) -> Result<Option<Self>, FetchError> {
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut start));
        read.map_err(|problem| FetchError::io(path, problem))?;
        let foreign = match start.as_slice() {
            [0x1f, 0x8b, ..] => return Ok(Some(Self::TarGz)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => return Ok(Some(Self::TarZst)),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => return Ok(Some(Self::Zip)),
            start if start.get(257..262) == Some(b"ustar") => return Ok(Some(Self::Tar)),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
            [b'B', b'Z', b'h', ..] => "bzip2",
            [b'7', b'z', 0xbc, 0xaf, ..] => "7-Zip",
            _ => return Ok(None),
        };
        let problem = format!("it is packed by {foreign}");
        Err(FetchError::Damaged { archive: what.to_owned(), problem })
    }
}

/// What all archives together may take.
#[derive(Debug)]
pub struct Limits {
    max_bytes: u64,
    bytes: AtomicU64,
    files: AtomicUsize,
    progress: Arc<Progress>,
}

impl Limits {
    /// At most so many bytes.
    #[must_use]
    pub fn new(max_bytes: u64, progress: Arc<Progress>) -> Self {
        Self { max_bytes, bytes: AtomicU64::new(0), files: AtomicUsize::new(0), progress }
    }
}

/// What is unpacked, and where to.
#[derive(Clone, Copy, Debug)]
pub struct Unpack<'a> {
    /// The archive as sentences name it.
    pub what: &'a str,
    /// The folder that is filled.
    pub tree: &'a Path,
    /// Only what is below this folder of the archive; empty for everything.
    pub within: &'a str,
    /// Whether it is a layer of an image: what is there already is replaced, and names may take others away.
    pub is_layer: bool,
    /// What all together may take.
    pub limits: &'a Limits,
}

impl Unpack<'_> {
    /// Unpacks an archive.
    pub fn run(self, archive: &Path, format: Format) -> Result<(), FetchError> {
        let open = || File::open(archive).map_err(|problem| FetchError::io(archive, problem));
        let size = open()?.metadata().map_err(|problem| FetchError::io(archive, problem))?.len();
        let mut writer = Writer { unpack: self, seen: HashSet::new(), meter: Meter::new(self, size) };
        let input = BufReader::with_capacity(1 << 18, open()?);
        match format {
            Format::Tar => writer.tar(input),
            Format::TarGz => writer.tar(MultiGzDecoder::new(input)),
            Format::TarZst => writer.tar(zstd::Frames::new(input)),
            Format::Zip => writer.zip(input),
        }
    }

    fn damaged(&self, problem: &str) -> FetchError {
        FetchError::Damaged { archive: self.what.to_owned(), problem: short(problem) }
    }

    fn not_a_file(&self, name: &FileName, kind: &'static str) -> FetchError {
        FetchError::NotAFile { archive: self.what.to_owned(), name: name.to_string(), kind }
    }
}

/// Counts what comes out of an archive.
struct Meter<'a> {
    unpack: Unpack<'a>,
    packed: u64,
    unpacked: u64,
    /// Bytes since the last content of a file; `None` within one.
    told: Option<u64>,
    /// Why nothing more is read.
    broken: Option<FetchError>,
}

impl<'a> Meter<'a> {
    fn new(unpack: Unpack<'a>, packed: u64) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { unpack, packed: packed.max(1), unpacked: 0, told: None, broken: None }))
    }

    fn count(&mut self, bytes: u64) -> io::Result<()> {
        let Unpack { what, limits, .. } = self.unpack;
        self.unpacked += bytes;
        limits.progress.unpacked(bytes);
        let all = limits.bytes.fetch_add(bytes, Relaxed) + bytes;
        if all > limits.max_bytes {
            self.broken = Some(FetchError::TooLarge { what: what.to_owned(), most: limits.max_bytes });
        } else if self.unpacked > SMALL && self.unpacked / self.packed >= MOST_GROWTH {
            self.broken = Some(FetchError::Bomb { archive: what.to_owned(), most: MOST_GROWTH });
        }
        if let Some(told) = &mut self.told {
            *told += bytes;
            if *told > MOST_TOLD {
                self.broken = Some(self.unpack.damaged("a file's name has no end"));
            }
        }
        if self.broken.is_some() { Err(io::Error::other("too much")) } else { Ok(()) }
    }
}

/// Reads what comes out of an archive, counted.
struct Metered<'a, R> {
    inner: R,
    meter: Rc<RefCell<Meter<'a>>>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.meter.borrow_mut().count(read as u64)?;
        Ok(read)
    }
}

/// Puts an archive's files into the tree.
struct Writer<'a> {
    unpack: Unpack<'a>,
    seen: HashSet<FileName>,
    meter: Rc<RefCell<Meter<'a>>>,
}

impl Writer<'_> {
    fn tar(&mut self, input: impl Read) -> Result<(), FetchError> {
        let metered = Metered { inner: input, meter: Rc::clone(&self.meter) };
        let mut archive = tar::Archive::new(metered);
        let entries = archive.entries().map_err(|error| self.damaged(&error))?;
        self.meter.borrow_mut().told = Some(0);
        for entry in entries {
            let mut entry = entry.map_err(|error| self.damaged(&error))?;
            self.meter.borrow_mut().told = None;
            let name = entry.path_bytes().into_owned();
            let name = self.admit(&name)?;
            // What isn't read here, the library would read before it goes on.
            let Some(name) = name else {
                io::copy(&mut entry, &mut io::sink()).map_err(|error| self.damaged(&error))?;
                self.meter.borrow_mut().told = Some(0);
                continue;
            };
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.write(&name, &mut entry)?,
                EntryType::Directory | EntryType::XGlobalHeader => {}
                EntryType::Symlink => return Err(self.unpack.not_a_file(&name, "a symbolic link")),
                EntryType::Link => return Err(self.unpack.not_a_file(&name, "a hard link")),
                EntryType::Block | EntryType::Char => return Err(self.unpack.not_a_file(&name, "a device")),
                EntryType::Fifo => return Err(self.unpack.not_a_file(&name, "a pipe")),
                _ => return Err(self.unpack.not_a_file(&name, "of a kind that isn't known here")),
            }
            self.meter.borrow_mut().told = Some(0);
        }
        Ok(())
    }

    fn zip(&mut self, mut input: impl Read + Seek) -> Result<(), FetchError> {
        let damaged = |error: &ZipError| self.unpack.damaged(&error.to_string());
        let archive = ZipArchive::new(&mut input).map_err(|error| damaged(&error))?;
        let directory = archive.central_directory_start();
        drop(archive);
        self.refuse_twins(&mut input, directory)?;
        let mut archive = ZipArchive::new(input).map_err(|error| damaged(&error))?;
        for index in 0..archive.len() {
            let entry = archive.by_index(index).map_err(|error| self.unpack.damaged(&error.to_string()))?;
            let Some(name) = self.admit(entry.name_raw())? else { continue };
            if entry.is_dir() {
                continue;
            }
            if entry.is_symlink() {
                return Err(self.unpack.not_a_file(&name, "a symbolic link"));
            }
            let mut metered = Metered { inner: entry, meter: Rc::clone(&self.meter) };
            self.write(&name, &mut metered)?;
        }
        Ok(())
    }

    /// Refuses names that a zip's directory has twice, of which the library would give the last one only (APPNOTE.TXT, 4.3.12).
    fn refuse_twins(&self, input: &mut (impl Read + Seek), directory: u64) -> Result<(), FetchError> {
        const SIGNATURE: &[u8] = b"PK\x01\x02";
        let damaged = |error: io::Error| self.unpack.damaged(&error.to_string());
        input.seek(SeekFrom::Start(directory)).map_err(damaged)?;
        let mut seen = HashSet::new();
        loop {
            let mut head = Vec::new();
            input.by_ref().take(46).read_to_end(&mut head).map_err(damaged)?;
            if head.len() < 46 || !head.starts_with(SIGNATURE) {
                return Ok(());
            }
            let length = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
            let mut name = Vec::new();
            input.by_ref().take(length(28)).read_to_end(&mut name).map_err(damaged)?;
            io::copy(&mut input.by_ref().take(length(30) + length(32)), &mut io::sink()).map_err(damaged)?;
            if seen.len() > MOST_FILES {
                return Err(FetchError::TooManyFiles { what: self.unpack.what.to_owned(), most: MOST_FILES });
            }
            if !seen.insert(name.clone()) {
                let name = short(&String::from_utf8_lossy(&name));
                return Err(FetchError::Duplicate { archive: self.unpack.what.to_owned(), name });
            }
        }
    }

    /// The reason that the meter has, or else the decoder's.
    fn damaged(&self, error: &io::Error) -> FetchError {
        self.meter.borrow_mut().broken.take().unwrap_or_else(|| self.unpack.damaged(&error.to_string()))
    }

    /// The name that an entry gets, if it is wanted at all.
    fn admit(&self, name: &[u8]) -> Result<Option<FileName>, FetchError> {
        let Unpack { what, tree, within, is_layer, limits } = self.unpack;
        if limits.files.fetch_add(1, Relaxed) >= MOST_FILES && within.is_empty() {
            return Err(FetchError::TooManyFiles { what: what.to_owned(), most: MOST_FILES });
        }
        let name = match FileName::parse(name) {
            Ok(name) => name,
            // The folder itself, as `tar -C folder .` writes it.
            Err(BadName::Empty) => return Ok(None),
            Err(problem) => {
                let name = short(&String::from_utf8_lossy(name));
                return Err(FetchError::BadName { archive: what.to_owned(), name, problem });
            }
        };
        let name = if name.as_str() == within {
            // Either the folder, or a file that is meant by itself.
            name.within(name.folder())
        } else {
            name.within(within)
        };
        let Some(name) = name else { return Ok(None) };
        if is_layer && let Some(gone) = name.last().strip_prefix(".wh.") {
            let folder = tree.join(name.folder());
            let gone = if gone == ".wh..opq" { Some(folder) } else { name.beside(gone).map(|gone| gone.below(tree)) };
            gone.map_or(Ok(()), |gone| take_away(&gone))?;
            return Ok(None);
        }
        Ok(Some(name).filter(|name| !name.is_hidden()))
    }

    fn write(&mut self, name: &FileName, content: &mut impl Read) -> Result<(), FetchError> {
        let Unpack { what, tree, is_layer, .. } = self.unpack;
        let duplicate = || FetchError::Duplicate { archive: what.to_owned(), name: name.to_string() };
        if !self.seen.insert(name.clone()) {
            return Err(duplicate());
        }
        let path = name.below(tree);
        if is_layer {
            take_away(&path)?;
        }
        let mut file = create(tree, name).map_err(|problem| match problem.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => duplicate(),
            _ => FetchError::io(&path, problem),
        })?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.damaged(&error)),
            };
            io::Write::write_all(&mut file, &buffer[..read]).map_err(|problem| FetchError::io(&path, problem))?;
        }
    }
}

/// Makes a new file and the folders above it.
pub fn create(tree: &Path, name: &FileName) -> io::Result<File> {
    let path = name.below(tree);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create_new(path)
}

fn take_away(path: &PathBuf) -> Result<(), FetchError> {
    let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match gone {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => Err(FetchError::io(path, problem)),
        _ => Ok(()),
    }
}
