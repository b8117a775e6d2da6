#!/usr/bin/env bash
# Runs examples-check.py with its packages.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$here/base-images/lib.sh"
requirements=$here/examples-requirements.txt
packages=$cache/examples-$(sha256sum "$requirements" | cut -c1-16)
"$here/python-packages.sh" "$requirements" "$packages"
PYTHONPATH=$packages exec python3 "$here/examples-check.py"
