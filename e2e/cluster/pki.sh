#!/usr/bin/env bash
# Makes the certificates and kubeconfigs of the node, valid for ten years, in $state/pki.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pki=$state/pki
mkdir -p "$pki"
cd "$pki"

authority() {
  openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 3650 -out "$1.crt"
}

# certificate NAME AUTHORITY SUBJECT [SUBJECT_ALTERNATIVE_NAMES]
certificate() {
  openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "$3" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -days 3650 -out "$1.crt" 2>/dev/null \
    -extfile <(printf 'extendedKeyUsage=clientAuth,serverAuth\n%s\n' "${4:+subjectAltName=$4}")
  rm "$1.csr"
}

# kubeconfig CERTIFICATE FILE
kubeconfig_for() {
  cat >"$2" <<EOF
apiVersion: v1
kind: Config
clusters:
  - name: node
    cluster: {server: "$api", certificate-authority-data: $(base64 -w0 ca.crt)}
users:
  - name: $1
    user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}
contexts:
  - name: node
    context: {cluster: node, user: $1}
current-context: node
EOF
}

authority ca
authority front-proxy-ca
openssl ecparam -genkey -name prime256v1 -noout -out service-account.key
certificate apiserver ca /CN=kube-apiserver \
  "IP:127.0.0.1,IP:$node_ip,IP:$api_service_ip,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
certificate apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
certificate front-proxy-client front-proxy-ca /CN=front-proxy-client
certificate kubelet ca /O=system:nodes/CN=system:node:node "IP:$node_ip,DNS:node"
certificate admin ca /O=system:masters/CN=admin
certificate controller-manager ca /CN=system:kube-controller-manager
certificate scheduler ca /CN=system:kube-scheduler
certificate proxy ca /CN=system:kube-proxy
for user in admin kubelet controller-manager scheduler proxy; do
  kubeconfig_for "$user" "$pki/$user.kubeconfig"
done
