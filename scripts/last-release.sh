#!/usr/bin/env bash
# Prints the folder with the files of the last release before this checkout; makes it from its tag first where it is missing.
# RELEASE is such a folder that is there already, as downloaded.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$root/scripts/base-images/lib.sh"
cd "$root"

if [[ -n ${RELEASE:-} ]]; then
  [[ -f $RELEASE/images.txt ]] || die "RELEASE is $RELEASE, and no release is in it"
  realpath "$RELEASE"
  exit
fi

# Of two releases the older one is upgraded from; of one, that.
tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' HEAD^ 2>/dev/null || git describe --tags --abbrev=0 --match 'v[0-9]*' HEAD 2>/dev/null) ||
  die "this clone has no tag v…, so it knows no release to upgrade from: git fetch --tags, or set RELEASE to a folder with a release's files"
commit=$(git rev-parse "$tag^{commit}")
dist=$cache/releases/$tag-${commit:0:12}
if [[ ! -f $dist/SHA256SUMS ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  git clone --quiet --shared --branch "$tag" "$root" "$work/clone"
  "$work/clone/scripts/release.sh" "${tag#v}" "$dist" >&2
fi
echo "$dist"
