#!/usr/bin/env bash
# values.yaml, values.schema.json and the chart's README have the same values, and the schema lets nothing else through.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=charts/tests/lib.sh
. "$here/lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
schema=$chart/values.schema.json

# A chart that is nothing but these values, and prints them: helm is the one that reads YAML here.
mkdir -p "$work/chart/templates"
printf 'apiVersion: v2\nname: values\nversion: 0.0.0\n' >"$work/chart/Chart.yaml"
cp "$chart/values.yaml" "$work/chart/values.yaml"
echo '{{ toJson .Values }}' >"$work/chart/templates/values.yaml"
helm template values "$work/chart" | grep '^{' >"$work/values.json"

# Paths of values.yaml, and those of the schema; what is below a map of the user's own isn't followed in either.
# shellcheck disable=SC2016  # jq's variables
paths='
  def resolved($root): if has("$ref") then (."$ref" | ltrimstr("#/") / "/") as $at | $root | getpath($at) else . end;
  def tree($root): resolved($root) | if has("properties") then .properties | to_entries[]
      | [.key], ([.key] + (.value | tree($root))) else empty end;'
jq -r "$paths . as \$root | tree(\$root) | join(\".\")" "$schema" | grep -vx global | sort >"$work/schema"
jq -r --slurpfile schema "$schema" "$paths"'
  $schema[0] as $root
  | def walked($node): to_entries[] | .key as $key | ($node | resolved($root)) as $here
      | [$key], (if (.value | type) == "object" and ($here.properties[$key] // {} | resolved($root) | has("properties"))
        then [$key] + (.value | walked($here.properties[$key])) else empty end);
    walked($root) | join(".")' "$work/values.json" | sort >"$work/values"
# What a map may hold has no place in values.yaml while the map is empty.
grep -vE '^resources\.' "$work/schema" >"$work/schema.fixed"
grep -vE '^resources\.' "$work/values" >"$work/values.fixed"

while read -r path; do
  if grep -qxF -- "$path" "$work/schema.fixed"; then pass "$path is in the schema"; else fail "values.yaml has $path, and the schema hasn't"; fi
done <"$work/values.fixed"
while read -r path; do
  grep -qxF -- "$path" "$work/values.fixed" || fail "the schema has $path, and values.yaml hasn't"
done <"$work/schema.fixed"

# An object either has its properties named, and no others, or says what any value in it is.
open=$(jq -r '. as $root | [paths(type == "object")] | .[] | . as $at | $root | getpath($at)
  | select(has("properties") and (.type == "object") and .additionalProperties != false) | $at | join("/")' "$schema")
check "no object of the schema takes what it doesn't name${open:+: $open}" test -z "$open"
check "nor does the schema itself" jq -e '.additionalProperties == false' "$schema" >"$work/out"

# The README names each value, the second level by its last part.
while read -r path; do
  name=${path##*.}
  if grep -qE "^\| .*\`(${path//./\\.}|\.${name})\`" "$chart/README.md"; then continue; fi
  jq -e --arg path "$path" 'getpath($path / ".") | type == "object" and . != {}' "$work/values.json" >"$work/out" ||
    fail "the chart's README doesn't tell of $path"
done <"$work/values.fixed"
summary
