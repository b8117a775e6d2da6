#!/usr/bin/env bash
# Runs the tests of what makes the default model, but for the training itself: test.sh [ARGUMENT OF unittest...]
# Needs python3 (3.11 or later) with pip.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
packages=$root/.cache/prepare
"$root/scripts/python-packages.sh" "$root/models/prepare/requirements.txt" "$packages"
cd "$here"
export OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$packages:$here:$root/models/prepare"
exec python3 -m unittest discover --start-directory tests --top-level-directory tests "$@"
