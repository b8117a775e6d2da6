#!/usr/bin/env bash
# Stops the node and removes all that it made: processes, mounts, namespaces, interfaces, cgroups, files.
# Its programs in .cluster/bin and the caches stay. Safe to run at any time.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
lock
[[ ${1:-} == --quiet ]] || echo "stopping the node"

# The kubelet first: it would start again what is stopped after it.
if alive kubelet; then
  kill -KILL "$(cat "$run/kubelet.pid")" 2>/dev/null || true
fi
for _ in $(seq 100); do
  mapfile -t pids < <(node_pids)
  ((${#pids[@]})) || break
  kill -KILL "${pids[@]}" 2>/dev/null || true
  sleep 0.1
done
[[ -z $(node_pids) ]] || die "these processes of the node don't end: $(node_pids | tr '\n' ' ')"

# Mounts of the node end with its processes. This is for what began before it had its own, or was
# half-way there. The innermost mount comes last in the list.
for _ in 1 2 3; do
  mapfile -t mounts < <(node_mounts | tac)
  ((${#mounts[@]})) || break
  for mount in "${mounts[@]}"; do
    umount "$(printf '%b' "$mount")" 2>/dev/null || umount --lazy "$(printf '%b' "$mount")" 2>/dev/null || true
  done
done
# A volume can be a folder of the host's, and what follows removes all that it finds.
[[ -z $(node_mounts) ]] || die "these mounts of the node don't end: $(node_mounts | tr '\n' ' ')"

[[ ! -e $netns_path ]] || ip netns delete "$netns"
# It goes with its peer in the namespace, but not at once.
ip link delete "$host_link" 2>/dev/null || true
# The runtime makes folders in the unified hierarchy of a v1 host, too.
for folder in /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
  [[ ! -d $folder ]] || find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
done
rm -rf "$run" "$state"
rm -f "$kubeconfig"
# Where mounts.sh had to make a folder to mount on. Another node may have the same in use.
if ! compgen -G '/run/kubesentiment-node*' >/dev/null; then
  rmdir /run/containerd /var/lib/cni /var/lib/kubelet /var/log/containers 2>/dev/null || true
fi
