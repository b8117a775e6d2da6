//! What an init container fetches, and whom it asks.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use super::{Endpoint, SecretKey};

/// The region of a bucket where none is given.
const DEFAULT_REGION: &str = "us-east-1";
/// The port of HTTPS, by which all of them are asked where no endpoint says otherwise.
const HTTPS: i32 = 443;
/// The registry of a reference that names none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// What an init container gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A repository of the Hugging Face Hub.
    HuggingFace {
        /// Its name.
        repository: String,
        /// Commit, branch or tag.
        revision: String,
        /// Which ONNX file.
        variant: Option<String>,
        /// The access token.
        token: Option<SecretKey>,
        /// Another server than the Hub.
        endpoint: Option<Endpoint>,
    },
    /// A folder of a bucket of S3.
    S3 {
        /// Its name.
        bucket: String,
        /// The folder in it.
        path: Option<String>,
        /// Its region.
        region: Option<String>,
        /// Which ONNX file.
        variant: Option<String>,
        /// The Secret with its keys; without one, the pod's identity.
        credentials: Option<String>,
        /// Another server than AWS'.
        endpoint: Option<Endpoint>,
    },
    /// A folder of a bucket of Google Cloud Storage.
    Gcs {
        /// Its name.
        bucket: String,
        /// The folder in it.
        path: Option<String>,
        /// Which ONNX file.
        variant: Option<String>,
        /// The key of a service account; without one, the pod's identity.
        credentials: Option<SecretKey>,
        /// Another server than Google's.
        endpoint: Option<Endpoint>,
    },
    /// A folder of a container of Azure Blob Storage.
    AzureBlob {
        /// The storage account.
        account: String,
        /// Its name.
        container: String,
        /// The folder in it.
        path: Option<String>,
        /// Which ONNX file.
        variant: Option<String>,
        /// The Secret with its key or token; without one, the pod's identity.
        credentials: Option<String>,
        /// Another server than Azure's.
        endpoint: Option<Endpoint>,
    },
    /// What a URL answers with.
    Http {
        /// Whom the URL leads to.
        endpoint: Endpoint,
        /// The URL, with its query.
        url: String,
        /// The digest of the answer.
        sha256: Option<String>,
        /// The Secret with headers of the request.
        headers: Option<String>,
    },
}

/// A server that a source names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Host name or IP address, without brackets and in lower case.
    pub name: String,
    /// Port.
    pub port: i32,
}

/// A cloud that gives pods an identity by addresses of their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon's.
    Aws,
    /// Google's.
    Google,
    /// Microsoft's.
    Azure,
}

impl Origin {
    /// The endpoint that was given.
    #[must_use]
    pub const fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::HuggingFace { endpoint, .. }
            | Self::S3 { endpoint, .. }
            | Self::Gcs { endpoint, .. }
            | Self::AzureBlob { endpoint, .. } => endpoint.as_ref(),
            Self::Http { endpoint, .. } => Some(endpoint),
        }
    }

    /// The server that is asked for it.
    #[must_use]
    pub fn host(&self) -> Host {
        if let Some(endpoint) = self.endpoint() {
            return Host::of(endpoint);
        }
        let name = match self {
            Self::HuggingFace { .. } => "huggingface.co".to_owned(),
            Self::S3 { region, .. } => {
                format!("s3.{}.amazonaws.com", region.as_deref().unwrap_or(DEFAULT_REGION).to_ascii_lowercase())
            }
            Self::Gcs { .. } => "storage.googleapis.com".to_owned(),
            Self::AzureBlob { account, .. } => format!("{account}.blob.core.windows.net"),
            Self::Http { endpoint, .. } => endpoint.host.clone(),
        };
        Host { name, port: HTTPS }
    }

    /// The cloud whose identity the pod shows, where no Secret has credentials.
    #[must_use]
    pub const fn identity(&self) -> Option<Cloud> {
        match self {
            Self::S3 { credentials: None, .. } => Some(Cloud::Aws),
            Self::Gcs { credentials: None, .. } => Some(Cloud::Google),
            Self::AzureBlob { credentials: None, .. } => Some(Cloud::Azure),
            _ => None,
        }
    }

    /// Whether a server of the cloud is asked for a token by HTTPS, whatever the endpoint is.
    #[must_use]
    pub const fn asks_for_a_token(&self) -> bool {
        self.identity().is_some() || matches!(self, Self::Gcs { .. })
    }
}

impl Host {
    fn of(endpoint: &Endpoint) -> Self {
        Self { name: endpoint.host.trim_matches(['[', ']']).to_ascii_lowercase(), port: endpoint.port }
    }

    /// The registry of a reference: its first part, where that can be no part of a name.
    pub(super) fn of_reference(reference: &str) -> Option<Self> {
        let first = reference.split_once('/').map(|(first, _)| first);
        let Some(first) = first.filter(|first| first.contains(['.', ':']) || *first == "localhost") else {
            return Some(Self { name: DEFAULT_REGISTRY.to_owned(), port: HTTPS });
        };
        let (name, port) = match first.rsplit_once(':') {
            Some((name, port)) => (name, port.parse::<u16>().ok().filter(|port| *port > 0)?.into()),
            None => (first, HTTPS),
        };
        (!name.is_empty()).then(|| Self { name: name.to_ascii_lowercase(), port })
    }

    /// Whether a node or a cloud hands out its secrets there.
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        match self.name.trim_matches(['[', ']']).parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => address.is_link_local(),
            Ok(IpAddr::V6(address)) => address.is_unicast_link_local() || is_of_aws(address),
            Err(_) => false,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.port == HTTPS { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// AWS has its metadata in the block `fd00:ec2::/32`, which isn't link-local.
fn is_of_aws(address: Ipv6Addr) -> bool {
    address.segments()[..2] == [0xfd00, 0x0ec2]
}
