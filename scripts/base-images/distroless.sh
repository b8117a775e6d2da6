#!/usr/bin/env bash
# distroless.sh NAME: a stand-in for gcr.io/distroless/cc-debian13. Those images are built from Debian packages and
# nothing else; this takes the same packages, so that the programs on top find the same libraries.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$here/lib.sh"

name=$1
case ${name##*:} in
  nonroot) debug=false ;;
  debug-nonroot) debug=true ;;
  *) die "no stand-in is known for $name" ;;
esac
debian=$("$here/debian.sh")
key=$(key_of "${BASH_SOURCE[0]}" "$here/distroless-rootfs.sh" "$(stand_in_key "$debian")")

make_image() {
  local source target from to path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  local -a volumes
  mapfile -t volumes < <(host_volumes)
  source=$("${BUILDAH[@]}" from --pull-never "$debian")
  "${BUILDAH[@]}" run "${ISOLATION[@]}" "${volumes[@]}" --volume "$here/distroless-rootfs.sh:/rootfs.sh:ro" \
    "$source" -- sh /rootfs.sh /out "$debug"
  target=$("${BUILDAH[@]}" from scratch)
  from=$("${BUILDAH[@]}" mount "$source")
  to=$("${BUILDAH[@]}" mount "$target")
  cp -a "$from/out/." "$to/"
  "${BUILDAH[@]}" umount "$target"
  "${BUILDAH[@]}" rm "$source"
  if $debug; then
    path=$path:/busybox
    "${BUILDAH[@]}" config --entrypoint '["/busybox/sh"]' "$target"
  fi
  "${BUILDAH[@]}" config --user 65532 --workingdir /home/nonroot --env "PATH=$path" \
    --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$target"
  commit "$target" "$name" "$key"
}

if [[ $(stand_in_key "$name") != "$key" ]]; then
  step "base image: $name" make_image
fi
