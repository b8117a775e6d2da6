#!/bin/sh
# Makes the larger model that the benchmark measures: make-bench-model.sh DEST
# Needs python3 with venv. A second run with the same script does nothing.
set -eu

if [ "$#" -ne 1 ]; then
    echo "usage: $0 DEST" >&2
    exit 2
fi
dest=$1
root=$(cd "$(dirname "$0")/.." && pwd)
program=$root/inference-server/benches/larger_model.py
stamp=$dest/.made-by.py
if [ -f "$dest/model.onnx" ] && cmp -s "$program" "$stamp"; then
    exit 0
fi
mkdir -p "$dest"
work=$(mktemp -d "$dest/.make.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: numpy==2.2.6 onnx==1.19.1
"$work/python/bin/python" "$program" "$root/models/default" "$dest"
# Last, so that a run that was stopped is made again.
cp "$program" "$stamp"
