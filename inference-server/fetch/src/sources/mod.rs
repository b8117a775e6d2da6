//! Where models come from.

mod buckets;
mod challenge;
mod connector;
mod docker_config;
mod huggingface;
mod oci;
mod reference;
mod web;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use async_trait::async_trait;

pub use buckets::{Bucket, Store};
pub use huggingface::Hub;
pub use oci::Registry;
pub use web::Web;

use crate::{
    archive::{self, Format, Limits, Unpack},
    client::Http,
    download::{Downloads, Part, Remote},
    error::FetchError,
    external,
    names::FileName,
    select::{Chosen, Variant, is_onnx, select},
};

/// What every source works with.
pub struct Work {
    /// Asks servers.
    pub http: Http,
    /// Brings files here.
    pub downloads: Downloads,
    /// What archives may take.
    pub limits: Limits,
    /// Which ONNX file is asked for.
    pub variant: Option<Variant>,
    /// Whether it was chosen already, and may have another name by now.
    pub is_chosen: AtomicBool,
    /// Where the model is put together.
    pub tree: PathBuf,
}

/// A place that models come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// As sentences and the log name it, without secrets.
    fn shown(&self) -> String;

    /// Fills the tree, and tells which state of the source it has: a commit, a digest.
    async fn fetch(&self, work: &Work) -> Result<String, FetchError>;
}

impl Work {
    /// Fetches those of a listing's files that a server needs. `what` is the source as sentences name it.
    async fn fetch_needed(
        &self,
        remote: &dyn Remote,
        listing: &BTreeMap<FileName, Part>,
        what: &str,
    ) -> Result<(), FetchError> {
        let names: Vec<FileName> = listing.keys().cloned().collect();
        let selection = select(&names, self.variant.as_ref(), what)?;
        self.is_chosen.store(true, Relaxed);
        tracing::info!(file = %selection.model.from, of = selection.candidates.len(), "chose the ONNX file");
        self.downloads.keep(listing.values())?;

        let mut chosen = selection.others.clone();
        chosen.push(selection.model.clone());
        let files = self.fetch_chosen(remote, listing, &chosen).await?;
        // Only the graph itself knows the names of all files that its weights are in.
        let graphs = chosen.iter().zip(&files).filter(|(chosen, _)| is_graph(&chosen.to));
        let mut more: Vec<Chosen> = Vec::new();
        for (_, path) in graphs {
            for location in tokio::task::block_in_place(|| external::locations(path))? {
                let Some(weights) = selection.beside_model(&location) else { continue };
                if chosen.contains(&weights) || more.contains(&weights) {
                    continue;
                }
                if listing.contains_key(&weights.from) {
                    more.push(weights);
                } else {
                    tracing::warn!(file = %weights.from, "the ONNX file names weights that the source doesn't have");
                }
            }
        }
        let weights = self.fetch_chosen(remote, listing, &more).await?;
        for (chosen, path) in chosen.iter().zip(&files).chain(more.iter().zip(&weights)) {
            self.put(path, &chosen.to)?;
        }
        Ok(())
    }

    async fn fetch_chosen(
        &self,
        remote: &dyn Remote,
        listing: &BTreeMap<FileName, Part>,
        chosen: &[Chosen],
    ) -> Result<Vec<PathBuf>, FetchError> {
        let parts: Vec<Part> = chosen.iter().filter_map(|chosen| listing.get(&chosen.from)).cloned().collect();
        self.downloads.fetch(remote, &parts).await
    }

    /// Moves a fetched file into the tree.
    fn put(&self, path: &Path, name: &FileName) -> Result<(), FetchError> {
        let target = name.below(&self.tree);
        // Claims the name: what is there already is never replaced.
        let claimed = archive::create(&self.tree, name);
        claimed.map_err(|problem| match problem.kind() {
            io::ErrorKind::AlreadyExists => {
                FetchError::Duplicate { archive: "the source".to_owned(), name: name.to_string() }
            }
            _ => FetchError::io(&target, problem),
        })?;
        fs::rename(path, &target).map_err(|problem| FetchError::io(&target, problem))
    }

    /// Links a fetched file into the tree, where it may be wanted under another name too.
    fn copy(&self, path: &Path, name: &FileName) -> Result<(), FetchError> {
        let target = name.below(&self.tree);
        let linked = match target.parent() {
            Some(folder) => fs::create_dir_all(folder).and_then(|()| fs::hard_link(path, &target)),
            None => Ok(()),
        };
        // Not every file system has links.
        linked.or_else(|_| fs::copy(path, &target).map(|_| ())).map_err(|problem| FetchError::io(&target, problem))
    }

    /// Unpacks a fetched archive. Meanwhile, other threads have the connections.
    fn unpack(
        &self,
        archive: &Path,
        format: Format,
        what: &str,
        within: &str,
        is_layer: bool,
    ) -> Result<(), FetchError> {
        tracing::info!(archive = what, ?format, "unpacking");
        tokio::task::block_in_place(|| {
            Unpack { what, tree: &self.tree, within, is_layer, limits: &self.limits }.run(archive, format)
        })
    }
}

fn is_graph(name: &FileName) -> bool {
    is_onnx(name) || name.as_str().ends_with(".onnx.varlen")
}

/// A folder as a person writes it, as the start of names: without slashes around.
fn folder(what: &'static str, path: Option<&str>) -> Result<String, FetchError> {
    let path = path.unwrap_or_default().trim_matches('/');
    if matches!(path, "" | ".") {
        return Ok(String::new());
    }
    FileName::parse(path.as_bytes()).map(|name| name.as_str().to_owned()).map_err(|problem| {
        let problem = format!("{problem}; write a folder such as models/sentiment");
        FetchError::BadSource { what, given: path.to_owned(), problem }
    })
}
