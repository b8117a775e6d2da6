#!/usr/bin/env bash
# Whose cluster `make demo` takes, by the programs that are there.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 bash=$(command -v bash)
for program in dirname timeout; do ln -s "$(command -v "$program")" "$work/$program"; done

# takes WHOSE PROGRAM...: with these on the PATH, docker-down being a Docker whose engine doesn't answer.
takes() {
  local whose=$1 program said
  shift
  rm -f "$work"/{docker,kind,k3d,minikube}
  for program in "$@"; do
    printf '#!%s\n[[ %s != docker-down ]]\n' "$bash" "$program" >"$work/${program%-down}"
    chmod +x "$work/${program%-down}"
  done
  said=$(PATH=$work DEMO_CLUSTER=${choice:-} "$bash" "$root/scripts/demo.sh" --which)
  [[ $said == "The cluster is $whose"* && $(wc -l <<<"$said") == 1 ]] || { failed=1; echo "FAIL  with $*: $said"; }
}

takes "this repository's own node"
takes "this repository's own node" docker
takes "this repository's own node" kind k3d minikube
takes "this repository's own node" docker-down kind
takes "kind's" docker minikube k3d kind
takes "k3d's" docker minikube k3d
takes "minikube's" docker minikube
choice=node takes "this repository's own node" docker kind
choice=minikube takes "minikube's" docker kind minikube
((failed == 0)) && echo "demo: takes the cluster that is there"
