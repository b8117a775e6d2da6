//! A model as an OCI image: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>.
//!
//! One layer with the model's files at its top, an image for each architecture that shares it, and an index of these. All
//! that could differ from run to run is left out or fixed, so the same files make the same digests.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use ring::digest::{self, Context, SHA256};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use model::{Digest, ModelError, ModelFiles};

/// Architectures of nodes that a runtime pulls the image for. The files are the same.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// What goes along with the files that are read.
const BESIDE: [&str; 5] = ["drift-baseline.json", "LICENSE", "MODEL_CARD.md", "NOTICE", "README.md"];

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Why a model can't be packed; each reads as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The model can't be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file of the model is not in its directory.
    #[error("{} is not in {}: copy the model's files into one directory", file.display(), directory.display())]
    Elsewhere {
        /// The file.
        file: PathBuf,
        /// The directory.
        directory: PathBuf,
    },
    /// The layout can't be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What was packed.
pub(super) struct Packed {
    /// The image's digest, of its index.
    pub(super) image: Digest,
    /// The model's.
    pub(super) model: Digest,
    /// The files in it.
    pub(super) files: Vec<String>,
}

/// Writes an image layout into a folder that isn't there yet.
pub(super) fn pack(path: &Path, layout: &Path, tag: &str) -> Result<Packed, PackError> {
    let found = model::files_of(path)?;
    let (model, files) = (found.digest, files(&found)?);
    let blobs = layout.join("blobs/sha256");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PackError::Io { path, source }
    };
    fs::create_dir(layout).map_err(failed(layout))?;
    fs::create_dir_all(&blobs).map_err(failed(&blobs))?;

    let (layer, size) = write_layer(&files, &blobs.join("layer")).map_err(failed(&blobs))?;
    let named = blobs.join(&layer.to_string()[7..]);
    fs::rename(blobs.join("layer"), &named).map_err(failed(&named))?;
    let blob = |content: &Value| -> Result<(Digest, u64), PackError> {
        let content = content.to_string();
        let digest = of(digest::digest(&SHA256, content.as_bytes()));
        let file = blobs.join(&digest.to_string()[7..]);
        fs::write(&file, &content).map_err(failed(&file))?;
        Ok((digest, content.len() as u64))
    };
    let mut manifests = Vec::new();
    for architecture in ARCHITECTURES {
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [layer.to_string()] },
        });
        let (config, config_size) = blob(&config)?;
        let (manifest, manifest_size) = blob(&json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config, config_size),
            "layers": [descriptor(LAYER, layer, size)],
            "annotations": { "io.kubesentiment.model.digest": model.to_string() },
        }))?;
        let mut entry = descriptor(MANIFEST, manifest, manifest_size);
        entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
        manifests.push(entry);
    }
    let (image, image_size) = blob(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }))?;
    let mut entry = descriptor(INDEX, image, image_size);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
    for (name, content) in [("index.json", index), ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }))] {
        let file = layout.join(name);
        fs::write(&file, content.to_string()).map_err(failed(&file))?;
    }
    Ok(Packed { image, model, files: files.into_iter().map(|(name, _)| name).collect() })
}

/// The files of a model by their names in the image, in order: what is read, and what tells of it.
fn files(ModelFiles { directory, paths, .. }: &ModelFiles) -> Result<Vec<(String, PathBuf)>, PackError> {
    let beside = BESIDE.iter().map(|name| directory.join(name)).filter(|path| path.is_file());
    let mut files = Vec::new();
    for file in paths.iter().cloned().chain(beside) {
        let elsewhere = || PackError::Elsewhere { file: file.clone(), directory: directory.clone() };
        let name = file.strip_prefix(directory).ok().and_then(Path::to_str).ok_or_else(elsewhere)?;
        if name.split('/').any(|part| part == "..") {
            return Err(elsewhere());
        }
        files.push((name.to_owned(), file));
    }
    files.sort();
    Ok(files)
}

fn descriptor(kind: &str, digest: Digest, size: u64) -> Value {
    json!({ "mediaType": kind, "digest": digest.to_string(), "size": size })
}

/// The same as a digest of ours.
fn of(hash: digest::Digest) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.as_ref());
    bytes.into()
}

/// Writes the archive of the files, and returns its digest and its length.
fn write_layer(files: &[(String, PathBuf)], to: &Path) -> io::Result<(Digest, u64)> {
    let mut archive = Builder::new(Hashed { file: File::create(to)?, hash: Context::new(&SHA256), length: 0 });
    let mut folders = Vec::new();
    for (name, _) in files {
        for (end, _) in name.match_indices('/') {
            let folder = &name[..=end];
            if !folders.contains(&folder) {
                folders.push(folder);
                archive.append_data(&mut header(EntryType::Directory, 0o755, 0), folder, io::empty())?;
            }
        }
    }
    for (name, path) in files {
        let file = File::open(path)?;
        let mut header = header(EntryType::Regular, 0o644, file.metadata()?.len());
        archive.append_data(&mut header, name, file)?;
    }
    let Hashed { file, hash, length } = archive.into_inner()?;
    file.sync_all()?;
    Ok((of(hash.finish()), length))
}

/// Root's, from the beginning of time, readable by everybody.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// A file whose content is hashed while it is written.
struct Hashed {
    file: File,
    hash: Context,
    length: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
