#!/usr/bin/env bash
# Starts a real single-node Kubernetes in a network namespace of its own, and writes .cluster/kubeconfig.
#
# With a healthy node of this clone it returns at once. Whatever else it finds (a killed run, a node
# of another clone, files from before a reboot) it clears away first, with all that ran on it.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root

daemons=(etcd kube-apiserver kube-controller-manager kube-scheduler registry containerd kubelet kube-proxy)

# What keeps this node from being used as it is, or nothing.
trouble() {
  local daemon
  [[ -f $run/ready ]] || { echo "an unfinished start"; return; }
  [[ $(cat "$run/ready") == "$root" ]] || { echo "the node of another clone, $(cat "$run/ready")"; return; }
  for daemon in "${daemons[@]}"; do
    alive "$daemon" || { echo "a node whose $daemon is gone"; return; }
  done
  [[ -f $kubeconfig ]] || { echo "a node without its kubeconfig"; return; }
  [[ $(kubectl get node node -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) == True &&
    $(kubectl -n kube-system get deployment coredns -o 'jsonpath={.status.availableReplicas}' 2>/dev/null) == 1 ]] ||
    echo "a node that isn't ready"
}

lock
if [[ -e $run || -d $state || -e $netns_path || -n $(node_pids) ]]; then
  reason=$(trouble)
  if [[ -z $reason ]]; then
    echo "the node is up"
    exit 0
  fi
  step "clearing away $reason"
  "$here/down.sh" --quiet
  step_done
fi

"$here/deps.sh"
"$here/build-tools.sh" kubernetes etcd containerd coredns registry

step "network, mounts and cgroups"
mkdir -p "$run" "$state" "$logs" "$state/cni" "$state/registry" "$state/certs.d/_default"
# The logs of the run before are often the ones that are wanted.
mkdir -p "$logs/previous"
find "$logs" -maxdepth 1 -name '*.log' -exec mv -t "$logs/previous" {} +
ip netns add "$netns"
ip link add "$host_link" type veth peer name eth0 netns "$netns"
ip address add "$host_ip/24" dev "$host_link"
ip link set "$host_link" up
in_node ip link set lo up
in_node ip address add "$node_ip/24" dev eth0
in_node ip link set eth0 up
# No default route: what looks for a way out fails at once, and not after a time-out.
# Only Service addresses need a route, or they'd be refused before they are translated.
in_node ip route add "$service_cidr" dev eth0
in_node sysctl -qw net.ipv4.ip_forward=1
make_cgroups
start mounts "$here/mounts.sh" "$run" "$state"
wait_for 10 "the mount namespace" test -e "$run/mounts.ready"

step "certificates"
"$here/pki.sh"
pki=$state/pki
install -m 600 "$pki/admin.kubeconfig" "$kubeconfig"

step "etcd and API server"
start etcd "$bin/etcd" --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
  --initial-cluster default=http://127.0.0.1:2380
start kube-apiserver "$bin/kube-apiserver" --advertise-address "$node_ip" --secure-port 6443 \
  --etcd-servers http://127.0.0.1:2379 --service-cluster-ip-range "$service_cidr" \
  --allow-privileged --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
  --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
  --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
  --kubelet-client-certificate "$pki/apiserver-kubelet-client.crt" \
  --kubelet-client-key "$pki/apiserver-kubelet-client.key" \
  --requestheader-client-ca-file "$pki/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
  --requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group \
  --requestheader-username-headers X-Remote-User \
  --proxy-client-cert-file "$pki/front-proxy-client.crt" --proxy-client-key-file "$pki/front-proxy-client.key" \
  --service-account-issuer https://kubernetes.default.svc.cluster.local \
  --service-account-key-file "$pki/service-account.key" --service-account-signing-key-file "$pki/service-account.key" \
  --enable-aggregator-routing
wait_for 180 "the API server" kubectl get --raw /readyz

step "controllers, scheduler, registry and container runtime"
start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$pki/controller-manager.kubeconfig" \
  --leader-elect=false --use-service-account-credentials --root-ca-file "$pki/ca.crt" \
  --service-account-private-key-file "$pki/service-account.key" \
  --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
  --horizontal-pod-autoscaler-sync-period 5s
start kube-scheduler "$bin/kube-scheduler" --kubeconfig "$pki/scheduler.kubeconfig" --leader-elect=false

# A real, empty registry answers for every other one, so that a missing image fails as it does for a user.
cat >"$state/registry.yaml" <<EOF
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $state/registry}}
http: {addr: "127.0.0.1:5000"}
EOF
printf '[host."http://127.0.0.1:5000"]\n  capabilities = ["pull", "resolve"]\n' \
  >"$state/certs.d/_default/hosts.toml"
start registry "$bin/registry" serve "$state/registry.yaml"

# ptp gives each pod a link of its own: on a bridge, answers between pods would pass by the
# translation of Service addresses, unless the kernel has br_netfilter.
cat >"$state/cni/10-node.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "node", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "dataDir": "$run/cni",
   "ranges": [[{"subnet": "$pod_cidr"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
pause=localhost/kubesentiment-node/pause:1
# Without CAP_SYS_RESOURCE nobody may lower an OOM score, and every sandbox would fail.
restrict_oom=false
(($(printf '%d' "0x$(sed -n 's/^CapEff:\t//p' /proc/self/status)") & (1 << 24))) || restrict_oom=true
cat >"$state/containerd.toml" <<EOF
version = 3
root = "$state/containerd"
state = "$run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$state/opt"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "$pause"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "$state/certs.d"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = $restrict_oom
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$state/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = false
EOF
start containerd "$bin/containerd" --config "$state/containerd.toml" --log-level warn
wait_for 60 "containerd" ctr_node version
"$here/node-images.sh"

step "kubelet and kube-proxy"
# cgroup v1 is allowed for the sake of older hosts; the cgroupfs driver does on both.
cat >"$state/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
containerRuntimeEndpoint: unix://$run/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failCgroupV1: false
failSwapOn: false
clusterDNS: [$dns_ip]
clusterDomain: cluster.local
resolvConf: $state/resolv.conf
# A full disk of the host must not evict what is under test, nor take its images away.
evictionHard: {memory.available: 50Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
imageMinimumGCAge: 24h
registryPullQPS: 0
podLogsDir: $state/pod-logs
volumePluginDir: $state/volume-plugins
maxPods: 110
EOF
: >"$state/resolv.conf"
start kubelet "$bin/kubelet" --config "$state/kubelet.yaml" --kubeconfig "$pki/kubelet.kubeconfig" \
  --root-dir "$state/kubelet" --cert-dir "$pki" --hostname-override node --node-ip "$node_ip"
cat >"$state/proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: node
clusterCIDR: $pod_cidr
clientConnection: {kubeconfig: $pki/proxy.kubeconfig}
# Limits of connection tracking belong to the host's kernel: left as they are.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
EOF
start kube-proxy "$bin/kube-proxy" --config "$state/proxy.yaml"
wait_for 180 "the node" kubectl wait --for=condition=Ready node/node --timeout=1s

step "DNS"
kubectl apply -f "$here/coredns.yaml" >/dev/null
wait_for 180 "CoreDNS" kubectl -n kube-system wait --for=condition=Available deployment/coredns --timeout=1s
echo "$root" >"$run/ready"
step_done
echo "the node is up after $SECONDS s: export KUBECONFIG=$kubeconfig"
