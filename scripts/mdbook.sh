#!/usr/bin/env bash
# Runs mdBook, installed into the cache first where it is missing: scripts/mdbook.sh build docs
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/cargo-tool.sh" mdbook 0.5.4 "$@"
