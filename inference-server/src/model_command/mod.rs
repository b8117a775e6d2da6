//! `sentiment-server model`: what a model is, before anything serves it.

mod inspect;
mod pack;
mod test;

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};

use crate::config::{Config, ConfigError};
use model::{Model, ModelConfig, ModelError};
use pack::PackError;

/// What to do with a model.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Say what it is: family, inputs, head, labels, precision, size, digest.
    Inspect {
        /// The model.
        #[command(flatten)]
        model: Folder,
        /// How it is written.
        #[arg(short, long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Answer a few texts with it.
    Test {
        /// The model.
        #[command(flatten)]
        model: Folder,
        /// Texts to answer; default a few of its own.
        texts: Vec<String>,
    },
    /// Print its digest, over every file that shapes an answer: what spec.model.digest takes.
    Digest {
        /// The model.
        #[command(flatten)]
        model: Folder,
    },
    /// Write it as an OCI image, which crane, skopeo and buildah push; the same files make the same image.
    #[command(after_help = PACK_HELP)]
    Pack {
        /// The model.
        #[command(flatten)]
        model: Folder,
        /// Folder for the image layout; it must not be there yet.
        layout: PathBuf,
        /// Name of the image in its layout.
        #[arg(long, default_value = "model")]
        tag: String,
    },
}

const PACK_HELP: &str = "Push it with one of:
  crane push LAYOUT REGISTRY/NAME:TAG
  skopeo copy --all oci:LAYOUT:model docker://REGISTRY/NAME:TAG
  buildah manifest create NAME oci:LAYOUT:model && buildah manifest push --all NAME docker://REGISTRY/NAME:TAG";

/// Where a model is.
#[derive(Debug, Args)]
pub struct Folder {
    /// Model directory (config.json, tokenizer.json, an ONNX file), or the ONNX file in one.
    #[arg(value_name = "MODEL")]
    pub path: PathBuf,
}

/// How a description is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// For a person.
    Text,
    /// One JSON object.
    Json,
}

/// Why a command failed; each reads as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model can't be served.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A text has no answer.
    #[error("{text:?} has no answer: {problem}")]
    Text {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It can't be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// What is found can't be written out.
    #[error("can't write: {0}")]
    Output(#[from] io::Error),
}

/// Runs a command, with the settings that say how a model is read.
pub fn run(command: &ModelCommand, config: &Config, out: &mut impl io::Write) -> Result<(), CommandError> {
    let load = |path: &Path| Model::load(&ModelConfig { path: path.to_owned(), ..config.model.clone() });
    match command {
        ModelCommand::Inspect { model, output } => inspect::inspect(load(&model.path)?, *output, out),
        ModelCommand::Test { model, texts } => test::test(&load(&model.path)?, texts, out),
        ModelCommand::Digest { model } => Ok(writeln!(out, "{}", model::digest_of(&model.path)?)?),
        ModelCommand::Pack { model, layout, tag } => {
            let packed = pack::pack(&model.path, layout, tag)?;
            for file in &packed.files {
                writeln!(out, "{file}")?;
            }
            Ok(writeln!(out, "packed {} of model {} into {}", packed.image, packed.model, layout.display())?)
        }
    }
}
