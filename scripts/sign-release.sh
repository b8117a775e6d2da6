#!/usr/bin/env bash
# Signs the files that scripts/release.sh made:  scripts/sign-release.sh DIST
#
# RELEASE_KEY is the file of a key of cosign's, or COSIGN_PRIVATE_KEY its content; COSIGN_PASSWORD is its password. Nothing is
# sent to a transparency log: it is the key that is trusted, and its signatures are verified without a network.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$root/scripts/base-images/lib.sh"

[[ $# -eq 1 && -f $1/SHA256SUMS ]] || die "usage: $0 DIST, a folder with a release"
dist=$1
key=${RELEASE_KEY:-env://COSIGN_PRIVATE_KEY}
[[ -n ${RELEASE_KEY:-}${COSIGN_PRIVATE_KEY:-} ]] || die "there is no key: set RELEASE_KEY or COSIGN_PRIVATE_KEY"
"$root/e2e/cluster/build-tools.sh" cosign
export PATH=$root/.cluster/bin:$PATH

sign() {
  local -a with=(--key "$key" --use-signing-config=false --tlog-upload=false --yes)
  (cd "$dist" && sha256sum --quiet --check --strict SHA256SUMS)
  cosign public-key --key "$key" --outfile "$dist/cosign.pub"
  cosign sign-blob "${with[@]}" --bundle "$dist/SHA256SUMS.sigstore.json" "$dist/SHA256SUMS"
  cosign attest-blob "${with[@]}" --bundle "$dist/provenance.sigstore.json" --statement "$dist/provenance.json"
  # cosign keeps to its owner what everybody is to have.
  chmod 644 "$dist"/{cosign.pub,*.sigstore.json}
}

step "signatures" sign
