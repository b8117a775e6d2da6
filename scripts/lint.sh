#!/usr/bin/env bash
# Everything but rustfmt and clippy: shell scripts, workflows, documentation, chart, manifests.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export PATH=$root/.cluster/bin:$PATH

# A workspace of its own, so the other checks don't see it.
cargo fmt --check --manifest-path inference-server/fuzz/Cargo.toml

mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
shellcheck --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
echo "shellcheck: ${#scripts[@]} scripts"

# Their own scripts are read by shellcheck, which is found by itself.
actionlint
echo "actionlint: $(git ls-files '.github/workflows/*.yaml' | wc -l) workflows"

mapfile -t requirements < <(git ls-files '*requirements*.txt')
scripts/requirements-check.py "${requirements[@]}"
scripts/links-check.py
scripts/book-links.py selftest
scripts/test-demo.sh

boards=(charts/kubesentiment-operator/files/dashboards/*.json)
dashboards "${boards[@]}"
# The check itself can fail.
if dashboards <(sed 's/"legendFormat"/"legend"/' "${boards[0]}") 2>/dev/null; then
  echo "a field that Grafana doesn't know was not noticed" >&2
  exit 1
fi

charts/tests/equality.sh
charts/tests/render.sh
charts/tests/values.sh
charts/tests/package.sh
