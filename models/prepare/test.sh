#!/usr/bin/env bash
# Runs the tests of prepare-model: test.sh [ARGUMENT OF unittest...]
# Needs python3 (3.11 or later) with pip.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
packages=$root/.cache/prepare
"$root/scripts/python-packages.sh" "$here/requirements.txt" "$packages"
cd "$here"
# The matrices are tiny: threads would only wait for each other.
export OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$packages:$here"
exec python3 -m unittest discover --start-directory tests --top-level-directory tests "$@"
