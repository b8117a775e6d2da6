#!/usr/bin/env bash
# Gives the node its own two images: the pause program and CoreDNS, each a single static binary.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# image NAME BINARY PATH: an image that holds one file and runs it, as an OCI archive.
image() {
  local name=$1 binary=$2 path=$3 archive container
  archive=$cache/node-images/$(basename "${name%%:*}")-$(sha256sum "$binary" | cut -c1-16).tar
  if [[ ! -f $archive ]]; then
    mkdir -p "$(dirname "$archive")"
    container=$(buildah --storage-driver overlay from scratch)
    buildah --storage-driver overlay copy --quiet --chmod 755 "$container" "$binary" "$path" >/dev/null
    buildah --storage-driver overlay config --entrypoint "[\"$path\"]" --user 65532:65532 "$container"
    buildah --storage-driver overlay commit --quiet --rm "$container" "oci-archive:$archive.part:$name" >/dev/null
    mv "$archive.part" "$archive"
  fi
  ctr_node images import --base-name "${name%%:*}" "$archive" >/dev/null
  # Pinned, so that nothing ever collects them.
  ctr_node images label "$name" io.cri-containerd.pinned=pinned io.cri-containerd.image=managed >/dev/null
}

pause=$cache/node-images/pause
if [[ ! -x $pause ]]; then
  mkdir -p "$(dirname "$pause")"
  gcc -Os -static -s -o "$pause.part" "$here/pause.c"
  mv "$pause.part" "$pause"
fi
image localhost/kubesentiment-node/pause:1 "$pause" /pause
image localhost/kubesentiment-node/coredns:1 "$bin/coredns" /coredns
