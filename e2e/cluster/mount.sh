#!/usr/bin/env bash
# Mounts or unmounts where the node's pods see it, and nothing else does:
#
#   e2e/cluster/mount.sh mount -t tmpfs -o size=8k none FOLDER
#   e2e/cluster/mount.sh umount FOLDER
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
[[ -f $run/mounts.pid ]] || die "the node is down: run make cluster"
exec nsenter --mount="/proc/$(<"$run/mounts.pid")/ns/mnt" -- "$@"
