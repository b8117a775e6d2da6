#!/usr/bin/env bash
# Puts the images and the chart of a release into a registry:  scripts/publish.sh REGISTRY DIST
#
# REGISTRY is like registry.example.com/team: images become REGISTRY/NAME:VERSION, the chart REGISTRY/charts/NAME:VERSION.
# With a key, as scripts/sign-release.sh has it, both are signed there by digest. Credentials are those of `docker login`, or
# of `skopeo login`, `helm registry login` and `cosign login`. PLAIN_HTTP=1 is for a registry without TLS.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$root/scripts/base-images/lib.sh"

[[ $# -eq 2 && -f $2/images.txt ]] || die "usage: $0 REGISTRY DIST, the second a folder with a release"
registry=${1%/} dist=$2
key=${RELEASE_KEY:-${COSIGN_PRIVATE_KEY:+env://COSIGN_PRIVATE_KEY}}
plain=${PLAIN_HTTP:-0}
need skopeo
"$root/e2e/cluster/build-tools.sh" helm ${key:+cosign}
export PATH=$root/.cluster/bin:$PATH

# sign REPOSITORY@DIGEST
sign() {
  local -a options=()
  [[ $plain == 0 ]] || options=(--allow-http-registry)
  [[ -z $key ]] || cosign sign --key "$key" --use-signing-config=false --tlog-upload=false --yes "${options[@]}" "$1"
}

# push NAME:VERSION DIGEST
push() {
  local pushed=$registry/$1 archive
  local -a options=(--preserve-digests)
  [[ $plain == 0 ]] || options+=(--dest-tls-verify=false)
  archive=$(printf '%s\n' "$dist/${1/:/-}"-linux-*.oci.tar)
  skopeo copy "${options[@]}" "oci-archive:$archive" "docker://$pushed"
  sign "${pushed%:*}@$2"
}

push_chart() {
  local said
  local -a options=()
  [[ $plain == 0 ]] || options=(--plain-http)
  said=$(helm push "$1" "oci://$registry/charts" "${options[@]}" 2>&1)
  echo "$said"
  sign "$(sed -n "s|^Pushed: \(.*\):[^:/]*$|\1|p" <<<"$said")@$(sed -n 's/^Digest: //p' <<<"$said")"
}

while IFS=@ read -r image digest; do
  step "image $registry/${image##*/}" push "${image##*/}" "$digest"
done <"$dist/images.txt"
for chart in "$dist"/*.tgz; do
  step "chart ${chart##*/}" push_chart "$chart"
done
