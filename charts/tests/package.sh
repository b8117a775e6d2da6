#!/usr/bin/env bash
# What the chart tells of itself, and what is in its package.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=charts/tests/lib.sh
. "$here/lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A chart that prints Chart.yaml's annotations, each read as YAML: helm is the one that reads YAML here.
mkdir -p "$work/chart/templates"
cp "$chart/Chart.yaml" "$work/chart/Chart.yaml"
cat >"$work/chart/templates/annotations.yaml" <<'TEMPLATE'
{{- $read := dict }}
{{- range $name, $text := .Chart.Annotations }}
{{- $_ := set $read (trimPrefix "artifacthub.io/" $name) (get (fromYaml (printf "value:\n%s" (indent 2 $text))) "value") }}
{{- end }}
{{ toJson $read }}
TEMPLATE
helm template chart "$work/chart" | grep '^{' >"$work/annotations.json"
# shellcheck disable=SC2119  # the default values are what is compared
render | to_json >"$work/objects.json"

# says TITLE FILTER: jq's FILTER is true of the annotations; $objects are the chart's.
# shellcheck disable=SC2016  # jq's variables
says() {
  check "$1" jq -e --slurpfile all "$work/objects.json" '$all[0] as $objects | '"$2" "$work/annotations.json" >"$work/out"
  grep -v '^true$' "$work/out" || true
}

# shellcheck disable=SC2016  # jq's variables
{
  says "the images are those of the default values" '
    ([.images[].image] | sort) == ([$objects[] | select(.kind == "Deployment") | .spec.template.spec.containers[0]
      | .image, (.env[] | select(.name == "DEFAULT_IMAGE") | .value)] | sort)'
  says "the CRD is the one that is installed" '
    [.crds[] | "\(.name) \(.kind) \(.version)"] == [$objects[] | select(.kind == "CustomResourceDefinition")
      | "\(.metadata.name) \(.spec.names.kind) \(.spec.versions[] | select(.storage) | .name)"]'
  says "each example is of that CRD" '(.crds[0]) as $crd | .crdsExamples | length > 1
    and all(.kind == $crd.kind and .apiVersion == "kubesentiment.io/" + $crd.version and .metadata.name != null and has("spec"))'
  says "each change is of a kind that Artifact Hub knows" '
    .changes | length > 3 and all((.kind | IN("added", "changed", "deprecated", "removed", "fixed", "security")) and (.description | length > 0))'
  says "it is an operator, and says under what licence" '.operator == true and .license == "Apache-2.0" and .operatorCapabilities == "Seamless Upgrades"'
}
# The changelog's lines are broken, and its words are not.
tr -s '\n ' ' ' <"$root/CHANGELOG.md" | tr -d '*' >"$work/changelog"
while read -r change; do
  check "in CHANGELOG.md: $change" grep -qF -- "$change" "$work/changelog"
done < <(jq -r '.changes[].description' "$work/annotations.json")

REPOSITORY_URL=https://git.example.com/team/kubesentiment/ IMAGES=registry.example.com/team TAG=1.2.3 SOURCE_DATE_EPOCH=1700000000 \
  "$root/scripts/package-chart.sh" 1.2.3 "$work/dist" >"$work/out"
package=$work/dist/kubesentiment-operator-1.2.3.tgz
check "its files have the time that was given" test "$(TZ=UTC tar -tvzf "$package" | grep -c ' 2023-11-14 22:13 ')" = "$(tar -tzf "$package" | wc -l)"
helm show chart "$package" >"$work/Chart.yaml"
has() { check "the package says $1" grep -qE -- "$1" "$work/Chart.yaml"; }
has '^version: 1\.2\.3$'
has '^appVersion: 1\.2\.3$'
has '^home: https://git\.example\.com/team/kubesentiment$'
has 'image: registry\.example\.com/team/sentiment-service:1\.2\.3$'
has 'url: https://git\.example\.com/team/kubesentiment/blob/v1\.2\.3/CHANGELOG\.md$'
helm template kubesentiment-operator "$package" --namespace kubesentiment-system | to_json >"$work/packaged.json"
check "it installs the images that it names" jq -e '
  .[] | select(.kind == "Deployment") | .spec.template.spec.containers[0]
  | .image == "registry.example.com/team/kubesentiment-operator:1.2.3"
    and (.env | any(.name == "DEFAULT_IMAGE" and .value == "registry.example.com/team/sentiment-service:1.2.3"))' "$work/packaged.json"
check "helm lint --strict of the package" helm lint --strict --quiet "$package"
summary
