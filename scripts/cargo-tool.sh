#!/usr/bin/env bash
# Runs a pinned program of crates.io, installed into the cache first where it is missing: cargo-tool.sh NAME VERSION [ARGUMENT...]
# CARGO_TOOL_FEATURES, where it is set, are the only features that it is built with.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$here/base-images/lib.sh"

[[ $# -ge 2 ]] || die "usage: $0 NAME VERSION [ARGUMENT...]"
name=$1 version=$2
shift 2
home=$cache/$name-$version

features=()
[[ -z ${CARGO_TOOL_FEATURES:-} ]] || features=(--no-default-features --features "$CARGO_TOOL_FEATURES")
install_it() {
  # Unoptimized: it compiles in half the time and works as quickly as anyone needs.
  CARGO_TARGET_DIR=$home/target cargo install "$name" --version "$version" --locked --debug --root "$home" "${features[@]}"
  rm -rf "$home/target"
}

if command -v "$name" >/dev/null; then
  case $("$name" --version) in
    "$name $version" | "$name v$version") exec "$name" "$@" ;;
  esac
fi
[[ -x $home/bin/$name ]] || step "installing $name $version" install_it
exec "$home/bin/$name" "$@"
