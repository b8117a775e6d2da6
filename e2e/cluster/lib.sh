# What the scripts of the test node share. Sourced, not run.
# shellcheck shell=bash disable=SC2034

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=$root/.cluster/bin
cache=${KUBESENTIMENT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubesentiment}

# There is one test node a machine, whichever clone started it, so its places are fixed. They are
# short, too: a Unix socket's path holds at most 107 bytes, and a clone may lie deep.
# A number in KUBESENTIMENT_NODE means another node beside it, which nothing but that number reaches:
# so the self-test can kill what it likes while somebody's demo goes on.
node_number=${KUBESENTIMENT_NODE:-0}
[[ $node_number =~ ^(0|[1-9][0-9]?)$ ]] || { echo "error: KUBESENTIMENT_NODE is a number from 0 to 99, not '$node_number'" >&2; exit 2; }
suffix=
((node_number == 0)) || suffix=-$node_number
run=/run/kubesentiment-node$suffix
state=/var/lib/kubesentiment-node$suffix
lock_file=/run/lock/kubesentiment-node$suffix.lock
cgroup=kubesentiment-node$suffix
netns=kubesentiment$suffix
netns_path=/run/netns/$netns
host_link=ksn-host$suffix
kubeconfig=$root/.cluster/kubeconfig$suffix
logs=$root/.cluster/logs$suffix

host_ip=10.200.$node_number.1
node_ip=10.200.$node_number.2
# These exist in the node's own network alone.
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

# Waits for whoever else starts or stops this node. `up` calls `down` while it holds the lock.
lock() {
  [[ -z ${KUBESENTIMENT_LOCKED:-} ]] || return 0
  mkdir -p "$(dirname "$lock_file")"
  exec 9>"$lock_file"
  if ! flock --nonblock 9; then
    echo "waiting for another run of these scripts ..."
    flock --timeout 1200 9 || die "another run has held $lock_file for 20 minutes"
  fi
  export KUBESENTIMENT_LOCKED=1
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

make_cgroups() {
  local folder below controller
  while read -r folder; do
    mkdir -p "$folder/daemons"
    # On cgroup v1 a cpuset begins empty, and an empty one takes no process.
    if [[ -e $folder/cpuset.cpus && -e $(dirname "$folder")/cpuset.cpus && ! -e $folder/cgroup.controllers ]]; then
      for below in "$folder" "$folder/daemons"; do
        cat "$(dirname "$folder")/cpuset.cpus" >"$below/cpuset.cpus"
        cat "$(dirname "$folder")/cpuset.mems" >"$below/cpuset.mems"
      done
    fi
    # On cgroup v2 the kubelet wants each controller that the root has, handed down to its own root.
    [[ -e /sys/fs/cgroup/cgroup.controllers ]] || continue
    for controller in cpu cpuset memory hugetlb pids io; do
      grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers || continue
      for below in /sys/fs/cgroup "$folder"; do
        { echo "+$controller" >"$below/cgroup.subtree_control"; } 2>/dev/null ||
          die "can't hand the cgroup controller '$controller' down from $below: inside a container, give it the host's cgroup namespace"
      done
    done
  done < <(cgroup_roots)
}

# Every process of the node: each daemon is started in our cgroup, and what they start stays below
# it. No name is matched, so nobody else's process is ever meant.
node_pids() {
  local folder
  cgroup_roots | while read -r folder; do
    [[ -d $folder ]] && find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null
  done | sort -un
}

# alive DAEMON: its process runs and is ours. A number alone could be somebody else's by now.
alive() {
  local pid line
  pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  while read -r line; do
    [[ $line != *:/"$cgroup"/* ]] || return 0
  done 2>/dev/null </proc/"$pid"/cgroup
  return 1
}

# Mounts below the node's folders, outermost first.
node_mounts() {
  awk -v run="$run/" -v state="$state/" 'index($5, run) == 1 || index($5, state) == 1 {print $5}' /proc/self/mountinfo
}

kubectl() {
  PATH=$PATH:$bin command kubectl --kubeconfig "$kubeconfig" --request-timeout 10s "$@"
}

# start NAME COMMAND...: a daemon in the node's network, mounts and cgroup, with a log of its own.
start() {
  local name=$1
  shift
  (
    # Before anything else, so that whatever this becomes can be found and ended by its cgroup.
    self=$BASHPID # in a pipe, BASHPID is the pipe's
    cgroup_roots | while read -r folder; do echo "$self" >"$folder/daemons/cgroup.procs"; done
    # The lock is released when this script ends, not when the daemon does.
    exec </dev/null >>"$logs/$name.log" 2>&1 9>&-
    mounts=()
    [[ $name == mounts ]] || mounts=(--mount="/proc/$(cat "$run/mounts.pid")/ns/mnt")
    # Nothing of the caller's environment: a proxy's address, for one, would send the API server's
    # calls of the kubelet to that proxy.
    exec setsid nsenter --net="$netns_path" "${mounts[@]}" -- \
      env -i HOME=/root PATH="$bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$@"
  ) &
  echo $! >"$run/$name.pid"
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    ! alive "$name" || break
    sleep 0.02
  done
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
  local what=$2 end=$((SECONDS + $1)) file daemon
  shift 2
  until "$@" >/dev/null 2>&1; do
    for file in "$run"/*.pid; do
      daemon=$(basename "$file" .pid)
      alive "$daemon" || { tail -n 5 "$logs/$daemon.log" >&2; die "$daemon has ended; its log is $logs/$daemon.log"; }
    done
    ((SECONDS < end)) || die "$what isn't ready in time; the logs are in $logs"
    sleep 0.2
  done
}
