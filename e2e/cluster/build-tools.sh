#!/usr/bin/env bash
# Builds the programs of the test node, and those that the tests use, from pinned Go modules.
#
#   e2e/cluster/build-tools.sh [GROUP...]      a GROUP is a folder of tools/; without one: all
#
# Finished programs are kept in a cache by the hash of all that decides their content, and linked
# into .cluster/bin, so that a second clone takes no time.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=$root/.cluster/bin
cache=${KUBESENTIMENT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubesentiment}/tools
# Never another toolchain than the one on this machine: the cache goes by its version.
export GOTOOLCHAIN=local
kubernetes_version=$(awk '$1 == "k8s.io/kubernetes" {print $2}' "$here/tools/kubernetes/go.mod")

# Linker flags and build tags per group, where the plain ones don't do.
flags_for() {
  case $1 in
    # The version in the module is a placeholder that kubelet and API server refuse to compare.
    kubernetes) echo "-ldflags=-s -w -X k8s.io/component-base/version.gitVersion=$kubernetes_version" ;;
    # Without the tag, containerd needs the btrfs headers.
    containerd) printf '%s\n' "-ldflags=-s -w" "-tags=no_btrfs" ;;
    # What is checked finds its targets by the API server; all ways together need the clients of a dozen clouds.
    prometheus) printf '%s\n' "-ldflags=-s -w" "-tags=remove_all_sd,enable_kubernetes_sd" ;;
    *) echo "-ldflags=-s -w" ;;
  esac
}

# The name of a tool's program: etcd's main package is its module's root, which ends in a version.
name_of() {
  case $1 in
    go.etcd.io/etcd/server/v3) echo etcd ;;
    *) basename "$1" ;;
  esac
}

# Tools of a group, one import path a line.
tools_of() {
  sed -n '/^tool (/,/^)/{s/^\t\(.*\)/\1/p}; s/^tool \([^(].*\)/\1/p' "$here/tools/$1/go.mod"
}

# What decides the versions of modules that a group is built from. The groups of the workspace share theirs, so that what
# they have in common is compiled once; the others need older ones.
versions_of() {
  local -a modules=("$1")
  if in_workspace "$1"; then
    cat "$here"/tools/go.work{,.sum}
    mapfile -t modules < <(workspace)
  fi
  for module in "${modules[@]}"; do
    cat "$here/tools/$module"/go.{mod,sum}
  done
}

workspace() {
  sed -n 's#^\t\./##p' "$here/tools/go.work"
}

in_workspace() {
  grep -qxF $'\t'"./$1" "$here/tools/go.work"
}

# Where the programs of a group are kept.
store_of() {
  local -a flags
  mapfile -t flags < <(flags_for "$1")
  echo "$cache/$1-$({ go version; versions_of "$1"; find "$here/tools/$1" -name '*.go' | sort | xargs -r cat; printf '%s\n' "${flags[@]}"; } | sha256sum | cut -c1-16)"
}

# missing PROGRAM STORE: that it has to be built.
missing() {
  [[ ! -x $2/$1 ]] && ! { [[ $1 == kubectl ]] && command -v kubectl >/dev/null; }
}

build_group() {
  local group=$1 store=$2 go_work=off package name begin pid waited
  local -a flags
  mapfile -t flags < <(flags_for "$group")
  if in_workspace "$group"; then
    go_work=$here/tools/go.work
  fi
  mkdir -p "$store" "$bin"
  for package in $(tools_of "$group"); do
    name=$(name_of "$package")
    if missing "$name" "$store"; then
      begin=$SECONDS
      built=$((built + 1))
      echo "building $name ($built of $to_build) ..."
      (cd "$here/tools/$group" && GOWORK=$go_work CGO_ENABLED=0 GOFLAGS='-mod=readonly -buildvcs=false' \
        go build -trimpath "${flags[@]}" -o "$store/.$name.$$" "$package") &
      pid=$!
      waited=0
      while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        waited=$((waited + 1))
        ((waited % 30)) || echo "  still building $name ($((SECONDS - begin)) s; a first build takes minutes)"
      done
      wait "$pid"
      mv "$store/.$name.$$" "$store/$name"
      echo "built $name in $((SECONDS - begin)) s"
    fi
    # Not where the machine has its own.
    [[ -x $store/$name ]] || continue
    cp -lf "$store/$name" "$bin/$name" 2>/dev/null || cp -f "$store/$name" "$bin/$name"
  done
}

command -v go >/dev/null || { echo "error: the test node's programs are built with Go 1.26 or later; install it" >&2; exit 1; }
groups=("$@")
if ((${#groups[@]} == 0)); then
  mapfile -t groups < <(cd "$here/tools" && printf '%s\n' */ | tr -d /)
fi
declare -A stores
built=0 to_build=0
for group in "${groups[@]}"; do
  [[ -f $here/tools/$group/go.mod ]] || { echo "no group '$group' in e2e/cluster/tools" >&2; exit 2; }
  stores[$group]=$(store_of "$group")
  for package in $(tools_of "$group"); do
    ! missing "$(name_of "$package")" "${stores[$group]}" || to_build=$((to_build + 1))
  done
done
for group in "${groups[@]}"; do
  build_group "$group" "${stores[$group]}"
done
