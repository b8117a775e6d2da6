#!/usr/bin/env bash
# Starts programs that some tests need beside the node's own. They end with the node.
#
#   e2e/cluster/addon.sh metrics-server   the resource metrics API, for autoscaling
#   e2e/cluster/addon.sh kube-router      enforces NetworkPolicies, by the node's firewall
#   e2e/cluster/addon.sh stores           an S3 gateway, and emulators of Google's and Azure's object stores
#   e2e/cluster/addon.sh flux             Flux's source-controller and kustomize-controller, in namespace flux-system
#
# One that runs is left alone. All are processes of the node, with an administrator's kubeconfig.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
(($#)) || { sed -n '2,/^# One that/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
admin=$state/pki/admin.kubeconfig
[[ -f $run/ready ]] || die "the node is down: run make cluster"

add_metrics_server() {
  "$here/build-tools.sh" metrics-server
  # Ten seconds is the shortest that it takes.
  start metrics-server "$bin/metrics-server" --secure-port 4443 --cert-dir "$state/metrics-server" \
    --kubeconfig "$admin" --authentication-kubeconfig "$admin" --authorization-kubeconfig "$admin" \
    --kubelet-preferred-address-types InternalIP --kubelet-certificate-authority "$state/pki/ca.crt" \
    --metric-resolution 10s --kubelet-request-timeout 5s
  # The API server finds a process outside of all pods by an EndpointSlice that no selector made.
  kubectl apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec: {ports: [{name: https, port: 443, targetPort: 4443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: metrics-server, namespace: kube-system, labels: {kubernetes.io/service-name: metrics-server}}
addressType: IPv4
endpoints: [{addresses: ["$node_ip"], conditions: {ready: true}}]
ports: [{name: https, port: 4443, protocol: TCP}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  service: {name: metrics-server, namespace: kube-system}
  group: metrics.k8s.io
  version: v1beta1
  insecureSkipTLSVerify: true # it signs its own certificate
  groupPriorityMinimum: 100
  versionPriority: 100
YAML
  wait_for 60 "the metrics of the node" kubectl get --raw /apis/metrics.k8s.io/v1beta1/nodes/node
}

add_kube_router() {
  "$here/build-tools.sh" kube-router
  # kube-proxy routes the Services, and the CNI plugin the pods: only the firewall is wanted.
  start kube-router "$bin/kube-router" --kubeconfig "$admin" --hostname-override node --enable-ipv6=false \
    --run-firewall=true --run-router=false --run-service-proxy=false --run-loadbalancer=false \
    --service-cluster-ip-range "$service_cidr" --health-port 0 --metrics-port 0
  wait_for 60 "the firewall" in_node iptables --list KUBE-ROUTER-FORWARD
}

add_flux() {
  "$here/build-tools.sh" flux
  local module folder
  for module in source-controller kustomize-controller; do
    folder=$(cd "$here/tools/flux" && go mod download "github.com/fluxcd/$module" &&
      go list -m -f '{{.Dir}}' "github.com/fluxcd/$module")
    kubectl apply --server-side -f "$folder/config/crd/bases" >/dev/null
  done
  kubectl create namespace flux-system --dry-run=client --output yaml | kubectl apply -f - >/dev/null
  kubectl wait --for=condition=Established --timeout=30s crd/ocirepositories.source.toolkit.fluxcd.io \
    crd/kustomizations.kustomize.toolkit.fluxcd.io >/dev/null
  mkdir -p "$state/flux"
  start source-controller env KUBECONFIG="$admin" RUNTIME_NAMESPACE=flux-system TUF_ROOT="$state/flux/sigstore" \
    "$bin/source-controller" --watch-all-namespaces --storage-path "$state/flux" \
    --storage-addr 127.0.0.1:9090 --storage-adv-addr 127.0.0.1:9090 \
    --metrics-addr 127.0.0.1:9081 --health-addr 127.0.0.1:9082
  start kustomize-controller env KUBECONFIG="$admin" RUNTIME_NAMESPACE=flux-system \
    "$bin/kustomize-controller" --watch-all-namespaces --metrics-addr 127.0.0.1:9091 --health-addr 127.0.0.1:9092
  wait_for 60 "Flux's source-controller" in_node curl --silent --fail http://127.0.0.1:9082/readyz
  wait_for 60 "Flux's kustomize-controller" in_node curl --silent --fail http://127.0.0.1:9092/readyz
}

# Ports 7001 to 7003 of the node, each with the tiny model of the server's tests at three/ of its bucket or container `models`.
add_stores() {
  "$here/build-tools.sh" stores
  command -v npm >/dev/null || "$here/deps.sh" nodejs npm
  # Later ones want a newer Node.js than Debian has.
  local azurite=$root/.cache/azurite model=$root/inference-server/tests/fixtures/three-labels stores=$state/stores
  [[ -d $azurite/node_modules/azurite ]] || npm install --silent --no-fund --no-audit --prefix "$azurite" azurite@3.34.0
  mkdir -p "$stores/s3/models" "$stores/gcs/models" "$stores/azure"
  cp -r "$model" "$stores/s3/models/three"
  cp -r "$model" "$stores/gcs/models/three"
  start versitygw env ROOT_ACCESS_KEY=tester ROOT_SECRET_KEY=tester-secret \
    "$bin/versitygw" --port "$node_ip:7001" posix "$stores/s3"
  start fake-gcs-server "$bin/fake-gcs-server" -scheme http -host "$node_ip" -port 7002 -backend memory \
    -data "$stores/gcs" -external-url "http://$node_ip:7002" -public-host "$node_ip:7002"
  start azurite node "$azurite/node_modules/azurite/dist/src/blob/main.js" --silent --skipApiVersionCheck \
    --disableTelemetry --location "$stores/azure" --blobHost "$node_ip" --blobPort 7003
  wait_for 60 "the object stores" in_node bash -c "for port in 7001 7002 7003; do curl --silent --output /dev/null http://$node_ip:\$port/; done"
  in_node python3 "$here/azure-blob.py" "http://$node_ip:7003" models "$model" three
}

lock
for addon in "$@"; do
  case $addon in
    metrics-server) alive metrics-server || add_metrics_server ;;
    kube-router) alive kube-router || add_kube_router ;;
    stores) { alive versitygw && alive fake-gcs-server && alive azurite; } || add_stores ;;
    flux) { alive source-controller && alive kustomize-controller; } || add_flux ;;
    *) die "no addon '$addon'; there are metrics-server, kube-router, stores and flux" ;;
  esac
  echo "$addon runs"
done
