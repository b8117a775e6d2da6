//! The version that answers and flags show.

use std::{env, fs, sync::OnceLock};

use serde::Deserialize;

/// What an image build writes beside the program.
#[derive(Deserialize)]
struct BuildInfo {
    version: String,
}

/// The version that an image was built as, from `build-info.json` beside the program; else the
/// crate's. So one build of the program serves every tag.
#[must_use]
pub fn version() -> &'static str {
    static VERSION: OnceLock<Option<String>> = OnceLock::new();
    VERSION.get_or_init(built_as).as_deref().unwrap_or(env!("CARGO_PKG_VERSION"))
}

fn built_as() -> Option<String> {
    let text = fs::read(env::current_exe().ok()?.with_file_name("build-info.json")).ok()?;
    let info: BuildInfo = serde_json::from_slice(&text).ok()?;
    // An image that was built without a version calls itself this.
    (info.version != "latest").then_some(info.version)
}
