#!/usr/bin/env bash
# Packages the chart: package-chart.sh VERSION DEST      (helm: e2e/cluster/build-tools.sh helm)
#
# The version of chart and application becomes VERSION. With REPOSITORY_URL, such as https://git.example.com/team/kubesentiment,
# the package says where it is from: home, sources, and Artifact Hub's links. IMAGES, such as registry.example.com/team, stands
# in front of the images of values.yaml and of Artifact Hub's list, and TAG takes the place of their tag. With SOURCE_DATE_EPOCH the
# files have that time, and the same chart is the same package.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH=$root/.cluster/bin:$PATH
[[ $# -eq 2 ]] || { echo "usage: $0 VERSION DEST" >&2; exit 2; }
version=$1 dest=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$root/charts/kubesentiment-operator" "$work/chart"
chart=$work/chart/Chart.yaml values=$work/chart/values.yaml

if [[ -n ${REPOSITORY_URL:-} ]]; then
  url=${REPOSITORY_URL%/}
  sed -i "/^# home, sources and the links/d; s|^annotations:\$|home: $url\nsources:\n  - $url\nannotations:\n  artifacthub.io/links: \|\n    - name: source\n      url: $url\n    - name: documentation\n      url: $url/blob/v$version/docs/README.md\n    - name: changes\n      url: $url/blob/v$version/CHANGELOG.md\n    - name: support\n      url: $url/issues|" "$chart"
fi
for image in kubesentiment-operator sentiment-service; do
  name=${IMAGES:+${IMAGES%/}/}$image
  tag=${TAG:-distroless}
  sed -i "s|image: $image:distroless\$|image: $name:$tag|" "$chart"
  sed -i "/^  repository: $image\$/{s|: .*|: $name|;n;s|^  tag: distroless\$|  tag: \"$tag\"|}" "$values"
done
[[ -z ${SOURCE_DATE_EPOCH:-} ]] || find "$work/chart" -exec touch --date="@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$dest"
helm package "$work/chart" --version "$version" --app-version "$version" --destination "$dest"
