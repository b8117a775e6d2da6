#!/usr/bin/env bash
# Runs cargo deny, installed into the cache first where it is missing: scripts/cargo-deny.sh check bans licenses sources
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$here/base-images/lib.sh"

version=0.20.2
home=$cache/cargo-deny-$version

install_it() {
  # Unoptimized: it compiles in half the time and checks as quickly as anyone needs.
  CARGO_TARGET_DIR=$home/target cargo install cargo-deny --version "$version" --locked --debug --root "$home"
  rm -rf "$home/target"
}

if command -v cargo-deny >/dev/null && [[ $(cargo-deny --version) == "cargo-deny $version" ]]; then
  exec cargo-deny "$@"
fi
[[ -x $home/bin/cargo-deny ]] || step "installing cargo-deny $version" install_it
exec "$home/bin/cargo-deny" "$@"
