#!/usr/bin/env bash
# Runs a command in the network of the node, from where pods and Services are reached:
#
#   e2e/cluster/exec.sh curl http://10.96.0.10:53
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
[[ -e $netns_path ]] || die "the node is down: run make cluster"
exec nsenter --net="$netns_path" -- "$@"
