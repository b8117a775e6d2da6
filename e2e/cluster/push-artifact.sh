#!/usr/bin/env bash
# Pushes a folder to the node's registry as Flux's `flux push artifact` does, by the distribution API:
#
#   e2e/cluster/exec.sh e2e/cluster/push-artifact.sh config/samples team/samples:main
#
# To be run in the node's network.
set -euo pipefail
(($# == 2)) || { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
folder=$1 name=${2%:*} tag=${2##*:}
repository=http://127.0.0.1:5000/v2/$name
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

digest_of() { echo "sha256:$(sha256sum "$1" | cut -d' ' -f1)"; }

push_blob() {
  local location
  location=$(curl --silent --show-error --fail --request POST --output /dev/null --write-out '%header{location}' "$repository/blobs/uploads/")
  curl --silent --show-error --fail --request PUT --header 'content-type: application/octet-stream' \
    --data-binary "@$1" "$location&digest=$(digest_of "$1")"
}

# The same folder always gives the same digest.
tar --create --sort=name --owner=0 --group=0 --mtime=@0 --directory "$folder" . | gzip --no-name >"$work/layer"
echo '{}' >"$work/config"
push_blob "$work/layer"
push_blob "$work/config"
jq --null-input --arg config "$(digest_of "$work/config")" --arg layer "$(digest_of "$work/layer")" \
  --argjson size "$(stat --format %s "$work/layer")" '{
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {mediaType: "application/vnd.cncf.flux.config.v1+json", size: 3, digest: $config},
    layers: [{mediaType: "application/vnd.cncf.flux.content.v1.tar+gzip", size: $size, digest: $layer}]
  }' >"$work/manifest"
curl --silent --show-error --fail --request PUT --header 'content-type: application/vnd.oci.image.manifest.v1+json' \
  --data-binary "@$work/manifest" "$repository/manifests/$tag"
digest_of "$work/manifest"
