//! The command line.

use std::{env, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use model::Digest;

use crate::{
    download::Patience,
    error::FetchError,
    select::Variant,
    sources::{Bucket, Hub, Registry, Source, Store, Web},
};

const EXAMPLES: &str = "\
Examples:
  model-fetch --into /model/reviews oci registry.example.com/models/reviews:1.2 --path /model
  model-fetch --into /model/reviews --variant int8 huggingface OWNER/NAME --revision 0123abc
  model-fetch --into /model/reviews s3 models --path reviews/v3 --region eu-central-1
  model-fetch --into /model/reviews s3 models --endpoint http://minio.storage:9000 --path reviews/v3
  model-fetch --into /model/reviews gcs models --path reviews/v3
  model-fetch --into /model/reviews azure myaccount models --path reviews/v3
  model-fetch --into /model/reviews http https://models.example.com/reviews.tar.gz --sha256 0123…

A directory that is there already is taken as it is. While it fetches, its files are in .NAME.partial beside the directory, and
a lock in .NAME.lock lets one process at a time fetch; a start after a crash goes on where the last one ended.

Environment variables:
  HF_TOKEN                            The hub's token
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
                                      For s3; without them, the pod's or the machine's own identity
  GOOGLE_APPLICATION_CREDENTIALS      For gcs, a file; without it, the pod's or the machine's own identity
  AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN
                                      For azure; without them, the pod's or the machine's own identity
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY   Proxies, and what is reached without one
  SSL_CERT_FILE, SSL_CERT_DIR         Authorities in PEM files, trusted beside the system's
  MODEL_FETCH_LOG                     error, warn, info or debug [default: info]
  MODEL_FETCH_LOG_FORMAT              text or json [default: text at a terminal, else json]
  TERMINATION_LOG                     File for the sentence that says why it failed [default: /dev/termination-log]";

/// Fetches a text classification model into a directory, verified before the directory has its name.
#[derive(Debug, Parser)]
#[command(name = "model-fetch", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Directory to make, on the volume that the server reads.
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// Digest that the model must have, as `sentiment-server model digest` prints it.
    #[arg(long, value_name = "sha256:HEX")]
    pub digest: Option<Digest>,
    /// ONNX file to take: its name or path, or its precision: fp32, fp16, int8. Else the first in the server's own order.
    #[arg(long, value_name = "NAME")]
    pub variant: Option<Variant>,
    /// Bytes that may be fetched, and that archives may grow to; takes a unit, as 500M or 50Gi.
    #[arg(long, value_name = "N", default_value = "50Gi", value_parser = bytes)]
    pub max_bytes: u64,
    /// Seconds after which it gives up.
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    pub timeout: Duration,
    /// Seconds within which at least 16 KiB have to come, or a connection is given up and made anew.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub stall: Duration,
    /// Times in a row that a file may bring nothing new before it gives up.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub attempts: u32,
    /// Where the model is.
    #[command(subcommand)]
    pub from: From,
}

/// Where a model is.
#[derive(Debug, Subcommand)]
pub enum From {
    /// An image or artifact of a registry.
    Oci {
        /// As image builds and `docker pull` name it: REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:HEX.
        reference: String,
        /// Folder in the image that holds the model.
        #[arg(long)]
        path: Option<String>,
        /// Credentials as a pull Secret's .dockerconfigjson has them; may be given several times.
        #[arg(long, value_name = "FILE")]
        docker_config: Vec<PathBuf>,
        /// Reach the registry without TLS, as is done anyway for one on localhost.
        #[arg(long)]
        plain_http: bool,
    },
    /// A repository of Hugging Face's hub, or of what speaks as it does.
    Huggingface {
        /// OWNER/NAME.
        repository: String,
        /// Branch, tag or commit.
        #[arg(long, default_value = "main")]
        revision: String,
        /// Address of the hub or of a mirror.
        #[arg(long, value_name = "URL", default_value = "https://huggingface.co")]
        endpoint: String,
    },
    /// A bucket of Amazon's S3, or of what speaks as it does.
    S3 {
        /// Name of the bucket.
        bucket: String,
        /// Where in it.
        #[command(flatten)]
        place: Place,
        /// Region of the bucket [default: us-east-1].
        #[arg(long)]
        region: Option<String>,
    },
    /// A bucket of Google's Cloud Storage.
    Gcs {
        /// Name of the bucket.
        bucket: String,
        /// Where in it.
        #[command(flatten)]
        place: Place,
    },
    /// A container of Azure's Blob Storage.
    Azure {
        /// Name of the storage account.
        account: String,
        /// Name of the container.
        container: String,
        /// Where in it.
        #[command(flatten)]
        place: Place,
    },
    /// Files of a web server: one archive (.tar, .tar.gz, .tgz, .tar.zst, .zip), or single files.
    Http {
        /// Their addresses.
        #[arg(required = true, value_name = "URL")]
        urls: Vec<String>,
        /// Digests of the files, in the order of the addresses.
        #[arg(long, value_name = "HEX")]
        sha256: Vec<String>,
        /// Folder in which each file is a header by its name, as a Secret is mounted.
        #[arg(long, value_name = "DIR")]
        headers: Option<PathBuf>,
    },
}

/// Where in a store.
#[derive(Args, Debug)]
pub struct Place {
    /// Folder in the bucket that holds the model, or an archive of it.
    #[arg(long, value_name = "PREFIX")]
    pub path: Option<String>,
    /// Address of a store that isn't the provider's own, such as `MinIO`.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

impl Arguments {
    /// How much is borne.
    pub(crate) fn patience(&self) -> Patience {
        Patience { attempts: self.attempts, stall: self.stall }
    }

    /// The source, with the credentials of the environment.
    pub(crate) fn source(&self) -> Result<Box<dyn Source>, FetchError> {
        let bucket = |store: Store, name: &str, place: &Place| {
            Bucket::new(store, name, place.path.as_deref(), place.endpoint.as_deref())
        };
        Ok(match &self.from {
            From::Oci { reference, path, docker_config, plain_http } => {
                Box::new(Registry::new(reference, path.as_deref(), docker_config, *plain_http)?)
            }
            From::Huggingface { repository, revision, endpoint } => {
                let token = env::var("HF_TOKEN").ok();
                Box::new(Hub::new(endpoint, repository, revision, token.as_deref())?)
            }
            From::S3 { bucket: name, place, region } => {
                Box::new(bucket(Store::S3 { region: region.clone() }, name, place)?)
            }
            From::Gcs { bucket: name, place } => Box::new(bucket(Store::Gcs, name, place)?),
            From::Azure { account, container, place } => {
                Box::new(bucket(Store::Azure { account: account.clone() }, container, place)?)
            }
            From::Http { urls, sha256, headers } => Box::new(Web::new(urls, sha256, headers.as_deref())?),
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(time) if !time.is_zero() => Ok(time),
        _ => Err("write a number of seconds above 0".to_owned()),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim_end_matches('B') {
        "" => 1,
        "K" | "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => 0,
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|bytes| *bytes > 0);
    number.ok_or_else(|| "write a number of bytes, such as 1000000, 500M or 50Gi".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("50Gi"), Ok(50 << 30));
        assert_eq!(bytes("500MB"), Ok(500_000_000));
        assert_eq!(bytes("7"), Ok(7));
        for text in ["", "0", "Gi", "1.5G", "-1", "5X", "99999999999Gi"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_documented_commands_are_understood() {
        let page = include_str!("../../../docs/models.md").lines();
        let commands = page.map(|line| line.trim_start_matches("$ ")).filter(|line| line.starts_with("model-fetch "));
        let mut count = 0;
        for command in commands {
            count += 1;
            if let Err(error) = Arguments::try_parse_from(command.split_whitespace()) {
                assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{command}: {error}");
            }
        }
        assert_eq!(count, 3);
    }
}
