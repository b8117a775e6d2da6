#!/usr/bin/env bash
# Makes all that a release gives away, from the commit that is checked out. docs/release.md says what it is.
#
#   scripts/release.sh VERSION [DEST]      DEST: dist
#
# The same commit gives the same files, signatures aside. IMAGES, such as registry.example.com/team, stands in front of the
# images' names; REPOSITORY_URL, such as https://git.example.com/team/kubesentiment, goes into the chart, the manifest for krew
# and the provenance. With a key, as scripts/sign-release.sh has it, all is signed. BASE_IMAGES is as for scripts/build-image.sh.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$root/scripts/base-images/lib.sh"

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }

# says FILE PATTERN: that the file says VERSION, in each place that the pattern finds.
says() {
  local said
  said=$(sed -n "s/$2/\\1/p" "$1" | sort -u | paste -sd ' ')
  [[ $said == "$version" ]] || die "$1 says ${said:-no version}, and VERSION is $version: mend the file and commit it"
}

check_versions() {
  local file
  local -a labelled
  says Cargo.toml '^version = "\(.*\)"$'
  says charts/kubesentiment-operator/Chart.yaml '^version: \(.*\)$'
  says charts/kubesentiment-operator/Chart.yaml '^appVersion: \(.*\)$'
  mapfile -t labelled < <(grep -rl 'app.kubernetes.io/version: ' config)
  for file in "${labelled[@]}"; do says "$file" '^ *app.kubernetes.io\/version: "\(.*\)"$'; done
  says CHANGELOG.md "^## \\[\\($version\\)\\] - .*\$"
}

# program IMAGE NAME DEST: copies a file out of the root of a local image.
program() {
  local container
  container=$("${BUILDAH[@]}" from --pull-never "$1")
  install -m 755 "$("${BUILDAH[@]}" mount "$container")/$2" "$3"
  "${BUILDAH[@]}" rm "$container" >/dev/null
}

build_images() {
  local -x IMAGE_BUILDER=buildah IMAGE_TAG=$version VERSION=$version REVISION=$commit AUDITABLE=true
  LAYERS=new scripts/build-image.sh server operator plugin
  # All but its base is what has just been built.
  scripts/build-image.sh server-debug
}

# archive NAME: the file of a local image, with the image's digest in images.txt.
archive() {
  local built=docker.io/library/$1 name=${IMAGES:+${IMAGES%/}/}$1 file=${1/:/-}-linux-$machine.oci.tar
  rm -rf "$work/oci"
  "${BUILDAH[@]}" push --quiet "$built" "oci:$work/oci:image"
  "${BUILDAH[@]}" inspect --type image "$built" | jq .Docker.config >"$work/config.json"
  printf '%s@%s\n' "$name" "$(scripts/release/oci_archive.py "$work/oci" "$work/config.json" "$name" "$out/$file")" >>"$out/images.txt"
}

archives() {
  archive "kubesentiment-operator:$version"
  archive "sentiment-service:$version"
  archive "sentiment-service:$version-debug"
}

# tarball FOLDER FILE ENTRY...: the same entries give the same file.
tarball() {
  local folder=$1 file=$2
  shift 2
  tar --create --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --directory "$folder" "$@" | gzip --no-name -9 >"$file"
}

plugin() {
  local file=kubectl-sentiment-$version-linux-$machine.tar.gz home
  program "docker.io/library/kubesentiment/kubectl-sentiment:$version" kubectl-sentiment "$work/kubectl-sentiment"
  cp LICENSE "$work/"
  tarball "$work" "$out/$file" kubectl-sentiment LICENSE
  home=${REPOSITORY_URL:-https://github.com/OWNER/KubeSentiment}
  sed -e '/^#/d' -e "s|^  version: .*|  version: v$version|" -e "s|^  homepage: .*|  homepage: ${home%/}|" \
    -e "s|^      uri: .*|      uri: ${home%/}/releases/download/v$version/$file|" -e "s|^        arch: .*|        arch: $machine|" \
    -e "s|^      sha256: .*|      sha256: $(sha256sum "$out/$file" | cut -d' ' -f1)|" \
    kubectl-sentiment/krew.yaml >"$out/krew-$version.yaml"
}

# The manifests with the images of this release, as a folder for kustomize and as one file.
manifests() {
  local image files=$work/kubesentiment-$version
  mkdir "$files"
  git archive HEAD config crds LICENSE | tar -C "$files" -xf -
  for image in kubesentiment-operator sentiment-service; do
    sed -i "s#\(image\|value\): $image:distroless\$#\1: ${IMAGES:+${IMAGES%/}/}$image:$version#" "$files/config/manager/deployment.yaml"
  done
  # The deployment names its image whole.
  sed -i '/^images:$/,$d' "$files/config/default/kustomization.yaml"
  kubectl kustomize "$files/config/default" >"$out/kubesentiment-$version.yaml"
  ! grep -n distroless "$out/kubesentiment-$version.yaml" || die "an image in config/ has kept its name"
  cp crds/sentimentservices.kubesentiment.io.yaml "$out/kubesentiment-crds-$version.yaml"
  tarball "$work" "$out/kubesentiment-manifests-$version.tar.gz" "kubesentiment-$version"
}

# For the Operator Lifecycle Manager. The removal of an annotation that nobody has is kubectl's way to print YAML as JSON.
olm_bundle() {
  kubectl annotate --local --dry-run=client --filename "$out/kubesentiment-$version.yaml" --output json kubesentiment.io/none- |
    scripts/release/olm_bundle.py --version "$version" --time "$SOURCE_DATE_EPOCH" --dest "$work/olm" --repository "${REPOSITORY_URL:-}"
  tarball "$work/olm" "$out/kubesentiment-olm-bundle-$version.tar.gz" .
}

chart() {
  TAG=$version scripts/package-chart.sh "$version" "$out"
}

# What the base images are by digest, one NAME=DIGEST a line.
base_digests() {
  local base
  # shellcheck disable=SC2046  # names without spaces
  for base in $(bases_of Dockerfile.distroless; bases_of Dockerfile.operator; bases_of Dockerfile.plugin); do
    echo "$base=$("${BUILDAH[@]}" inspect --type image --format '{{.FromImageDigest}}' "$base")"
  done | sort -u
}

sboms() {
  local base server=$sources/inference-server
  mkdir "$sources"
  git archive HEAD | tar -C "$sources" -xf -
  (cd "$sources" && "$root/scripts/cargo-tool.sh" cargo-cyclonedx 0.5.9 cyclonedx --format json --spec-version 1.5 \
    --describe binaries --target "$(rustc -vV | sed -n 's/^host: //p')")
  base=$(grep '/distroless/.*:nonroot=' "$work/bases")
  sbom sentiment-service "$server"/sentiment-server*.json "$server"/healthcheck*.json "$server"/fetch/model-fetch*.json \
    --image "$out/sentiment-service-$version-linux-$machine.oci.tar" --base "$base" \
    --onnxruntime scripts/onnxruntime-requirements.txt --model models/default
  sbom kubesentiment-operator "$sources"/operator/kubesentiment-operator*.json \
    --image "$out/kubesentiment-operator-$version-linux-$machine.oci.tar" --base "$base"
  sbom kubectl-sentiment "$sources"/kubectl-sentiment/kubectl-sentiment*.json
}

# sbom NAME CRATES... [OPTION...]
sbom() {
  local name=$1
  shift
  scripts/release/sbom.py --name "$name" --version "$version" --time "$SOURCE_DATE_EPOCH" --sources "$sources" --crates "$@" \
    >"$out/$name-$version.cdx.json"
}

sums() {
  (cd "$out" && sha256sum -- *) >"$work/SHA256SUMS"
  mv "$work/SHA256SUMS" "$out/"
}

provenance() {
  local line
  local -a materials=()
  while read -r line; do materials+=(--material "$line"); done <"$work/bases"
  scripts/release/provenance.py --version "$version" --commit "$commit" --sources . --sums "$out/SHA256SUMS" \
    --images "${IMAGES:-}" "${materials[@]}" >"$out/provenance.json"
}

[[ $# -eq 1 || $# -eq 2 ]] || usage
version=$1
dest=$(realpath -m "${2:-$root/dist}")
began=$SECONDS
cd "$root"
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || die "VERSION is like 1.2.3, not '$version'"
commit=$(git rev-parse --verify --quiet HEAD) || die "a release is made from a commit, and this is no clone"
changed=$(git status --porcelain)
[[ -z $changed ]] || die "commit these or put them away, since a release is what a commit has:
$changed"
check_versions
[[ ! -e $dest || -f $dest/SHA256SUMS ]] || die "$dest is there, and no release is in it: move it away"
((EUID == 0)) || die "image builds with buildah need root: run this with sudo"

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH PATH=$root/.cluster/bin:$PATH
case $(uname -m) in
  x86_64) machine=amd64 ;;
  aarch64) machine=arm64 ;;
  *) die "no release is made on $(uname -m)" ;;
esac

need buildah jq
mkdir -p "$(dirname "$dest")"
# Beside the destination, so that the last step is a rename and never leaves half a release.
work=$(mktemp -d "$dest.XXXXXX")
trap 'rm -rf "$work"' EXIT
out=$work/dist sources=$work/sources
mkdir "$out"

e2e/cluster/build-tools.sh helm
command -v kubectl >/dev/null || e2e/cluster/build-tools.sh kubernetes
build_images
base_digests >"$work/bases"
step "image archives" archives
step "plugin" plugin
step "chart" chart
step "manifests" manifests
step "bundle for OLM" olm_bundle
step "bills of materials" sboms
sums
provenance
if [[ -n ${RELEASE_KEY:-}${COSIGN_PRIVATE_KEY:-} ]]; then
  scripts/sign-release.sh "$out"
else
  say "  NOT SIGNED: neither RELEASE_KEY nor COSIGN_PRIVATE_KEY is set"
fi
while IFS='=' read -r base _; do
  [[ -z $(stand_in_key "$base") ]] || say "  NOT TO BE SHIPPED: $base is a stand-in, since no registry could be reached"
done <"$work/bases"

chmod 755 "$out"
rm -rf "$dest"
mv "$out" "$dest"
(cd "$dest" && du -h -- * >&2)
say "release $version of $commit is in $dest after $((SECONDS - began)) s"
