#!/usr/bin/env bash
# The chart with its default values and config/default install the same operator: compares them object by object.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=charts/tests/lib.sh
. "$here/lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What belongs to the way of installing, not to the operator: Helm's labels and its keep mark, and
# the namespace, which `helm install --create-namespace` makes outside the chart.
# shellcheck disable=SC2016  # jq's variables
normal='map(select(.kind != "Namespace"))
  | map(walk(if type == "object" then del(."helm.sh/chart", ."app.kubernetes.io/managed-by", ."helm.sh/resource-policy") else . end))
  | map(if .metadata.annotations == {} then del(.metadata.annotations) else . end)
  | map({key: "\(.kind) \(.metadata.namespace // "-")/\(.metadata.name)", value: .}) | from_entries'

# The pod of `helm test` is none of what is installed.
render --skip-tests >"$work/chart.yaml"
kubectl kustomize "$root/config/default" >"$work/config.yaml"
for side in chart config; do
  to_json <"$work/$side.yaml" | jq -S "$normal" >"$work/$side.json"
done

mapfile -t objects < <(jq -r 'keys[]' "$work/chart.json" "$work/config.json" | sort -u)
for object in "${objects[@]}"; do
  for side in chart config; do
    jq --arg key "$object" '.[$key]' "$work/$side.json" >"$work/$side"
  done
  if diff -u --label "$object, from the chart" --label "$object, from config/default" "$work/chart" "$work/config"; then
    pass "$object is the same"
  else
    fail "$object differs"
  fi
done
check "the CRD is among them" grep -q '"CustomResourceDefinition -/sentimentservices.kubesentiment.io"' "$work/chart.json"
check "the chart's copy of the CRD is current (make crds)" \
  cmp "$root/crds/sentimentservices.kubesentiment.io.yaml" "$chart/files/sentimentservices.kubesentiment.io.yaml"
summary
