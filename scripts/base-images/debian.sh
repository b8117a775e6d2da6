#!/usr/bin/env bash
# Prints the name of a minimal Debian 13 image, from which the other stand-ins are made; makes it first if need be.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$here/lib.sh"

name=localhost/kubesentiment/debian:13
key=$(key_of "${BASH_SOURCE[0]}")

# Debian 13 in the package sources that this host itself uses, whatever release of Debian it is: one "deb URI SUITE main" a line.
sources() {
  if [[ -n ${KUBESENTIMENT_DEBIAN_MIRROR:-} ]]; then
    echo "deb $KUBESENTIMENT_DEBIAN_MIRROR trixie main"
  elif command -v apt-get >/dev/null; then
    # shellcheck disable=SC2016  # the variables are apt's
    apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
      sed -nE 's/^Debian main ([^ ]+) [a-z]+((-updates|-security)?)$/deb \1 trixie\2 main/p' | sort -u
  fi
}

bootstrap() {
  local root mount container mirror
  mirror=$(sources | sed -n 's/^deb \([^ ]*\) trixie main$/\1/p' | head -n 1)
  root=$(mktemp -d "$cache/debian.XXXXXX")
  mkdir -p "$cache/debs"
  debootstrap --variant=minbase --include=ca-certificates --cache-dir="$cache/debs" trixie "$root" "$mirror"
  sources >"$root/etc/apt/sources.list"
  # Files that a crash would lose are made again, so dpkg needn't wait for the disk.
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
  container=$("${BUILDAH[@]}" from scratch)
  mount=$("${BUILDAH[@]}" mount "$container")
  cp -a "$root/." "$mount/"
  "${BUILDAH[@]}" umount "$container"
  "${BUILDAH[@]}" config --env DEBIAN_FRONTEND=noninteractive --cmd bash "$container"
  commit "$container" "$name" "$key"
  rm -rf "$root"
}

if [[ $(stand_in_key "$name") != "$key" ]]; then
  mkdir -p "$cache"
  need debootstrap
  [[ -n $(sources) ]] || {
    command -v apt-get >/dev/null && apt-get update >&2
    [[ -n $(sources) ]] || die "this host has no package source of Debian; set KUBESENTIMENT_DEBIAN_MIRROR to the address of one"
  }
  step "base image: Debian 13 by debootstrap" bootstrap
fi
echo "$name"
