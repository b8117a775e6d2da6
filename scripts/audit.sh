#!/usr/bin/env bash
# Looks for published faults in what we build on: RustSec's advisories for the crates, PyPI's for the Python packages.
# Both databases are on the network. One that can't be reached is said so and is no failure, unless AUDIT_MUST_REACH=1.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$root/scripts/base-images/lib.sh"
cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
found=0 unasked=0

# unasked WHAT WHY
unasked() {
  unasked=$((unasked + 1))
  echo "NOT ASKED  $1: $2"
}

crates() {
  if ! scripts/cargo-deny.sh --log-level warn fetch db 2>"$work/fetch.err"; then
    sed 's/^/  /' "$work/fetch.err" >&2
    unasked "crates" "RustSec's database can't be reached"
  elif scripts/cargo-deny.sh --log-level warn check --disable-fetch advisories; then
    echo "ok         crates: no advisory"
  else
    found=$((found + 1))
    echo "FOUND      crates: see above; a fault that doesn't concern us goes into deny.toml with its reason"
  fi
}

# packages FILE: the pins of a file, without installing them.
packages() {
  local file=$1 total skipped vulnerable
  PYTHONPATH=$pip_audit python3 -m pip_audit --disable-pip --require-hashes --progress-spinner off \
    --requirement "$file" --format json --output "$work/audit.json" >/dev/null 2>"$work/audit.err" || true
  if ! total=$(jq '.dependencies | length' "$work/audit.json" 2>/dev/null); then
    tail -n 3 "$work/audit.err" | sed 's/^/  /' >&2
    unasked "$file" "PyPI's advisories can't be reached"
    return
  fi
  # PyPI has an answer for every package that it has ever had; without one it wasn't PyPI that was asked.
  skipped=$(jq '[.dependencies[] | select(has("skip_reason"))] | length' "$work/audit.json")
  vulnerable=$(jq '[.dependencies[] | select((.vulns // []) != [])] | length' "$work/audit.json")
  jq -r '.dependencies[] | .name as $name | .version as $version | .vulns[]?
    | "  \($name) \($version): \(.id), mended in \(.fix_versions | join(", "))"' "$work/audit.json"
  if ((vulnerable)); then
    found=$((found + 1))
    echo "FOUND      $file: $vulnerable of $total packages have published faults"
  fi
  if ((skipped)); then
    unasked "$file" "nothing is known of $skipped of $total packages where pip-audit asks"
  elif ((!vulnerable)); then
    echo "ok         $file: no advisory for $total packages"
  fi
  rm -f "$work/audit.json"
}

need jq
requirements=scripts/audit-requirements.txt
pip_audit=$cache/pip-audit-$(sha256sum "$requirements" | cut -c1-16)
scripts/python-packages.sh "$requirements" "$pip_audit"

crates
mapfile -t files < <(git ls-files '*requirements*.txt')
for file in "${files[@]}"; do
  packages "$file"
done
echo "audit: $found with published faults, $unasked that could not be asked about"
((found == 0)) || exit 1
((unasked == 0)) || [[ ${AUDIT_MUST_REACH:-0} != 1 ]] || exit 1
