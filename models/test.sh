#!/usr/bin/env bash
# Runs the tests of prepare-model and of what makes the default model, but for the training itself: test.sh [FOLDER...]
# Needs python3 (3.11 or later) with pip.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
packages=$root/.cache/prepare
"$root/scripts/python-packages.sh" "$here/prepare/requirements.txt" "$packages"
# The matrices are tiny: threads would only wait for each other.
export OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$packages:$here/prepare:$here/training"
if [[ $# -eq 0 ]]; then set -- prepare training; fi
for folder; do
  cd "$here/$folder"
  python3 -m unittest discover --start-directory tests --top-level-directory tests
done
