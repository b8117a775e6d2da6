#!/usr/bin/env bash
# rust.sh NAME: a stand-in for the official rust:*-trixie image, with the toolchain that is installed on this host.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$here/lib.sh"

name=$1
# Outside the repository, so that no toolchain file of the project asks for another one.
sysroot=$(cd / && rustc --print sysroot) || die "a Rust toolchain is needed on this host to make a stand-in for $name"
debian=$("$here/debian.sh")
key=$(key_of "${BASH_SOURCE[0]}" "$(cd / && rustc --version --verbose)" "$(stand_in_key "$debian")")

make_image() {
  local container mount tool toolchain=/usr/local/rustup/toolchains/stable
  local -a volumes
  mapfile -t volumes < <(host_volumes)
  container=$("${BUILDAH[@]}" from --pull-never "$debian")
  "${BUILDAH[@]}" run "${ISOLATION[@]}" "${volumes[@]}" "$container" -- sh -c \
    'apt-get update -q && apt-get install -y -q --no-install-recommends build-essential pkg-config && rm -rf /var/lib/apt/lists/* /var/cache/apt/*'
  mount=$("${BUILDAH[@]}" mount "$container")
  mkdir -p "$mount$toolchain" "$mount/usr/local/cargo/bin"
  # No build reads documentation or the compiler's own sources, which are most of a toolchain's files.
  tar -C "$sysroot" --exclude=./share --exclude=./lib/rustlib/src --exclude=./lib/rustlib/rustc-src -cf - . |
    tar -C "$mount$toolchain" --no-same-owner -xf -
  for tool in cargo rustc rustdoc; do
    ln -sf "$toolchain/bin/$tool" "$mount/usr/local/cargo/bin/$tool"
  done
  "${BUILDAH[@]}" umount "$container"
  "${BUILDAH[@]}" config --env CARGO_HOME=/usr/local/cargo --env RUSTUP_HOME=/usr/local/rustup \
    --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  commit "$container" "$name" "$key"
}

if [[ $(stand_in_key "$name") != "$key" ]]; then
  step "base image: $name" make_image
fi
