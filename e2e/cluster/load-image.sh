#!/usr/bin/env bash
# Gives the node images from the local store of docker or buildah, or from OCI archives:
#
#   e2e/cluster/load-image.sh sentiment-service:distroless path/to/image.tar ...
#   e2e/cluster/load-image.sh --id sentiment-service:distroless      prints the id of a local image
#
# An image that the node has already is left alone. Its name on the node is the one that the kubelet
# asks for, docker.io/library/NAME for a short name, and also localhost/NAME as buildah has it.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if docker info >/dev/null 2>&1; then
  from=docker
else
  from=buildah
  need_root # for its store
fi

full_name() {
  case $1 in
    localhost/*) full_name "${1#localhost/}" ;;
    *.*/* | *:*/*) echo "$1" ;;
    */*) echo "docker.io/$1" ;;
    *) echo "docker.io/library/$1" ;;
  esac
}

image_id() {
  if [[ $from == docker ]]; then
    docker image inspect --format '{{.Id}}' "$1"
  else
    buildah --storage-driver overlay inspect --type image --format '{{.FromImageID}}' "$1"
  fi
}

on_node() {
  [[ -n $(ctr_node images list --quiet "name==$1") ]]
}

load() {
  local name=$1 full id mark
  if [[ -f $name ]]; then
    ctr_node images import "$name" >/dev/null
    return
  fi
  [[ ${name##*/} == *:* ]] || name=$name:latest
  full=$(full_name "$name")
  id=$(image_id "$name")
  mark=$state/loaded/${full//\//_}
  if [[ -f $mark && $(cat "$mark") == "$id" ]] && on_node "$full"; then
    return
  fi
  if [[ $from == docker ]]; then
    docker tag "$name" "$full"
    docker save --output "$archive" "$full"
  else
    # The layers stay on this machine: compressing them would only cost time.
    buildah --storage-driver overlay push --quiet --disable-compression "$name" "oci-archive:$archive:$full" >/dev/null
  fi
  ctr_node images import "$archive" >/dev/null
  ctr_node images tag --force "$full" "localhost/${name#localhost/}" >/dev/null
  rm -f "$archive"
  echo "$id" >"$mark"
}

if [[ ${1:-} == --id ]]; then
  image_id "$2"
  exit 0
fi
need_root
[[ -S $run/containerd.sock && -d $state ]] || die "the node is down: run make cluster"
mkdir -p "$state/loaded"
# Not in /run, which is often memory; two of these may run at once.
archive=$(mktemp -u "$state/loaded/.archive.XXXXXX")
trap 'rm -f "$archive"' EXIT
for image in "$@"; do
  begin=$SECONDS
  load "$image"
  echo "loaded $image in $((SECONDS - begin)) s"
done
