#!/usr/bin/env bash
# Makes a model from the data to the finished folder: make.sh DATA OUT [RECIPE]
# Recipes are three-labels (the default model) and two-labels (what it was before). It takes hours on two cores, and tells how many.
# What is done is kept in .cache/model/RECIPE: broken off, it goes on from the last stage. Needs python3 (3.11), mvn, npm and cargo.
# TEXTS=300 trains on so many texts only, in minutes, to try all stages out.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

if [[ $# -lt 2 || ! -f $1/sst2_dev.tsv ]]; then
  echo "usage: $0 DATA OUT [RECIPE]; DATA has train/, research/, dev/, sst2_dev.tsv and emoji_polarity.tsv" >&2
  exit 2
fi
data=$(cd "$1" && pwd)
out=$2
recipe=${3:-three-labels}
work=$root/.cache/model/$recipe${TEXTS:+-$TEXTS}

"$here/fetch.sh" "$root/.cache/model/sources"
"$root/scripts/python-packages.sh" "$here/requirements.txt" "$root/.cache/training"
export PYTHONPATH=$root/.cache/training:$here:$root/models/prepare PYTHONDONTWRITEBYTECODE=1
python3 -m sentiment_training "$data" "$root/.cache/model/sources" "$work" --recipe "$recipe" ${TEXTS:+--texts "$TEXTS"}
rm -rf "$work/finished"
python3 -m prepare_model "$work/float32" --int8 --output "$work/finished" --texts <(cut -f1 "$data/sst2_dev.tsv" | head -n 200)

# What drift is measured against: the answers to the development sets' texts, which are not in it.
cut -f1 "$data/sst2_dev.tsv" >"$work/baseline.txt"
if [[ $recipe != two-labels ]]; then
  for set in "$data"/dev/*.tsv; do
    cut -f1 "$set" | head -n 100
  done >>"$work/baseline.txt"
fi
"$root/scripts/fetch-onnxruntime.sh" "$root/.cache/onnxruntime"
MLOPS_ONNX_MODEL_PATH=$work/finished ORT_DYLIB_PATH=$root/.cache/onnxruntime/libonnxruntime.so \
  cargo run --release --locked -q -p kubesentiment-inference-server --bin sentiment-server -- \
  --make-drift-baseline "$work/baseline.txt" >"$work/drift-baseline.json"
mv "$work/drift-baseline.json" "$work/finished/"
python3 -m sentiment_training.card "$data" "$work" --figures "$work/figures.json" >"$work/MODEL_CARD.md"
mv "$work/MODEL_CARD.md" "$work/finished/"

mkdir -p "$out"
cp "$work/finished"/* "$out/"
(cd "$out" && sha256sum config.json drift-baseline.json model.onnx model.onnx.data model.onnx.varlen tokenizer.json >SHA256SUMS)
echo "$out: $(du -sh "$out" | cut -f1)"
