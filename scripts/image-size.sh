#!/usr/bin/env bash
# Prints an image's size in bytes as a registry stores it, compressed:  scripts/image-size.sh IMAGE
set -euo pipefail
image=$1
if [[ ${IMAGE_BUILDER:-} != buildah ]] && timeout 10 docker info >/dev/null 2>&1; then
  docker save "$image" | gzip -c | wc -c
  exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
buildah --storage-driver overlay push --quiet "$image" "oci:$work/oci:x"
manifest=$(jq -r '.manifests[0].digest' "$work/oci/index.json")
jq '[.layers[].size] | add' "$work/oci/blobs/sha256/${manifest#sha256:}"
