//! Why a model can't be fetched.

use std::{
    fmt::{self, Write},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use model::Digest;

use crate::names::BadName;

/// Why a model can't be fetched. Each reads as one sentence that says what to do, and holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// 401: no credentials, or none that count.
    #[error("{server} wants valid credentials for {what} (401); {hint}")]
    Unauthorized {
        /// Who answers so.
        server: String,
        /// What was asked for.
        what: String,
        /// Which field or Secret to look at.
        hint: &'static str,
    },
    /// 403: the credentials are known, and have no right to it.
    #[error("{server} refuses access to {what} (403); {hint}")]
    Forbidden {
        /// Who answers so.
        server: String,
        /// What was asked for.
        what: String,
        /// Which field or Secret to look at.
        hint: &'static str,
    },
    /// 404: nothing of that name.
    #[error("{server} has no {what} (404); {hint}")]
    NotFound {
        /// Who answers so.
        server: String,
        /// What was asked for.
        what: String,
        /// Which field or Secret to look at.
        hint: &'static str,
    },
    /// 429: asked too often.
    #[error("{server} is asked too often for {what} (429); {hint}")]
    TooManyRequests {
        /// Who answers so.
        server: String,
        /// What was asked for.
        what: String,
        /// Which field or Secret to look at.
        hint: &'static str,
    },
    /// Any other answer that isn't the file.
    #[error("{server} answers {status} for {what}; {}", status_hint(*.status))]
    Status {
        /// Who answers so.
        server: String,
        /// What was asked for.
        what: String,
        /// Of HTTP.
        status: u16,
    },
    /// An answer that can't be understood.
    #[error("{server} gives an answer for {what} that can't be used ({problem}); check that the address is right")]
    BadAnswer {
        /// Who answers so.
        server: String,
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Neither credentials nor an identity.
    #[error("there are no credentials for {what}, and this pod has no identity in their place ({problem}); {hint}")]
    NoIdentity {
        /// What was asked for.
        what: String,
        /// What the service of identities said.
        problem: String,
        /// Which field or Secret to look at.
        hint: &'static str,
    },
    /// No connection.
    #[error(
        "{server} can't be reached ({problem}); check the address, the network policy, and HTTPS_PROXY and NO_PROXY where \
         there is a proxy"
    )]
    Unreachable {
        /// Who can't be.
        server: String,
        /// What the system said.
        problem: String,
    },
    /// TLS without trust.
    #[error(
        "the certificate of {server} isn't trusted ({problem}); have SSL_CERT_FILE name a PEM file of the authority that \
         signed it"
    )]
    Untrusted {
        /// Who showed it.
        server: String,
        /// What rustls said.
        problem: String,
    },
    /// The connection ended before the file did.
    #[error("the connection to {server} was cut at byte {at} of {what} ({problem})")]
    Cut {
        /// To whom.
        server: String,
        /// Which file.
        what: String,
        /// Bytes that are there.
        at: u64,
        /// What the system said.
        problem: String,
    },
    /// Bytes come, but hardly.
    #[error("{server} sent only {bytes} bytes of {what} in {} s; --stall says how long that is borne", .within.as_secs())]
    Stalled {
        /// Who is so slow.
        server: String,
        /// Which file.
        what: String,
        /// Bytes that came.
        bytes: u64,
        /// Time that it had.
        within: Duration,
    },
    /// Tried often enough.
    #[error("{last} (tried {attempts} times in a row)")]
    GaveUp {
        /// Times that it was tried.
        attempts: u32,
        /// How it ended the last time.
        last: Box<FetchError>,
    },
    /// The total time is over.
    #[error(
        "the model isn't there after {} s ({bytes} bytes so far); raise --timeout, or look for what makes the way so slow: \
         the next start goes on where this one ended", .after.as_secs()
    )]
    TimedOut {
        /// The time that it had.
        after: Duration,
        /// What was fetched of it.
        bytes: u64,
    },
    /// Ended by the system.
    #[error("stopped by a signal before the model was there; the next start goes on where this one ended")]
    Stopped,
    /// An address that no model comes from.
    #[error(
        "{0} leads to a link-local address, where clouds keep credentials and no model is; name the source by another \
         address"
    )]
    LinkLocal(String),
    /// From https to http.
    #[error("{from} redirects to {to} without encryption, which isn't followed; name the source by its last address")]
    Downgrade {
        /// Who redirects.
        from: String,
        /// Where to.
        to: String,
    },
    /// Round and round.
    #[error("{0} redirects more often than is followed; name the source by its last address")]
    TooManyRedirects(String),
    /// Another size than was promised.
    #[error(
        "{what} has {got} bytes from {server}, and should have {expected}; it was changed on the way or replaced \
         meanwhile: fetch it again, or correct the source"
    )]
    WrongSize {
        /// Who sent it.
        server: String,
        /// Which file.
        what: String,
        /// What was promised.
        expected: u64,
        /// What came, or more.
        got: u64,
    },
    /// Other content than was promised.
    #[error(
        "{what} from {server} has the digest {got}, and should have {expected}; it was changed on the way or replaced: \
         correct the digest if the new file is the right one"
    )]
    WrongDigest {
        /// Who sent it.
        server: String,
        /// Which file.
        what: String,
        /// What was promised.
        expected: String,
        /// What came.
        got: String,
    },
    /// The model isn't the one that is asked for.
    #[error(
        "the model's digest is {got}, and {expected} is asked for; correct spec.model.digest (--digest) if this model is \
         the right one, or the source if it isn't"
    )]
    WrongModel {
        /// What is asked for.
        expected: Digest,
        /// What is there.
        got: Digest,
    },
    /// A finished directory of something else.
    #[error(
        "{directory} is there and holds a model with the digest {got}, and {expected} is asked for; remove the directory \
         or name another"
    )]
    OtherModel {
        /// Where.
        directory: PathBuf,
        /// What is asked for.
        expected: Digest,
        /// What is there.
        got: Digest,
    },
    /// No digest can be taken.
    #[error("the model that was fetched can't be read for its digest: {0}")]
    NoDigest(String),
    /// More than is allowed.
    #[error("{what} has more than the {most} bytes that --max-bytes allows; raise it if the model is that large")]
    TooLarge {
        /// Which file or archive.
        what: String,
        /// Bytes that are allowed.
        most: u64,
    },
    /// More files than a model has.
    #[error("{what} has more than {most} files, which no model has; name a source that holds the model alone")]
    TooManyFiles {
        /// What is too full.
        what: String,
        /// Files that are allowed.
        most: usize,
    },
    /// An archive that is made to fill disks.
    #[error("{archive} grows to more than {most} times its size, as no model does; pack the model again")]
    Bomb {
        /// The archive.
        archive: String,
        /// Times that are allowed.
        most: u64,
    },
    /// A name that leads elsewhere.
    #[error("{archive} holds a file with the name {name:?}, which {problem}; pack the model again, with plain names")]
    BadName {
        /// What holds it.
        archive: String,
        /// As it is written, shortened.
        name: String,
        /// What is wrong with it.
        problem: BadName,
    },
    /// A link or a device.
    #[error("{archive} holds {name}, which is {kind}; pack the model again with plain files only (tar --dereference)")]
    NotAFile {
        /// What holds it.
        archive: String,
        /// Its name.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// Two files of one name.
    #[error("{archive} holds {name} twice; pack the model again")]
    Duplicate {
        /// What holds them.
        archive: String,
        /// Their name.
        name: String,
    },
    /// An archive that ends early or isn't one.
    #[error("{archive} can't be unpacked ({problem}); check that it is a whole .tar, .tar.gz, .tar.zst or .zip")]
    Damaged {
        /// The archive.
        archive: String,
        /// What the decoder said.
        problem: String,
    },
    /// A layer of a kind that is unknown here.
    #[error(
        "{what} has a layer of media type {media_type}, which is neither an archive nor a file with a title; push the \
         model with `sentiment-server model pack`, oras or an image build"
    )]
    UnknownLayer {
        /// The artifact.
        what: String,
        /// As it is written.
        media_type: String,
    },
    /// A path inside that isn't there.
    #[error("{what} holds nothing at the path {path}; correct the path")]
    NothingAtPath {
        /// What was looked in.
        what: String,
        /// Where.
        path: String,
    },
    /// What Git LFS leaves in a file's place.
    #[error(
        "{0} is a Git LFS pointer and not the file that it stands for; run `git lfs pull` where the model was packed or \
         uploaded, and do that again"
    )]
    LfsPointer(String),
    /// Nothing to serve.
    #[error(
        "{0} holds no ONNX file; export one with `optimum-cli export onnx --model MODEL --task text-classification \
         FOLDER` and put the folder where the source can name it"
    )]
    NoOnnx(String),
    /// Another variant than there is.
    #[error("{what} has no ONNX file for the variant {variant}; there is {}", listed(.there))]
    NoSuchVariant {
        /// What was looked in.
        what: String,
        /// What was asked for.
        variant: String,
        /// Which ONNX files there are.
        there: Vec<String>,
    },
    /// A source that can't be understood.
    #[error("{what} {given:?} {problem}")]
    BadSource {
        /// Which part of it.
        what: &'static str,
        /// As it is written.
        given: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Settings that don't go together.
    #[error("{0}")]
    BadSettings(String),
    /// No room.
    #[error(
        "the volume of {} is full; make it larger than the model (an archive needs room for itself and for what is in it): \
         spec.model.cache.size, or the node's ephemeral storage", .0.display()
    )]
    VolumeFull(PathBuf),
    /// Not ours to write.
    #[error("{} can't be written ({problem}); have the volume be writable for user {user}", .path.display())]
    NotWritable {
        /// What can't be.
        path: PathBuf,
        /// What the system said.
        problem: io::Error,
        /// Who we are.
        user: u32,
    },
    /// Any other trouble with files.
    #[error("{} can't be used: {problem}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        problem: io::Error,
    },
}

fn status_hint(status: u16) -> &'static str {
    match status {
        500.. => "it is in trouble itself: try again later",
        300..400 => "check that the address, and the region of a bucket, are right",
        _ => "check that the address is right",
    }
}

fn listed(names: &[String]) -> String {
    const MOST: usize = 12;
    let mut text = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        // Writing to a String can't fail.
        let _ = write!(text, " and {} more", names.len() - MOST);
    }
    text
}

impl FetchError {
    /// What the system said about a file of ours.
    #[must_use]
    pub fn io(path: &Path, problem: io::Error) -> Self {
        let path = path.to_owned();
        match problem.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::VolumeFull(path)
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, problem, user: user() }
            }
            _ => Self::Io { path, problem },
        }
    }
}

/// The user that this process runs as.
fn user() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map_or(0, |metadata| metadata.uid())
}

/// A failure, and whether the same may go well the next time.
#[derive(Debug)]
pub struct Failure {
    /// What is told when it isn't tried again.
    pub error: FetchError,
    /// Whether it may.
    pub is_transient: bool,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self { error, is_transient: false, retry_after: None }
    }
}

impl Failure {
    /// One that may go well the next time.
    #[must_use]
    pub fn transient(error: FetchError) -> Self {
        Self { error, is_transient: true, retry_after: None }
    }
}

/// The innermost of an error's causes, which says most.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    short(&innermost.to_string())
}

/// A text of others, fit for one line of a sentence.
pub fn short(text: &str) -> String {
    const MOST: usize = 200;
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    crate::client::masked(shown.trim())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}
