#!/usr/bin/env bash
# Runs a command under a title, and says how long it took:  scripts/timed.sh TITLE COMMAND...
set -euo pipefail
title=$1
shift
begin=$SECONDS
printf '\n=== %s\n' "$title"
"$@" || { status=$?; printf '=== %s: FAILED after %d s\n' "$title" "$((SECONDS - begin))"; exit "$status"; }
printf '=== %s: passed in %d s\n' "$title" "$((SECONDS - begin))"
