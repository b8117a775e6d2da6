#!/usr/bin/env bash
# Everything but rustfmt and clippy: dependencies, shell scripts, chart, manifests, the samples' schema.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export PATH=$root/.cluster/bin:$PATH

# The advisories' database is fetched from the network; without it the rest is still checked.
scripts/cargo-deny.sh --log-level warn check bans licenses sources

# A workspace of its own, so the other checks don't see it.
cargo fmt --check --manifest-path inference-server/fuzz/Cargo.toml

mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
shellcheck --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
echo "shellcheck: ${#scripts[@]} scripts"

charts/tests/equality.sh
charts/tests/render.sh
scripts/policy/check.sh
