#!/bin/sh
# Makes a model that the benchmark measures: make-bench-model.sh DEST [SHAPE]
# SHAPE is one of those of inference-server/benches/shaped_model.py, by default larger. All but that are made int8.
# Needs python3 (3.11 or later) with pip. A second run with the same programs does nothing.
set -eu

if [ "$#" -lt 1 ] || [ "$#" -gt 2 ]; then
    echo "usage: $0 DEST [SHAPE]" >&2
    exit 2
fi
dest=$1
shape=${2:-larger}
root=$(cd "$(dirname "$0")/.." && pwd)
program=$root/inference-server/benches/shaped_model.py
preparing=$root/models/prepare
made_by() {
    cat "$program" "$preparing"/prepare_model/*.py
}
stamp=$dest/.made-by
if [ -f "$dest/model.onnx" ] && made_by | cmp -s - "$stamp"; then
    exit 0
fi
packages=$root/.cache/prepare
"$root/scripts/python-packages.sh" "$preparing/requirements.txt" "$packages"
rm -rf "$dest"
mkdir -p "$dest"
export PYTHONPATH="$packages:$preparing"
if [ "$shape" = larger ]; then
    python3 "$program" "$root/models/default" "$dest" "$shape"
    python3 -m prepare_model --no-figures "$dest"
else
    # Beside it, since it may be too large for where temporary files are.
    floats=$dest.float32
    python3 "$program" "$root/models/default" "$floats" "$shape"
    # Random weights make labels that are as good as even: how many int8 keeps says nothing.
    python3 -m prepare_model --no-figures --int8 --agreement 0 --output "$dest" "$floats"
    rm -rf "$floats"
fi
# Last, so that a run that was stopped is made again.
made_by >"$stamp"
