#!/usr/bin/env bash
# Puts pinned Python packages into a folder for PYTHONPATH: python-packages.sh REQUIREMENTS DEST
# Needs python3 (3.11 or later) with pip. A second run with the same pins and the same Python does nothing.
set -euo pipefail

if [[ $# -ne 2 ]]; then
  echo "usage: $0 REQUIREMENTS DEST" >&2
  exit 2
fi
requirements=$1
dest=$2

# Wheels are built for one Python, so its version is part of the stamp.
stamp=$(python3 -c 'import sys; print(*sys.version_info[:2], sep=".")'; cat "$requirements")
if [[ -f $dest/.requirements && $(<"$dest/.requirements") == "$stamp" ]]; then
  exit 0
fi

echo "fetching the Python packages of $requirements"
mkdir -p "$(dirname "$dest")"
# Beside the destination, so that the last step is a rename and never leaves half of them.
work=$(mktemp -d "$dest.XXXXXX")
trap 'rm -rf "$work"' EXIT
# A folder, not a virtual environment: that takes a further package on Debian. The requirements name all that is
# needed, each with its hashes.
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary=:all: \
  --require-hashes --requirement "$requirements" --target "$work"
printf '%s\n' "$stamp" >"$work/.requirements"
chmod 755 "$work"
rm -rf "$dest"
mv "$work" "$dest"
