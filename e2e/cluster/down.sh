#!/usr/bin/env bash
# Stops the node and removes all that it made: processes, mounts, namespaces, interfaces, cgroups, files.
# Its programs in .cluster/bin and the caches stay. Safe to run at any time.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
[[ ${1:-} == --quiet ]] || echo "stopping the node"

# The kubelet first: it would start again what is stopped after it.
if [[ -f $run/kubelet.pid ]] && node_pids | grep -qx "$(cat "$run/kubelet.pid")"; then
  kill -KILL "$(cat "$run/kubelet.pid")" 2>/dev/null || true
fi
for _ in $(seq 100); do
  mapfile -t pids < <(node_pids)
  ((${#pids[@]})) || break
  kill -KILL "${pids[@]}" 2>/dev/null || true
  sleep 0.1
done
[[ -z $(node_pids) ]] || die "these processes of the node don't end: $(node_pids | tr '\n' ' ')"

# The innermost mount comes last in the list.
for _ in 1 2 3; do
  mapfile -t mounts < <(awk -v run="$run/" -v state="$state/" 'index($5, run) == 1 || index($5, state) == 1 {print $5}' /proc/self/mountinfo | tac)
  ((${#mounts[@]})) || break
  for mount in "${mounts[@]}"; do
    umount "$(printf '%b' "$mount")" 2>/dev/null || umount --lazy "$(printf '%b' "$mount")" 2>/dev/null || true
  done
done

[[ ! -e $netns_path ]] || ip netns delete "$netns"
# It goes with its peer in the namespace, but not at once.
ip link delete ksn-host 2>/dev/null || true
# The runtime makes folders in the unified hierarchy of a v1 host, too.
for folder in /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
  [[ ! -d $folder ]] || find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
done
rm -rf "$run" "$state"
rm -f "$kubeconfig"
