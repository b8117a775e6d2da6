#!/usr/bin/env bash
# Two clones of this commit make the same release; what is in it is what it says; and it installs as docs/install.md has it.
# Needs root, and the node (make deploy). What isn't committed isn't tested.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$root/scripts/base-images/lib.sh"
cd "$root"
export PATH=$root/.cluster/bin:$PATH
passed=0 failed=0
check() {
  local title=$1
  shift
  if "$@" >"$work/log" 2>&1; then
    passed=$((passed + 1)); echo "ok    $title"
  else
    failed=$((failed + 1)); echo "FAIL  $title"; tail -n 20 "$work/log"
  fi
}
# fails WORDS COMMAND...: that it fails, and says so in these words.
fails() {
  local words=$1
  shift
  ! "$@" >"$work/refusal" 2>&1 || { echo "it passes"; return 1; }
  cat "$work/refusal"
  grep -qF -- "$words" "$work/refusal"
}
# none COMMAND...: that it finds nothing.
none() { ! "$@" | grep .; }

need jq openssl
e2e/cluster/build-tools.sh cosign helm
scripts/python-packages.sh scripts/sbom-requirements.txt .cache/sbom
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
export COSIGN_PASSWORD=a-password-of-this-test
(cd "$work" && cosign generate-key-pair && mkdir other && cd other && cosign generate-key-pair) 2>"$work/log"

for clone in one two; do git clone --quiet --shared "$root" "$work/$clone"; done
refuse() { (cd "$work/one" && "$@"); }
check "another version than the files' is refused" fails "Cargo.toml says $version, and VERSION is 9.9.9" refuse scripts/release.sh 9.9.9
touch "$work/one/left-behind"
check "what no commit has is refused" fails "left-behind" refuse scripts/release.sh "$version"
rm "$work/one/left-behind"

scripts/timed.sh "a release, signed" env RELEASE_KEY="$work/cosign.key" "$work/one/scripts/release.sh" "$version"
scripts/timed.sh "the same again, from another clone" "$work/two/scripts/release.sh" "$version"
one=$work/one/dist two=$work/two/dist
check "both have the same digests" diff "$one/SHA256SUMS" "$two/SHA256SUMS"
check "both have the same provenance" diff "$one/provenance.json" "$two/provenance.json"
check "every file has its digest" diff <(cd "$two" && printf '%s\n' * | grep -vxE 'SHA256SUMS|provenance.json') <(awk '{print $2}' "$two/SHA256SUMS")
check "everybody may read every file" none find "$one" ! -perm -004
check "without a key nothing is signed" test ! -e "$two/SHA256SUMS.sigstore.json"

# The lines of docs/install.md are run below, where they must pass. Here they must not.
verify() { (cd "$1" && cosign verify-blob --key "${2:-cosign.pub}" --bundle SHA256SUMS.sigstore.json --insecure-ignore-tlog SHA256SUMS); }
attested() { (cd "$1" && cosign verify-blob-attestation --key cosign.pub --bundle provenance.sigstore.json --type slsaprovenance1 --insecure-ignore-tlog "$2"); }
cp -r "$one" "$work/tampered"
chart=kubesentiment-operator-$version.tgz
printf x >>"$work/tampered/$chart"
check "a file with a byte more is refused" fails "$chart: FAILED" bash -c "cd '$work/tampered' && sha256sum --check --strict SHA256SUMS"
check "so it is by the provenance" fails "" attested "$work/tampered" "$chart"
check "the file as it was is not" attested "$one" "$chart"
check "the digests are verified" verify "$one"
(cd "$work/tampered" && sha256sum "$chart" >>SHA256SUMS)
check "digests with a line more are refused" fails "" verify "$work/tampered"
check "a signature of another key is refused" fails "" verify "$one" "$work/other/cosign.pub"

validate() {
  PYTHONPATH=.cache/sbom python3 - "$1" <<'PYTHON'
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1], encoding="utf-8").read())
sys.exit(str(fault) if fault else 0)
PYTHON
}
# has FILE NAME...: that components are called so.
has() {
  local file=$1 name
  shift
  for name in "$@"; do
    jq -e --arg name "$name" 'any(.components[]; .name == $name)' "$file" >/dev/null || { echo "no $name"; return 1; }
  done
}
# What a program says that it was compiled from is in the bill.
compiled_from() {
  scripts/cargo-tool.sh rust-audit-info 0.5.4 "$2" >"$work/audit.json"
  jq -r '.packages[] | select(.kind != "build") | "\(.name) \(.version)"' "$work/audit.json" | sort -u >"$work/compiled"
  jq -r '.components[] | select(.purl // "" | startswith("pkg:cargo/")) | "\(.name) \(.version)"' "$1" | sort -u >"$work/listed"
  (($(wc -l <"$work/compiled") > 50)) && [[ -z $(comm -23 "$work/compiled" "$work/listed" | tee /dev/stderr) ]]
}
for bill in "$one"/*.cdx.json; do check "valid: ${bill##*/}" validate "$bill"; done
bill=$one/sentiment-service-$version.cdx.json
check "the server's bill has all kinds of parts" has "$bill" sentiment-server healthcheck model-fetch tokio ort onnxruntime libc6 \
  ca-certificates debian default gcr.io/distroless/cc-debian13:nonroot
check "no path of the machine is in a bill" none grep -l "$work" "$one"/*.cdx.json "$one/provenance.json"

unpack() {
  mkdir -p "$work/$2"
  tar -xf "$one/$1-$version-linux-amd64.oci.tar" -C "$work/$2"
  jq -r '.manifests[0].digest' "$work/$2/index.json"
}
manifest_of() { unpack "$1" "$1-layout" | sed "s|sha256:|$work/$1-layout/blobs/sha256/|"; }
layers() { jq -r '.layers[].digest' "$1" | sed "s|sha256:|${1%/*}/|"; }
for image in sentiment-service kubesentiment-operator; do
  mkdir -p "$work/$image-root"
  layers "$(manifest_of "$image")" | while read -r layer; do tar -xzf "$layer" -C "$work/$image-root"; done
done
check "the server is what its bill says" compiled_from "$bill" "$work/sentiment-service-root/app/sentiment-server"
check "the fetcher is, too" compiled_from "$bill" "$work/sentiment-service-root/app/model-fetch"
check "the operator is" compiled_from "$one/kubesentiment-operator-$version.cdx.json" "$work/kubesentiment-operator-root/kubesentiment-operator"
tar -xzf "$one/kubectl-sentiment-$version-linux-amd64.tar.gz" -C "$work"
check "the plugin is" compiled_from "$one/kubectl-sentiment-$version.cdx.json" "$work/kubectl-sentiment"
needs_none() { LC_ALL=C ldd "$1" 2>&1 | grep -E "statically linked|not a dynamic executable"; }
check "the plugin needs no library" needs_none "$work/kubectl-sentiment"
check "the archive has the health check for Docker" jq -e '.config.Healthcheck.Test == ["CMD", "/app/healthcheck"]' \
  "$(jq -r .config.digest "$(manifest_of sentiment-service)" | sed "s|sha256:|$work/sentiment-service-layout/blobs/sha256/|")"
check "images.txt has the archive's digest" grep -qxF "sentiment-service:$version@$(unpack sentiment-service again)" "$one/images.txt"

echo "$passed passed, $failed failed"
((failed == 0)) || exit 1
scripts/timed.sh "an installation by the documentation" scripts/test-install.sh "$one" "$version"
