#!/usr/bin/env bash
# The pictures of docs/monitoring.md, from the node that `make deploy` has set up:
#
#   scripts/dashboard-pictures/from-node.sh [DEST]
#
# Makes a namespace of its own with services that serve and services that fail, has a Prometheus scrape them and the
# operator as config/prometheus says, calls the services for MINUTES (15 unless set), and draws. Needs what draw.sh does,
# Go, and redis-server. The Prometheus is of the version that e2e/cluster/tools/prometheus names.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
suffix=
[[ ${KUBESENTIMENT_NODE:-0} == 0 ]] || suffix=-$KUBESENTIMENT_NODE
export PATH=$PATH:$root/.cluster/bin KUBECONFIG=$root/.cluster/kubeconfig$suffix
export MINUTES=${MINUTES:-15} SCRAPE_SECONDS=15
namespace=shop
port=9390 redis_port=9391
tools=$root/e2e/cluster/tools/prometheus
prometheus=$root/.cache/dashboard-pictures/prometheus

"$root/e2e/cluster/deps.sh" redis-server
if [[ ! -x $prometheus || $tools/go.sum -nt $prometheus ]]; then
  echo "building prometheus ..."
  module=$(mktemp -d)
  cp "$tools"/go.{mod,sum} "$module"
  (cd "$module" && GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 GOFLAGS='-mod=mod -buildvcs=false' \
    go build -trimpath "-ldflags=-s -w" -tags=remove_all_sd,enable_kubernetes_sd -o "$prometheus" github.com/prometheus/prometheus/cmd/prometheus)
  rm -rf "$module"
fi

work=$(mktemp -d)
started=()
clean_up() {
  ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
  wait
  kubectl delete namespace "$namespace" --wait=false --ignore-not-found >/dev/null
  rm -rf "$work"
}
trap clean_up EXIT
address=$(kubectl get nodes --output jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}')

# in_background NAME COMMAND...: in the node's network, with a log.
in_background() {
  "$root/e2e/cluster/exec.sh" "${@:2}" >"$work/$1.log" 2>&1 &
  started+=($!)
}

in_background redis redis-server --bind "$address" --port "$redis_port" --protected-mode no --save '' --dir "$work"
{
  printf 'global: {scrape_interval: %ss}\n' "$SCRAPE_SECONDS"
  sed -e '/^rule_files:/,/^$/d' -e "s#^\( *\)- role: pod#&\n\1  kubeconfig_file: $KUBECONFIG#" "$root/config/prometheus/scrape.yaml"
} >"$work/prometheus.yaml"
in_background prometheus "$prometheus" --config.file="$work/prometheus.yaml" --storage.tsdb.path="$work/data" --web.listen-address="$address:$port"

service() {
  printf -- '---\napiVersion: kubesentiment.io/v1alpha1\nkind: SentimentService\nmetadata: {name: %s, namespace: %s}\nspec: %s\n' "$1" "$namespace" "$2"
}
kubectl create namespace "$namespace" >/dev/null
{
  service reviews "{replicas: 2, cache: {redis: {host: $address, port: $redis_port}}}"
  service mails '{replicas: 1, server: {batching: {queueCapacity: 8}}, env: [{name: MLOPS_ASYNC_BATCH_MAX_JOBS, value: "2"}]}'
  service chats '{replicas: 1, image: {tag: no-such-tag}}'
  service surveys '{replicas: 1, env: [{name: MLOPS_ONNX_MODEL_PATH, value: /no/such/model}]}'
} | kubectl apply -f - >/dev/null
kubectl wait --namespace "$namespace" ssvc/reviews ssvc/mails --for=condition=Ready --timeout=3m >/dev/null

urls=()
for name in reviews mails; do
  urls+=("http://$(kubectl get service --namespace "$namespace" "$name" --output jsonpath='{.spec.clusterIP}'):8000/api/v1")
done
echo "calling the services for $MINUTES minutes ..."
"$root/e2e/cluster/exec.sh" node "$here/load.mjs" "$MINUTES" "${urls[@]}" &
load=$!
started+=("$load")
# Events for the operator, in the midst of it.
sleep $((MINUTES * 30))
kubectl scale --namespace "$namespace" ssvc/mails --replicas=2 >/dev/null
wait "$load"

"$here/draw.sh" "http://$address:$port" "$@"
