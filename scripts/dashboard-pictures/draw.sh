#!/usr/bin/env bash
# Draws the chart's dashboards as pictures, with what a Prometheus knows, by the components that Grafana publishes on npm:
#
#   scripts/dashboard-pictures/draw.sh PROMETHEUS_URL [DEST]      DEST is docs/images unless given
#
# Needs Node.js 20 or later, Chromium and optipng. Panels without data are named on stderr. By environment:
#   MINUTES         the range that is shown, 15 unless set
#   END             its end in seconds since 1970, now unless set
#   SCRAPE_SECONDS  the interval of the scrapes, as Grafana's data source has it, 15 unless set
#   WIDTH           in pixels; 1400 unless set, or 1200 for a long dashboard
#   THEME           dark or light, dark unless set
set -euo pipefail

if [[ $# -lt 1 || $# -gt 2 ]]; then
  echo "usage: $0 PROMETHEUS_URL [DEST]" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
prometheus=$1
dest=${2:-$root/docs/images}
largest=440000
packages=$root/.cache/dashboard-pictures
modules=$packages/node_modules

"$root/e2e/cluster/deps.sh" chromium fonts-liberation optipng

# The packages stay where they are as long as their versions do.
if ! cmp -s "$here/package-lock.json" "$packages/.installed"; then
  echo "fetching the packages of $here/package-lock.json"
  mkdir -p "$packages"
  cp "$here"/{package.json,package-lock.json,.npmrc} "$packages"
  npm ci --prefix "$packages" --ignore-scripts --no-audit --no-fund --loglevel=error
  cp "$here/package-lock.json" "$packages/.installed"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/page.html" "$work"
NODE_PATH=$modules "$modules/.bin/esbuild" "$here/page.tsx" --bundle --format=iife --minify --jsx=automatic --log-level=error \
  --define:process.env.NODE_ENV='"production"' --loader:.svg=dataurl --loader:.ttf=dataurl --outfile="$work/page.js"

# Where Grafana's server has them.
mkdir -p "$work/public/build" "$work/public/fonts/inter"
ln -s "$modules/@grafana/ui/dist/public/img" "$work/public/build/img"
ln -s "$modules/@fontsource/inter/files/inter-latin-400-normal.woff2" "$work/public/fonts/inter/Inter-Regular.woff2"
ln -s "$modules/@fontsource/inter/files/inter-latin-500-normal.woff2" "$work/public/fonts/inter/Inter-Medium.woff2"

for dashboard in "$root"/charts/kubesentiment-operator/files/dashboards/*.json; do
  picture=$dest/dashboard-$(basename "$dashboard" .json).png
  size=$(node "$here/queries.mjs" "$prometheus" "$dashboard" "$work/data.js")
  # The page is our own, so it needs no sandbox, which root hasn't.
  chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --allow-file-access-from-files --user-data-dir="$work/profile" \
    --enable-logging=stderr --window-size="$size" --virtual-time-budget=20000 --screenshot="$work/picture.png" \
    "file://$work/page.html#${THEME:-dark}" >"$work/chromium.log" 2>&1 || { cat "$work/chromium.log" >&2; exit 1; }
  if grep 'CONSOLE.*"Uncaught' "$work/chromium.log" >&2; then exit 1; fi
  optipng -quiet -o2 "$work/picture.png"
  cp "$work/picture.png" "$picture"
  bytes=$(stat --format=%s "$picture")
  echo "$picture: $bytes bytes"
  ((bytes <= largest)) || { echo "FAIL  it is larger than $largest bytes" >&2; exit 1; }
done
