#!/usr/bin/env bash
# From nothing to answers: a cluster, the images, the operator, a SentimentService, a few texts.
#
#   scripts/demo.sh [--which]      --which only says whose the cluster would be
#
# Where a Docker engine answers and kind, k3d or minikube is there, the cluster is theirs, and called kubesentiment; else it is
# this repository's own node. DEMO_CLUSTER=kind, k3d, minikube or node makes the choice.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export PATH=$PATH:$root/.cluster/bin

choose() {
  local tool
  case ${DEMO_CLUSTER:-} in
    kind | k3d | minikube | node) echo "$DEMO_CLUSTER"; return ;;
    '') ;;
    *) echo "DEMO_CLUSTER is kind, k3d, minikube or node, not $DEMO_CLUSTER" >&2; return 2 ;;
  esac
  if timeout 10 docker info >/dev/null 2>&1; then
    for tool in kind k3d minikube; do
      ! command -v "$tool" >/dev/null || { echo "$tool"; return; }
    done
  fi
  echo node
}

# They write their kubeconfig where KUBECONFIG says.
start_cluster() {
  case $cluster in
    kind) kind get clusters 2>/dev/null | grep -qx kubesentiment || kind create cluster --name kubesentiment ;;
    k3d) k3d cluster get kubesentiment >/dev/null 2>&1 || k3d cluster create kubesentiment ;;
    minikube) minikube start --profile kubesentiment ;;
    node) e2e/cluster/up.sh ;;
  esac
}

build_images() {
  case $cluster in
    node) scripts/build-image.sh server server-debug operator ;;
    *) IMAGE_BUILDER=docker scripts/build-image.sh server operator ;;
  esac
}

install_operator() {
  local image
  local -a images=(sentiment-service:distroless kubesentiment-operator:distroless)
  case $cluster in
    kind) kind load docker-image "${images[@]}" --name kubesentiment ;;
    k3d) k3d image import "${images[@]}" --cluster kubesentiment ;;
    minikube) for image in "${images[@]}"; do minikube image load "$image" --profile kubesentiment; done ;;
    node) scripts/deploy.sh; return ;;
  esac
  kubectl apply --server-side --force-conflicts -k config/default >/dev/null
  kubectl -n kubesentiment-system rollout status deployment/kubesentiment-operator --timeout 120s
}

# step TITLE COMMAND...: one of the three that come before the service.
step() {
  local title=$1 begin=$SECONDS
  shift
  steps=$((steps + 1))
  printf '\n=== %d of 4: %s\n' "$steps" "$title"
  "$@"
  printf '=== %d of 4: done in %d s\n' "$steps" "$((SECONDS - begin))"
}

cluster=$(choose)
first="about 10 minutes the first time, while its programs are built, and 12 s from then on"
case $cluster in
  node) whose="this repository's own node, as root; with Docker and kind, k3d or minikube it would be theirs" stop="make down" ;;
  kind) whose="kind's, since Docker and kind are here" stop="kind delete cluster --name kubesentiment" ;;
  k3d) whose="k3d's, since Docker and k3d are here" stop="k3d cluster delete kubesentiment" ;;
  minikube) whose="minikube's, since Docker and minikube are here" stop="minikube delete --profile kubesentiment" ;;
esac
[[ $cluster == node ]] || first="its own time, as you know it"
echo "The cluster is $whose. DEMO_CLUSTER makes another choice."
[[ ${1:-} != --which ]] || exit 0

mkdir -p .cluster
export KUBECONFIG=$root/.cluster/kubeconfig
[[ $cluster == node ]] || KUBECONFIG+=-demo
started=$SECONDS steps=0
# The times are those of two cores in docs/development.md.
step "a cluster ($first)" start_cluster
step "the images (about 6 minutes the first time, while Rust is compiled)" build_images
step "the operator" install_operator

printf '\n=== 4 of 4: the service "reviews" in namespace "demo", which admits restricted pods only\n'
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

# Through the API server, from wherever this runs.
url=/api/v1/namespaces/demo/services/reviews:http/proxy/api/v1
# Service addresses learn of a ready pod a moment after everybody else.
for _ in $(seq 50); do
  ! kubectl get --raw "$url/ready" >/dev/null 2>&1 || break
  sleep 0.2
done
printf '%-58s %-9s %7s %9s\n' TEXT LABEL SCORE LATENCY
while read -r text; do
  answer=$(jq -n --arg text "$text" '{text: $text}' | kubectl create --raw "$url/predict" -f -)
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
  $(printf '%-58s' "$stop")stop it all
EOF
