#!/usr/bin/env bash
# Holds the operator's manifests and every rendered variant of a service's children against checkov, kube-score and
# the restricted Pod Security Standard, and the bundle for OLM against OLM's and OperatorHub's own validators. Needs the tool
# groups helm, kube-score, olm and pod-security, and no cluster.
#
#   scripts/policy/check.sh
#
# A finding must be in exceptions.txt, with the reason; an exception that nothing needs any more is an error, too.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=charts/tests/lib.sh
. "$here/../../charts/tests/lib.sh"
# shellcheck source=scripts/base-images/lib.sh
. "$here/../base-images/lib.sh"
need jq
exceptions=$here/exceptions.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

requirements=$here/checkov-requirements.txt
checkov=$cache/checkov-$(sha256sum "$requirements" | cut -c1-16)
step "installing checkov" "$root/scripts/python-packages.sh" "$requirements" "$checkov"

# A file for each way of installing, and one for all children of a spec, so that checks see what belongs together.
render_all() {
  local snapshot name
  kubectl kustomize "$root/config/default" >"$work/config-default.yaml"
  # Without the pod of `helm test`, which is none of what is installed; charts/tests/render.sh says that it is as hardened.
  render --skip-tests >"$work/chart-default.yaml"
  render --skip-tests --set-json 'watchNamespaces=["team-a","team-b"]' >"$work/chart-namespaced.yaml"
  for snapshot in "$root"/operator/src/build/snapshots/*__build__tests__*.snap; do
    name=${snapshot##*__}
    # The variant is the first word: empty-deployment.snap is the Deployment of the empty spec.
    { echo ---; sed '1,/^---$/d' "$snapshot"; } >>"$work/children-${name%%-*}.yaml"
  done
}

# Findings as lines: TOOL CHECK VARIANT KIND/NAME
findings() {
  PYTHONPATH=$checkov python3 -m checkov.main --skip-download --quiet --compact --framework kubernetes \
    --directory "$work" --output json 2>"$work/checkov.err" >"$work/checkov.out" || true
  jq -r '.results.failed_checks[] | (.resource | split(".")) as $resource
    | "checkov \(.check_id) \(.file_path | ltrimstr("/") | rtrimstr(".yaml")) \($resource[0])/\($resource[2])"' \
    "$work/checkov.out" || { cat "$work/checkov.err" >&2; die "checkov has failed"; }
  local file
  for file in "$work"/*.yaml; do
    kube-score score --output-format json --enable-optional-test container-seccomp-profile \
      --enable-optional-test container-ports-check "$file" >"$work/kube-score.out" || true
    # Ten is its best grade, null means that a check doesn't apply.
    jq -r --arg file "$(basename "$file" .yaml)" '.[] | "\(.type_meta.kind)/\(.object_meta.name)" as $object
      | .checks[] | select((.skipped | not) and .grade < 10) | "kube-score \(.check.id) \($file) \($object)"' \
      "$work/kube-score.out" || die "kube-score has failed on $file"
  done
}

# The exception that a finding falls under. In the list, a * stands for anything.
exception_for() {
  local found=$1 tool rule variant object reason
  while read -r tool rule variant object reason; do
    [[ -n $tool && $tool != \#* ]] || continue
    [[ -n $reason ]] || die "$exceptions: $tool $rule has no reason"
    # shellcheck disable=SC2053  # a pattern is meant
    [[ $found != $tool\ $rule\ $variant\ $object ]] || { echo "$tool $rule $variant $object"; return; }
  done <"$exceptions"
}

render_all
files=("$work"/*.yaml)
findings | sort -u >"$work/findings"
: >"$work/used"
while read -r finding; do
  exception=$(exception_for "$finding")
  if [[ -n $exception ]]; then
    echo "$exception" >>"$work/used"
  else
    fail "$finding is not in $exceptions: mend it, or list it with a reason"
  fi
done <"$work/findings"
while read -r tool rule variant object _; do
  [[ -n $tool && $tool != \#* ]] || continue
  grep -qxF "$tool $rule $variant $object" "$work/used" ||
    fail "$exceptions lists what nothing needs any more: $tool $rule $variant $object"
done <"$exceptions"
((failed)) || pass "checkov and kube-score: $(wc -l <"$work/findings") findings in ${#files[@]} variants, each listed with a reason"
check "the restricted Pod Security Standard" pod-security "${files[@]}"

# operator-verify ends with 0 whatever it has found. It takes permissions, which name no version, for uses of versions that are
# gone, and says that one of the validators that it has is going to be another.
olm_bundle() {
  local found
  to_json <"$work/config-default.yaml" | jq '.[]' |
    "$root/scripts/release/olm_bundle.py" --version 1.2.3 --time 0 --dest "$work/olm" --repository https://example.com/team/repository
  operator-verify manifests --operatorhub_validate --object_validate "$work/olm/manifests" >"$work/operator-verify.out" 2>&1
  found=$(grep -vE 'deprecated and removed in v1\.25.*ClusterPermissions|\\"operatorhub\\" validator is deprecated' "$work/operator-verify.out" || true)
  [[ -z $found ]] || { echo "$found"; return 1; }
}
check "the bundle for OLM" olm_bundle
summary
