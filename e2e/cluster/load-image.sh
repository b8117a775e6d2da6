#!/usr/bin/env bash
# Gives the node images from the local store of docker or buildah, or from OCI archives:
#
#   e2e/cluster/load-image.sh sentiment-service:distroless path/to/image.tar ...
#
# An image that the node has already is left alone. With --id it prints the id of a local image.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
if [[ ${1:-} == --id ]]; then want_id=$2; shift 2; fi
mkdir -p "$run/loaded"

# The kubelet asks for docker.io/library/NAME where NAME has no registry and no folder.
full_name() {
  case $1 in
    localhost/*) full_name "${1#localhost/}" ;;
    *.*/* | *:*/*) echo "$1" ;;
    */*) echo "docker.io/$1" ;;
    *) echo "docker.io/library/$1" ;;
  esac
}

image_id() {
  if docker info >/dev/null 2>&1; then
    docker image inspect --format '{{.Id}}' "$1"
  else
    buildah --storage-driver overlay inspect --type image --format '{{.FromImageID}}' "$1"
  fi
}

load() {
  local name=$1 id archive
  if [[ -f $name ]]; then
    ctr_node images import "$name" >/dev/null
    return
  fi
  archive=$run/loaded/archive.tar
  rm -f "$archive"
  id=$(image_id "$name")
  local mark=$run/loaded/${name//\//_}
  if [[ -f $mark && $(cat "$mark") == "$id" ]]; then
    return
  fi
  if docker info >/dev/null 2>&1; then
    docker tag "$name" "$(full_name "$name")"
    docker save --output "$archive" "$(full_name "$name")"
  else
    # The layers stay on this machine: compressing them would only cost time.
    buildah --storage-driver overlay push --quiet --disable-compression "$name" "oci-archive:$archive:$(full_name "$name")" >/dev/null
  fi
  ctr_node images import "$archive" >/dev/null
  rm -f "$archive"
  echo "$id" >"$mark"
}

if [[ -n ${want_id:-} ]]; then
  image_id "$want_id"
  exit 0
fi
for image in "$@"; do
  begin=$SECONDS
  load "$image"
  echo "loaded $image in $((SECONDS - begin)) s"
done
