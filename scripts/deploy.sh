#!/usr/bin/env bash
# Puts the images on the test node and installs the operator, or updates it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
suffix=
[[ ${KUBESENTIMENT_NODE:-0} == 0 ]] || suffix=-$KUBESENTIMENT_NODE
export KUBECONFIG=$root/.cluster/kubeconfig$suffix
export PATH=$PATH:$root/.cluster/bin

"$root/e2e/cluster/load-image.sh" sentiment-service:distroless sentiment-service:distroless-debug kubesentiment-operator:distroless
kubectl apply --server-side --force-conflicts -k "$root/config/default" >/dev/null
# The tag never changes: a new image shows only in a new pod.
image=$("$root/e2e/cluster/load-image.sh" --id kubesentiment-operator:distroless)
kubectl -n kubesentiment-system patch deployment kubesentiment-operator --type merge >/dev/null \
  -p "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"kubesentiment.io/test-image\":\"$image\"}}}}}"
kubectl -n kubesentiment-system rollout status deployment/kubesentiment-operator --timeout 120s >/dev/null
