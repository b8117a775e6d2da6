#!/usr/bin/env bash
# Fuzzes what the server reads from others, each target for some seconds:  scripts/fuzz.sh [SECONDS [TARGET...]]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$root/scripts/base-images/lib.sh"

seconds=${1:-20}
shift || true
(($#)) || set -- bodies memory texts environment files

version=0.13.2
home=$cache/cargo-fuzz-$version
need g++
install_it() {
  # Unoptimized: it only starts other programs.
  CARGO_TARGET_DIR=$home/target cargo install cargo-fuzz --version "$version" --locked --debug --root "$home"
  rm -rf "$home/target"
}
[[ -x $home/bin/cargo-fuzz ]] || step "installing cargo-fuzz $version" install_it
export PATH=$home/bin:$PATH

cd "$root/inference-server"
# Without a sanitizer this works with a stable compiler, and nothing that is fuzzed has an unsafe block for one to watch.
fuzz=(cargo fuzz)
# The very versions that the server is made of.
cp ../Cargo.lock fuzz/Cargo.lock
build_them() { "${fuzz[@]}" build --sanitizer none; }
step "building the fuzz targets" build_them

for target in "$@"; do
  corpus=fuzz/corpus/$target
  mkdir -p "$corpus"
  fuzz_it() {
    # What is found is kept in the first folder; a crash is left in fuzz/artifacts and told with its input.
    "${fuzz[@]}" run --sanitizer none "$target" "$corpus" "fuzz/seeds/$target" -- \
      -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=16384 -print_final_stats=1 "${dictionary[@]}"
  }
  dictionary=()
  [[ ! -f fuzz/$target.dict ]] || dictionary=("-dict=fuzz/$target.dict")
  step "fuzzing $target" fuzz_it
done
