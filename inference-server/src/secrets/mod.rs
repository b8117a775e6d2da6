//! Secrets: what nobody is shown, and what may change while the process runs, when a file holds it.

mod api_keys;
mod headers;
mod live;
mod masking;
mod secret;
pub mod tls;

pub use api_keys::ApiKeys;
pub use headers::Headers;
pub use live::{Change, Live, Parse, Watched};
pub use masking::{Shown, masked, masked_sentence};
pub use secret::Secret;
pub use tls::{Identity, TlsFiles, Unusable};
