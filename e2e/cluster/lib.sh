# What the scripts of the test node share. Sourced, not run.
# shellcheck shell=bash disable=SC2034

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=$root/.cluster/bin
logs=$root/.cluster/logs
kubeconfig=$root/.cluster/kubeconfig
cache=${KUBESENTIMENT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubesentiment}

# There is one test node a machine, whichever clone started it, so these are fixed. They are short,
# too: a Unix socket's path holds at most 107 bytes, and a clone may lie deep.
run=/run/kubesentiment-node
state=/var/lib/kubesentiment-node
cgroup=kubesentiment-node
netns=kubesentiment
netns_path=/run/netns/$netns

host_ip=10.200.0.1
node_ip=10.200.0.2
pod_cidr=10.201.0.0/24
service_cidr=10.96.0.0/16
api_service_ip=10.96.0.1
dns_ip=10.96.0.10
api=https://$node_ip:6443

step_began=$SECONDS
# Says what begins; the next one says how long it took.
step() {
  step_done
  step_name=$1
  step_began=$SECONDS
  printf '==> %s\n' "$step_name"
}
step_done() {
  [[ -z ${step_name:-} ]] || printf '    done in %d s\n' "$((SECONDS - step_began))"
  step_name=
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

need_root() {
  [[ $EUID == 0 ]] || die "the test node needs root: it makes network namespaces, mounts and cgroups"
}

# Runs a command in the node's network. Not `ip netns exec`: that mounts /sys anew, and the
# kubelet then finds no cgroups.
in_node() {
  nsenter --net="$netns_path" -- "$@"
}

ctr_node() {
  CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=true "$bin/ctr" --address "$run/containerd.sock" --namespace k8s.io "$@"
}

# Folders of our cgroup: one a hierarchy on cgroup v1, one on v2.
cgroup_roots() {
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    echo "/sys/fs/cgroup/$cgroup"
  else
    local hierarchy
    for hierarchy in /sys/fs/cgroup/*/; do
      # The unified hierarchy of a v1 host has no controllers and isn't used.
      [[ -e $hierarchy/cgroup.procs && $(basename "$hierarchy") != unified ]] && echo "$hierarchy$cgroup"
    done
  fi
  return 0
}

# Every process of the node: each daemon is started in our cgroup, and what they start stays below
# it. No name is matched, so nobody else's process is ever meant.
node_pids() {
  local folder
  cgroup_roots | while read -r folder; do
    [[ -d $folder ]] && find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null
  done | sort -un
}
