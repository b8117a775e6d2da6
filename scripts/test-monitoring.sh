#!/usr/bin/env bash
# The alert rules and dashboards of the chart, against what operator and server really tell.
#
#   scripts/test-monitoring.sh                scrapes the node that `make deploy` has set up
#   scripts/test-monitoring.sh SCRAPE.prom... takes scrapes that somebody saved
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
suffix=
[[ ${KUBESENTIMENT_NODE:-0} == 0 ]] || suffix=-$KUBESENTIMENT_NODE
export PATH=$PATH:$root/.cluster/bin KUBECONFIG=$root/.cluster/kubeconfig$suffix
chart=$root/charts/kubesentiment-operator
rules=$chart/files/alerts.yaml
tests=$root/charts/tests/alerts.yaml
namespace=monitoring-test
"$root/e2e/cluster/build-tools.sh" prometheus
work=$(mktemp -d)
clean_up() {
  rm -rf "$work"
  [[ -z ${made:-} ]] || kubectl delete namespace "$namespace" --wait=false >/dev/null
}
trap clean_up EXIT

# A service of its own that has answered, refused, cached, compared, been judged, and done a batch job and refused
# another; its scrape, and that of each operator.
scrape_node() {
  made=yes
  kubectl create namespace "$namespace" >/dev/null
  kubectl apply -f - >/dev/null <<EOF
apiVersion: kubesentiment.io/v1alpha1
kind: SentimentService
metadata: {name: scraped, namespace: $namespace}
spec:
  replicas: 1
  env: [{name: MLOPS_ASYNC_BATCH_MAX_JOBS, value: "1"}]
EOF
  kubectl wait --namespace "$namespace" ssvc/scraped --for=condition=Ready --timeout=2m >/dev/null
  local pod ip path call texts url
  pod=$(kubectl get pods --namespace "$namespace" --output jsonpath='{.items[0].metadata.name}')
  ip=$(kubectl get pod --namespace "$namespace" "$pod" --output jsonpath='{.status.podIP}')
  path=$(kubectl get pod --namespace "$namespace" "$pod" --output jsonpath='{.spec.containers[0].readinessProbe.httpGet.path}')
  url=http://$ip:8000${path%/ready}
  # On one connection, so that the second job comes while the first is unfinished.
  printf -v texts '"It broke after %d days",' {1..500}
  "$root/e2e/cluster/exec.sh" curl --silent --show-error --output /dev/null --output /dev/null --max-time 10 \
    --header 'content-type: application/json' --data "{\"texts\": [${texts%,}]}" "$url/batch/predict" "$url/batch/predict"
  # As many predictions as are compared with the drift baseline.
  printf -v texts '"I love it",%.0s' {1..500}
  for call in \
    'predict {"text": "I love it"}' 'predict {"text": "I love it"}' 'predict {"text": ""}' \
    "predict/batch {\"texts\": [${texts%,}]}" \
    'feedback {"prediction_id": "96d7c911-f640-44b3-82f4-0ad05a41a878", "corrected_label": "NEGATIVE"}'; do
    "$root/e2e/cluster/exec.sh" curl --silent --show-error --output /dev/null --max-time 10 \
      --header 'content-type: application/json' --data "${call#* }" "$url/${call%% *}"
  done
  # Until the job has ended. One that never does is missed by the check of the series.
  for _ in {1..30}; do
    kubectl get --raw "/api/v1/namespaces/$namespace/pods/$pod:8081/proxy${path%/ready}/metrics" >"$work/server.prom"
    ! grep -q '^sentiment_batch_jobs_ended_total' "$work/server.prom" || break
    sleep 1
  done
  for pod in $(kubectl get pods --namespace kubesentiment-system --selector app.kubernetes.io/component=operator --output name); do
    pod=${pod#pod/}
    kubectl get --raw "/api/v1/namespaces/kubesentiment-system/pods/$pod:8080/proxy/metrics" >"$work/$pod.prom"
  done
}

if (($# > 0)); then
  scrapes=("$@")
else
  scrape_node
  scrapes=("$work"/*.prom)
fi

promtool check rules "$rules"
promtool check config --syntax-only "$root/config/prometheus/scrape.yaml"
promtool test rules "$tests"
for scrape in "${scrapes[@]}"; do
  promtool check metrics <"$scrape" || { echo "FAIL  $scrape: see above" >&2; exit 1; }
done

# Each alert has a test in which it fires.
mapfile -t alerts < <(sed -n 's/^ *- alert: //p' "$rules")
((${#alerts[@]} > 0))
for alert in "${alerts[@]}"; do
  grep -q "alertname: $alert\$" "$tests" || { echo "FAIL  $tests has no test of $alert" >&2; exit 1; }
  grep -q "^### $alert\$" "$root/docs/monitoring.md" || { echo "FAIL  docs/monitoring.md doesn't explain $alert" >&2; exit 1; }
done

series "$rules" "$chart"/files/dashboards/*.json "${scrapes[@]}"
# The check itself can fail.
sed 's/kubesentiment_operator_leader/kubesentiment_operator_leaders/' "$rules" >"$work/wrong.yaml"
if series "$work/wrong.yaml" "${scrapes[@]}" 2>/dev/null; then
  echo "FAIL  a rule on a series that isn't there was not noticed" >&2
  exit 1
fi
echo "ok    ${#alerts[@]} alerts and $(find "$chart/files/dashboards" -name '*.json' | wc -l) dashboards"
