#!/usr/bin/env bash
# Proves that these scripts do what the README says, in about two minutes. It has a node of its own
# (KUBESENTIMENT_NODE=9 unless told otherwise), so a node that is in use goes on undisturbed.
export KUBESENTIMENT_NODE=${KUBESENTIMENT_NODE:-9}
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_root
# The scripts that this one calls take their own lock.
unset KUBESENTIMENT_LOCKED

passed=0 failed=0
work=$(mktemp -d)
output=$work/output
forward=
finish() {
  [[ -z $forward ]] || kill "$forward" 2>/dev/null || true
  "$here/down.sh" --quiet || true
  buildah --storage-driver overlay rmi kubesentiment-selftest:1 >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT

k() {
  PATH=$PATH:$bin command kubectl --kubeconfig "$kubeconfig" "$@"
}

# check NAME COMMAND...: passes when the command succeeds; what it printed shows only when it doesn't.
check() {
  local name=$1 began=$SECONDS
  shift
  if ("$@") >"$output" 2>&1; then
    passed=$((passed + 1))
    printf 'ok    %s (%d s)\n' "$name" "$((SECONDS - began))"
  else
    failed=$((failed + 1))
    printf 'FAIL  %s (%d s)\n' "$name" "$((SECONDS - began))"
    sed 's/^/      /' "$output" | tail -n 20
  fi
}

# says TEXT COMMAND...: succeeds when the command does and prints the text.
says() {
  local text=$1 printed
  shift
  # Not in a pipe: grep would close it at the first match, and end the command by that.
  printed=$("$@" 2>&1) || { echo "$printed"; return 1; }
  echo "$printed"
  grep -qF -- "$text" <<<"$printed"
}

# eventually SECONDS COMMAND...
eventually() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.3
  done
}

within() {
  local end=$((SECONDS + $1))
  shift
  "$@" && ((SECONDS <= end))
}

not() {
  ! "$@"
}

# What of this node is left on the machine, a line each.
leftovers() {
  local folder
  for pid in $(node_pids); do echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline")"; done
  grep -F -e "$run/" -e "$state/" -e "$netns_path " /proc/self/mountinfo || true
  [[ ! -e $netns_path ]] || echo "network namespace $netns"
  ip -brief link show "$host_link" 2>/dev/null || true
  for folder in /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup" "$run" "$state" "$kubeconfig"; do
    [[ ! -e $folder ]] || echo "$folder"
  done
}

nothing_left() {
  local left
  left=$(leftovers)
  echo "$left"
  [[ -z $left ]]
}

# Rules of the host's own network, without their counters.
host_rules() {
  iptables-save | sed -e '/^#/d' -e 's/\[[0-9:]*\]//'
}

manifest() {
  cat <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: restricted, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: restricted, labels: {app: web}}
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: web
      image: kubesentiment-selftest:1
      args: [sh, -c, "echo page >/www/index.html; echo started; exec httpd -f -p 8000 -h /www"]
      ports: [{name: http, containerPort: 8000}]
      readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: www, mountPath: /www}]
  volumes: [{name: www, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: restricted}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http, nodePort: 30080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host-port, namespace: default}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - {name: web, image: localhost/kubesentiment-selftest:1, args: [httpd, -f, -p, "8000"], ports: [{containerPort: 8000, hostPort: 8099}], securityContext: {privileged: true}}
---
apiVersion: v1
kind: Pod
metadata: {name: no-image, namespace: default}
spec: {containers: [{name: web, image: "example.invalid/no/such:image"}]}
YAML
}

in_pod() {
  k -n restricted exec web -- "$@"
}

service_ip() {
  k -n restricted get service web -o 'jsonpath={.spec.clusterIP}'
}

# Not by wget: a static busybox crashes there, when its libc wants modules that aren't in the image.
through_service() {
  in_pod sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 $(service_ip) 80"
}

image_missing() {
  k -n default get pod no-image -o 'jsonpath={.status.containerStatuses[0].state.waiting.reason}' |
    grep -E 'ErrImagePull|ImagePullBackOff'
}

forwarded() {
  curl --silent --max-time 2 http://127.0.0.1:38099/
}

debugged() {
  k -n restricted debug web --image kubesentiment-selftest:1 --target web --profile restricted --container debugger -- \
    sh -c 'tr "\0" " " </proc/1/cmdline; echo end'
  eventually 30 says "httpd -f -p 8000" k -n restricted logs web -c debugger
}

kill_daemons() {
  local name
  for name in "$@"; do
    alive "$name" && kill -KILL "$(cat "$run/$name.pid")"
  done
}

killed_half_way() {
  local begun
  "$here/down.sh"
  "$here/up.sh" &
  begun=$!
  eventually 60 test -e "$run/containerd.pid"
  kill -KILL "$begun"
  wait "$begun" || true
  says "unfinished start" "$here/up.sh"
  k get --raw /readyz
}

other_clone() {
  local clone=$work/a/clone/that/lies/so/deep/that/the/path/of/a/unix/socket/would/never/fit/into/the/107/bytes/that/there/are
  mkdir -p "$clone/e2e"
  cp -a "$here" "$clone/e2e/cluster"
  says "the node of another clone" "$clone/e2e/cluster/up.sh"
  [[ $(cat "$run/ready") == "$clone" ]]
  # And its owner takes it back.
  says "the node of another clone, $clone" "$here/up.sh"
  k get --raw /readyz
}

"$here/deps.sh"
busybox=$(command -v busybox || true)
if [[ -z $busybox ]] || ldd "$busybox" >/dev/null 2>&1; then
  apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install -y --no-install-recommends busybox-static >/dev/null
  busybox=$(command -v busybox)
fi
container=$(buildah --storage-driver overlay from scratch)
mkdir -p "$work/bin"
cp "$busybox" "$work/bin/busybox"
for applet in cat httpd id nc nslookup sh sleep tr; do ln -s busybox "$work/bin/$applet"; done
buildah --storage-driver overlay copy --quiet "$container" "$work/bin" /bin >/dev/null
buildah --storage-driver overlay commit --quiet --rm "$container" kubesentiment-selftest:1 >/dev/null

"$here/down.sh" --quiet
rules_before=$(host_rules)

check "the node comes up from nothing" says "the node is up" "$here/up.sh"
check "a second run takes three seconds at most" within 3 says "the node is up" "$here/up.sh"
check "the kubeconfig reaches the API server from the host" k get --raw /readyz
check "an image loads" "$here/load-image.sh" kubesentiment-selftest:1
check "an image that is there already takes a second" within 1 "$here/load-image.sh" kubesentiment-selftest:1
manifest | k apply -f - >/dev/null
check "a restricted pod gets ready" k -n restricted wait --for=condition=Ready pod/web --timeout=60s
check "it runs as 65532" says "uid=65532" in_pod id
check "an unrestricted pod is refused there" not k -n restricted run refused --image kubesentiment-selftest:1
check "DNS knows the API server's Service" says 10.96.0.1 in_pod nslookup kubernetes.default.svc.cluster.local
check "DNS says no at once to any other name" within 2 not in_pod nslookup kubesentiment.example
# Once its rules are in: kube-proxy takes up to a second.
check "a Service routes from a pod" eventually 10 says page through_service
check "a Service's address answers inside the node" eventually 10 says page "$here/exec.sh" curl --silent --max-time 5 "http://$(service_ip)/"
check "a node port answers inside the node" eventually 10 says page "$here/exec.sh" curl --silent --max-time 5 "http://$node_ip:30080/"
check "a privileged pod with a host port runs" k wait --for=condition=Ready pod/host-port --timeout=60s
check "its host port answers inside the node" eventually 10 "$here/exec.sh" curl --silent --max-time 5 --output /dev/null "http://$node_ip:8099/"
check "logs" says started k -n restricted logs web
k -n restricted port-forward pod/web 38099:8000 >/dev/null 2>&1 &
forward=$!
check "port-forward" eventually 15 says page forwarded
kill "$forward" && forward=
check "an ephemeral container sees the target's processes" debugged
check "a missing image says ErrImagePull or ImagePullBackOff" eventually 30 image_missing
check "no mount of the node shows on the host" not grep -F -e "$run/" -e "$state/" /proc/self/mountinfo
kill_daemons kubelet containerd
check "recovers after kill -9 of kubelet and containerd" says "the node is up" "$here/up.sh"
check "recovers after kill -9 of up.sh half-way" killed_half_way
check "takes over from another clone, however deep, and back" other_clone
check "down" "$here/down.sh"
check "it leaves nothing behind" nothing_left
check "nor a rule in the host's firewall" test "$rules_before" == "$(host_rules)"
check "down again does nothing" "$here/down.sh"

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
