# shellcheck shell=bash
# Which certificates a node of Kubernetes has, and the kubeconfigs made of them. Kubeadm finds all of
# them in place and never asks for a CA's key ("external CA").

BOTH='clientAuth, serverAuth'

fetch_cas() {
    fetch_ca kubelet "$PKI/ca.crt"
    is_master || return 0
    fetch_ca etcd "$PKI/etcd/ca.crt"
    fetch_ca front-proxy "$PKI/front-proxy-ca.crt"
}
subject() { # common name, organization or ""
    [ -z "${2:-}" ] || printf 'O = %s\n' "$2"
    printf 'CN = %s\n' "$1"
}
make_certificates() {
    local ca=$PKI/ca.crt
    make_certificate "$PKI/kubelet" kubelet "$ca" "$(subject "system:node:$NODE_NAME" system:nodes)" "$BOTH" "$SERVER_NAMES"
    is_master || return 0
    make_certificate "$PKI/apiserver" kubelet "$ca" "$(subject kubernetes)" "$BOTH" "$SERVER_NAMES"
    make_certificate "$PKI/apiserver-kubelet-client" kubelet "$ca" \
        "$(subject kube-apiserver-kubelet-client system:masters)" clientAuth ""
    make_certificate "$PKI/admin" kubelet "$ca" "$(subject admin system:masters)" clientAuth ""
    make_certificate "$PKI/controller-manager" kubelet "$ca" "$(subject system:kube-controller-manager)" clientAuth ""
    make_certificate "$PKI/scheduler" kubelet "$ca" "$(subject system:kube-scheduler)" clientAuth ""
    make_certificate "$PKI/front-proxy-client" front-proxy "$PKI/front-proxy-ca.crt" \
        "$(subject front-proxy-client)" "$BOTH" ""
    make_certificate "$ETCD_PKI/server" etcd "$ETCD_PKI/ca.crt" "$(subject etcd)" "$BOTH" "$SERVER_NAMES"
    make_certificate "$ETCD_PKI/client" etcd "$ETCD_PKI/ca.crt" "$(subject kube-apiserver-etcd-client)" clientAuth ""
    ! is_true "$LABEL_KEYSTONE_AUTH_ENABLED" ||
        make_certificate "$KUBE_DIR/keystone-auth/server" kubelet "$ca" "$(subject keystone-auth)" "$BOTH" "DNS:localhost,IP:127.0.0.1"
}

kubeconfig() { # file, API's address, certificate's base path
    put_file "$1" 0600 <<TEXT
apiVersion: v1
kind: Config
clusters:
- name: kubernetes
  cluster:
    certificate-authority-data: $(base64 -w 0 "$PKI/ca.crt")
    server: https://$2:$API_PORT
users:
- name: user
  user:
    client-certificate-data: $(base64 -w 0 "$3.crt")
    client-key-data: $(base64 -w 0 "$3.key")
contexts:
- name: default
  context: {cluster: kubernetes, user: user}
current-context: default
TEXT
}
# A master's parts talk to its own API, so that they need no load balancer; workers to all of them.
make_kubeconfigs() {
    if ! is_master; then
        kubeconfig "$KUBE_DIR/kubelet.conf" "$API_PRIVATE" "$PKI/kubelet"
        return 0
    fi
    kubeconfig "$KUBE_DIR/kubelet.conf" "$NODE_IP" "$PKI/kubelet"
    kubeconfig "$ADMIN" "$NODE_IP" "$PKI/admin"
    [ "$(kube_minor)" -lt 29 ] || kubeconfig "$KUBE_DIR/super-admin.conf" "$NODE_IP" "$PKI/admin"
    kubeconfig "$KUBE_DIR/controller-manager.conf" "$NODE_IP" "$PKI/controller-manager"
    kubeconfig "$KUBE_DIR/scheduler.conf" "$NODE_IP" "$PKI/scheduler"
}
certificates() {
    umask 077
    mkdir -p "$PKI"
    fetch_cas
    make_certificates
    make_kubeconfigs
    forget_token
}
