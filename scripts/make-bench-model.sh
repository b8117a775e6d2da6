#!/bin/sh
# Makes the larger model that the benchmark measures: make-bench-model.sh DEST
# Needs python3 (3.11 or later) with pip. A second run with the same script does nothing.
set -eu

if [ "$#" -ne 1 ]; then
    echo "usage: $0 DEST" >&2
    exit 2
fi
dest=$1
root=$(cd "$(dirname "$0")/.." && pwd)
program=$root/inference-server/benches/larger_model.py
preparing=$root/scripts/prepare-model.py
stamp=$dest/.made-by
if [ -f "$dest/model.onnx" ] && cat "$program" "$preparing" | cmp -s - "$stamp"; then
    exit 0
fi
mkdir -p "$dest"
# NumPy and ONNX are among the packages of the contract tests.
packages=$root/.cache/contract
"$root/scripts/python-packages.sh" "$root/scripts/contract-requirements.txt" "$packages"
PYTHONPATH=$packages python3 "$program" "$root/models/default" "$dest"
PYTHONPATH=$packages python3 "$preparing" "$dest/model.onnx"
# Last, so that a run that was stopped is made again.
cat "$program" "$preparing" >"$stamp"
