# shellcheck shell=bash
# What the chart's tests share. To be sourced. Needs helm, kubectl and jq, and no cluster.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
chart=$root/charts/kubesentiment-operator
PATH=$root/.cluster/bin:$PATH
passed=0 failed=0

for program in helm kubectl jq; do
  command -v "$program" >/dev/null || {
    echo "$0: $program is missing (helm: e2e/cluster/build-tools.sh helm; jq: a package of Debian's)" >&2
    exit 1
  }
done

pass() { passed=$((passed + 1)); echo "ok    $*"; }
fail() { failed=$((failed + 1)); echo "FAIL  $*"; }

# check TITLE COMMAND...
check() {
  local title=$1
  shift
  if "$@"; then pass "$title"; else fail "$title"; fi
}

summary() {
  echo "$passed passed, $failed failed"
  ((failed == 0 && passed > 0))
}

# The chart's objects with the names that config/ has.
# shellcheck disable=SC2120
render() { helm template "${RELEASE:-kubesentiment-operator}" "$chart" --namespace kubesentiment-system "$@"; }

# YAML objects to one JSON array. The removal of an annotation that nobody has is kubectl's way to
# read and print objects without an API server, custom ones included.
to_json() {
  local file
  file=$(mktemp)
  cat >"$file"
  kubectl annotate --local --dry-run=client --filename "$file" --output json kubesentiment.io/none- | jq -s .
  rm -f "$file"
}
