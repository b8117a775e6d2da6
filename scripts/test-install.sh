#!/usr/bin/env bash
# As somebody new would: the lines of docs/install.md, word for word, in an empty folder with the files of a release, on the
# test node and its registry. Says how long each took. The node's own operator makes way, and comes back.
#
#   scripts/test-install.sh DIST VERSION      DIST: a signed release of VERSION; the node is up (make deploy)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$root/scripts/base-images/lib.sh"
export KUBECONFIG=$root/.cluster/kubeconfig PATH=$PATH:$root/.cluster/bin

[[ $# -eq 2 ]] || die "usage: $0 DIST VERSION"
dist=$(realpath "$1") version=$2
need skopeo jq openssl
work=$(mktemp -d)

# The blocks of the section, each with the heading that it stands under. Where the page has a name to be replaced by one's
# own, it is.
blocks() {
  awk '
    /^## / {inside = ($0 == "## From a release")}
    !inside {next}
    /^### / {heading = substr($0, 5)}
    /^```bash$/ {print "begin \"" heading "\""; code = 1; next}
    /^```$/ && code {print "end"; code = 0; next}
    code' "$root/docs/install.md" |
    sed -e "s|^VERSION=.*|VERSION=$version|" -e 's|^REGISTRY=.*|REGISTRY=127.0.0.1:5000/team|'
}

restore() {
  local status=$?
  cd "$root"
  rm -rf "$work"
  "$root/scripts/deploy.sh" || status=1
  exit "$status"
}
trap restore EXIT

mkdir -p "$work/folder" "$work/home/.config/containers"
cp "$dist"/* "$work/folder/"
# The node's registry has no certificate; every other one would have.
printf '[[registry]]\nlocation = "127.0.0.1:5000"\ninsecure = true\n' >"$work/home/.config/containers/registries.conf"
{
  cat <<'EOF'
set -euo pipefail
begin() { heading=$1 began=$(date +%s%N); }
end() { printf '=== %-18s %6d ms\n' "${heading:-Names}" "$((($(date +%s%N) - began) / 1000000))"; }
EOF
  blocks
} >"$work/commands.sh"
(($(grep -c '^end$' "$work/commands.sh") > 7)) || die "docs/install.md has lost the section that is run here"

kubectl delete -k "$root/config/default" --ignore-not-found --timeout=2m >/dev/null
cd "$work/folder"
begin=$SECONDS
HOME=$work/home PATH=$work/home/.local/bin:$PATH \
  "$root/e2e/cluster/exec.sh" bash "$work/commands.sh" | tee "$work/output"
grep -q '^POSITIVE ' "$work/output" || die "there was no prediction"
! kubectl get customresourcedefinition sentimentservices.kubesentiment.io 2>/dev/null || die "something is left"
echo "from the files to a prediction and back in $((SECONDS - begin)) s, by the words of docs/install.md"
