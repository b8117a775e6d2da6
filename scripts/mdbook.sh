#!/usr/bin/env bash
# Runs mdBook, installed into the cache first where it is missing: scripts/mdbook.sh build docs
set -euo pipefail
# Without its web server and its watch on files, it is compiled in a fraction of the time.
export CARGO_TOOL_FEATURES=search
exec "$(dirname "${BASH_SOURCE[0]}")/cargo-tool.sh" mdbook 0.5.4 "$@"
