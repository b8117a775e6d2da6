//! `report`: all that somebody needs who is asked for help, in one file, without what is secret.
//!
//! Secrets are asked for as metadata, so their values never come here. All else goes through [`redact`].

mod gather;
mod redact;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use k8s_openapi::jiff::Timestamp;
use tar::{Builder, Header};

use crate::{
    cluster::Cluster,
    error::Error,
    output::{self, count},
};

/// Writes a support bundle of a service: the resource, its objects, Events, logs, metrics and versions
///
/// Values of Secrets are never asked for, and every value that looks like a credential is left out. Logs and metrics may
/// still tell what you would rather keep: look into the bundle before you hand it on.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// Name of the service
    name: String,
    /// The file to write, such as reviews.tar.gz; it must not exist yet
    #[arg(short, long, value_name = "FILE.tar.gz")]
    output: PathBuf,
}

/// A file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the bundle.
    pub path: String,
    /// Its content.
    pub content: String,
}

/// Runs the command.
pub async fn run(command: Report, cluster: &Cluster) -> Result<(), Error> {
    let Report { name, output } = command;
    let now = Timestamp::now();
    let (entries, missing) = gather::gather(cluster, &name, now).await?;
    write(&output, &name, &entries, now).map_err(Error::file(&output))?;
    for what in &missing {
        output::note(&format!("{} {what}", output::styled(output::CHANGING, "left out:")));
    }
    output::note(&format!("{}: {}", output.display(), count(entries.len(), "file")));
    Ok(())
}

/// Writes the bundle. Only its owner may read it, and nothing of it is left when that fails.
fn write(path: &Path, name: &str, entries: &[Entry], now: Timestamp) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let written = pack(file, name, entries, now).and_then(|mut file| file.flush());
    if written.is_err() {
        // What matters is why it failed.
        let _ = fs::remove_file(path);
    }
    written
}

fn pack<W: Write>(to: W, name: &str, entries: &[Entry], now: Timestamp) -> io::Result<W> {
    let mut archive = Builder::new(GzEncoder::new(to, Compression::default()));
    for Entry { path, content } in entries {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(now.as_second()).unwrap_or_default());
        archive.append_data(&mut header, format!("{name}/{path}"), content.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests;
