#!/usr/bin/env bash
# Holds the node's mount namespace: run by up.sh as a daemon, with the folders of run and state.
#
# All mounts of the node (root file systems, volumes, pods' network namespaces) are made in here, so
# they go away with its processes, even after a kill -9. And folders that containerd, the kubelet
# and the CNI library have fixed are covered by ours, since they may be a Docker engine's.
set -euo pipefail
run=$1 state=$2

if [[ ${3:-} != inside ]]; then
  # Mounts of the host appear in here, those made in here don't appear there.
  exec unshare --mount --propagation slave -- "${BASH_SOURCE[0]}" "$run" "$state" inside
fi
# Pods can ask for mounts that pass between them and the node.
mount --make-rshared /

cover() {
  mkdir -p "$1" "$2"
  mount --bind "$1" "$2"
}
cover "$run/shims" /run/containerd
cover "$state/cni-results" /var/lib/cni
cover "$state/host-kubelet" /var/lib/kubelet
cover "$state/container-logs" /var/log/containers
touch "$run/mounts.ready"
exec sleep infinity
