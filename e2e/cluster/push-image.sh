#!/usr/bin/env bash
# Pushes a local image to the node's registry, which answers for all registries there:
#
#   e2e/cluster/exec.sh e2e/cluster/push-image.sh sentiment-service:distroless library/sentiment-service:1.2.3
#
# To be run in the node's network. docker.io's short names are below library/.
set -euo pipefail
(($# == 2)) || { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
if docker info >/dev/null 2>&1; then
  # The engine itself would push from the host's network, where that registry isn't.
  archive=$(mktemp)
  trap 'rm -f "$archive"' EXIT
  docker save --output "$archive" "$1"
  buildah --storage-driver overlay pull --quiet "docker-archive:$archive" >/dev/null
fi
buildah --storage-driver overlay push --quiet --tls-verify=false "$1" "docker://127.0.0.1:5000/$2" >/dev/null
