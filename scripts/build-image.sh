#!/usr/bin/env bash
# Builds container images with whatever this machine has: a Docker engine, else buildah.
#
#   scripts/build-image.sh server|server-debug|operator|plugin...
#
# VERSION, REVISION and BUILDTIME can be given in the environment; they come from the workspace and
# from git otherwise. IMAGE_TAG takes the place of "distroless" in the images' names. IMAGE_BUILDER=docker or
# buildah makes the choice; BASE_IMAGES=local uses stand-ins for the base images without trying to pull,
# BASE_IMAGES=pull never makes any; LAYERS=new takes no layer of an earlier build; AUDITABLE=true has the
# programs carry the list of their crates.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$here/base-images/lib.sh"

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }

in_git() { git -C "$root" rev-parse --verify --quiet HEAD >/dev/null 2>&1; }

# The commit's time, not the clock's: the same commit then gives the same image.
build_time() {
  local epoch=${SOURCE_DATE_EPOCH:-}
  if [[ -z $epoch ]] && in_git; then epoch=$(git -C "$root" log -1 --format=%ct); fi
  date -u -d "@${epoch:-$(date +%s)}" +%Y-%m-%dT%H:%M:%SZ
}

revision() {
  in_git || { echo unknown; return; }
  local dirty=''
  git -C "$root" diff --quiet HEAD -- Cargo.toml Cargo.lock 'Dockerfile.*' operator kubectl-sentiment inference-server models scripts || dirty=-dirty
  echo "$(git -C "$root" rev-parse --short=12 HEAD)$dirty"
}

choose_builder() {
  case ${IMAGE_BUILDER:-auto} in
    docker | buildah) echo "$IMAGE_BUILDER" ;;
    auto) if timeout 10 docker info >/dev/null 2>&1; then echo docker; else echo buildah; fi ;;
    *) die "IMAGE_BUILDER is docker or buildah, not $IMAGE_BUILDER" ;;
  esac
}

reachable() { timeout 20 "${BUILDAH[@]}" manifest inspect "docker://$1" >/dev/null 2>&1; }

stand_in() {
  case $1 in
    */library/rust:*) "$here/base-images/rust.sh" "$1" ;;
    */library/python:*) "$here/base-images/python.sh" "$1" ;;
    */distroless/*) "$here/base-images/distroless.sh" "$1" ;;
    *) die "$1 can't be pulled, and no stand-in for it is known" ;;
  esac
}

provide_bases() {
  local base mode=${BASE_IMAGES:-auto}
  for base in $(bases_of "$1"); do
    if present "$base"; then
      # The script compares the stand-in with what it would make now; a pulled image stays as it is.
      [[ $mode == pull || -z $(stand_in_key "$base") ]] || stand_in "$base"
    elif [[ $mode == pull ]] || { [[ $mode == auto ]] && reachable "$base"; }; then
      step "pulling $base" "${BUILDAH[@]}" pull --quiet "$base"
    else
      stand_in "$base"
    fi
  done
}

build() {
  local kind=$1 file name
  local -a args=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "BUILDTIME=$buildtime"
    --build-arg "AUDITABLE=${AUDITABLE:-false}")
  case $kind in
    server) file=Dockerfile.distroless name=sentiment-service:$tag ;;
    server-debug) file=Dockerfile.distroless name=sentiment-service:$tag-debug args+=(--build-arg DEBUG_IMAGE=true) ;;
    operator) file=Dockerfile.operator name=kubesentiment-operator:$tag ;;
    # Not to be run: scripts/release.sh takes the program out of it.
    plugin) file=Dockerfile.plugin name=kubesentiment/kubectl-sentiment:$tag ;;
  esac
  [[ ${LAYERS:-kept} == kept ]] || args+=(--no-cache)
  if [[ $builder == docker ]]; then
    DOCKER_BUILDKIT=1 docker build --file "$root/$file" --tag "$name" "${args[@]}" "$root"
    return
  fi
  provide_bases "$root/$file"
  local -a volumes
  mapfile -t volumes < <(host_volumes)
  # The docker format keeps the HEALTHCHECK, which OCI's doesn't know. Files get one time whatever the day and the commit, so
  # that the same content is the same layer.
  step "image $name" "${BUILDAH[@]}" bud --layers --force-rm "${ISOLATION[@]}" --pull-never --format docker --network host \
    --timestamp 0 "${volumes[@]}" "${args[@]}" --file "$root/$file" --tag "docker.io/library/$name" --tag "localhost/$name" "$root"
}

(($#)) || usage
for kind in "$@"; do
  case $kind in server | server-debug | operator | plugin) ;; *) usage ;; esac
done

tag=${IMAGE_TAG:-distroless}
version=${VERSION:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")}
revision=${REVISION:-$(revision)}
buildtime=${BUILDTIME:-$(build_time)}
builder=$(choose_builder)
mkdir -p "$cache"
if [[ $builder == buildah ]]; then
  ((EUID == 0)) || die "image builds with buildah need root here; run this with sudo, or start a Docker engine"
  need buildah
  # Two builds at once would make the same base image twice, and share a cargo registry without its lock.
  exec 9>"$cache/images.lock"
  flock --nonblock 9 || { say "  waiting for another image build on this machine"; flock 9; }
fi
for kind in "$@"; do build "$kind"; done
