#!/usr/bin/env bash
# Runs cargo deny, installed into the cache first where it is missing: scripts/cargo-deny.sh check bans licenses sources
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/cargo-tool.sh" cargo-deny 0.20.2 "$@"
