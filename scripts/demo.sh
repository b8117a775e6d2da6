#!/usr/bin/env bash
# From nothing to answers: a real node, the images, the operator, a SentimentService, a few texts.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export KUBECONFIG=$root/.cluster/kubeconfig
export PATH=$PATH:$root/.cluster/bin

started=$SECONDS
"$root/scripts/timed.sh" "a real Kubernetes node (a first build of its programs takes about 15 minutes)" e2e/cluster/up.sh
"$root/scripts/timed.sh" "the images (a first build takes about 10 minutes)" scripts/build-image.sh server server-debug operator
"$root/scripts/timed.sh" "the operator" scripts/deploy.sh

printf '\n=== the service "reviews" in namespace "demo", which admits restricted pods only\n'
kubectl apply -f - >/dev/null <<'EOF'
apiVersion: v1
kind: Namespace
metadata:
  name: demo
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/warn: restricted
EOF
begin=$(date +%s%N)
kubectl -n demo apply -f config/samples/reviews.yaml
kubectl -n demo wait --for=condition=Ready ssvc/reviews --timeout=180s >/dev/null
printf 'ready after %d ms\n\n' "$((($(date +%s%N) - begin) / 1000000))"

url=http://$(kubectl -n demo get service reviews -o 'jsonpath={.spec.clusterIP}:{.spec.ports[0].port}')
# kube-proxy learns of a ready pod a moment after everybody else.
for _ in $(seq 50); do
  ! e2e/cluster/exec.sh curl -sf --max-time 2 -o /dev/null "$url/api/v1/ready" || break
  sleep 0.2
done
printf '%-58s %-9s %7s %9s\n' TEXT LABEL SCORE LATENCY
while read -r text; do
  answer=$(e2e/cluster/exec.sh curl -sS --fail-with-body --max-time 10 "$url/api/v1/predict" \
    -H 'content-type: application/json' -d "$(jq -n --arg text "$text" '{text: $text}')")
  jq -r --arg text "$text" '[$text, .label, .score, .inference_time_ms] | @tsv' <<<"$answer" |
    awk -F '\t' '{printf "%-58s %-9s %7.4f %6.1f ms\n", $1, $2, $3, $4}'
done <<'EOF'
I love this product
Terrible support, I want my money back
The battery lasts all day and the screen is gorgeous
It broke after a week and nobody answers my mails
Fast delivery, friendly people, will buy again
A complete waste of time
EOF

printf '\n$ kubectl get ssvc -A\n'
kubectl get ssvc -A
cat <<EOF

The demo is up after $((SECONDS - started)) s. What to try next:

  export KUBECONFIG=$KUBECONFIG
  kubectl explain ssvc.spec                                 what a service can be told
  kubectl -n demo describe ssvc reviews                     conditions and events
  kubectl -n demo scale ssvc reviews --replicas=2           more pods
  kubectl -n demo delete deployment reviews                 it comes back
  kubectl -n demo patch ssvc reviews --type=merge -p '{"spec":{"image":{"tag":"no-such-tag"}}}'
  kubectl -n demo get ssvc reviews -o wide                  the registry's words; the old pod goes on serving
  kubectl -n demo port-forward service/reviews 8000 &       then: curl localhost:8000/api/v1/health
  make down                                                 stop it all
EOF
