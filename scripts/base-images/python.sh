#!/usr/bin/env bash
# python.sh NAME: a stand-in for the official python:3.13-slim-trixie image, with Debian's Python.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$here/lib.sh"

name=$1
debian=$("$here/debian.sh")
key=$(key_of "${BASH_SOURCE[0]}" "$(stand_in_key "$debian")")

make_image() {
  local container
  local -a volumes
  mapfile -t volumes < <(host_volumes)
  container=$("${BUILDAH[@]}" from --pull-never "$debian")
  "${BUILDAH[@]}" run "${ISOLATION[@]}" "${volumes[@]}" "$container" -- sh -c \
    'apt-get update -q && apt-get install -y -q --no-install-recommends python3 python3-pip && rm -rf /var/lib/apt/lists/* /var/cache/apt/*'
  "${BUILDAH[@]}" config --cmd python3 "$container"
  commit "$container" "$name" "$key"
}

if [[ $(stand_in_key "$name") != "$key" ]]; then
  step "base image: $name" make_image
fi
