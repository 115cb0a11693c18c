# shellcheck shell=bash
# The control plane: kubeadm writes the static pods of API server, controller manager and scheduler
# on each master from the same configuration; nothing has to be joined.

KUBEADM_CONFIG=$KUBE_DIR/kubeadm.yaml

# "name=value" lines as kubeadm's extraArgs: a map up to v1beta3, a list from v1beta4 on.
extra_args() { # indentation
    local line
    while IFS= read -r line; do
        line=${line#--}
        if [ "$(kubeadm_api)" = v1beta4 ]; then
            printf '%s- name: %s\n%s  value: "%s"\n' "$1" "${line%%=*}" "$1" "${line#*=}"
        else
            printf '%s%s: "%s"\n' "$1" "${line%%=*}" "${line#*=}"
        fi
    done < <(awk -F= 'NF { if (!($1 in at)) at[$1] = ++n; line[at[$1]] = $0 } END { for (i = 1; i <= n; i++) print line[i] }')
}
kubeadm_api() {
    local minor
    minor=$(kube_minor)
    if [ "$minor" -le 21 ]; then echo v1beta2; elif [ "$minor" -le 30 ]; then echo v1beta3; else echo v1beta4; fi
}
# Plug-ins that this version doesn't have (any more) would keep the API server from starting.
admission_plugins() {
    local name minor list=NodeRestriction
    minor=$(kube_minor)
    while read -r name; do
        case $name in
        NodeRestriction) ;;
        PodSecurityPolicy) [ "$minor" -ge 25 ] || list+=,$name ;;
        SecurityContextDeny) [ "$minor" -ge 30 ] || list+=,$name ;;
        Initializers) ;;
        *) list+=,$name ;;
        esac
    done < <(split_commas "${LABEL_ADMISSION_CONTROL_LIST:-}")
    printf '%s' "$list"
}
apiserver_args() {
    printf '%s\n' "--enable-admission-plugins=$(admission_plugins)" "--kubelet-certificate-authority=$PKI/ca.crt"
    ! is_true "$LABEL_KEYSTONE_AUTH_ENABLED" || printf '%s\n' --authorization-mode=Node,RBAC,Webhook \
        "--authentication-token-webhook-config-file=$KUBE_DIR/keystone-auth/webhook.yaml" \
        "--authorization-webhook-config-file=$KUBE_DIR/keystone-auth/webhook.yaml"
    flags_of kubeapi_options "${LABEL_KUBEAPI_OPTIONS:-}"
}
controller_args() {
    printf '%s\n' "--node-cidr-mask-size=$LABEL_FLANNEL_NETWORK_SUBNETLEN"
    ! is_true "$LABEL_CLOUD_PROVIDER_ENABLED" || [ "$(kube_minor)" -ge 29 ] || printf '%s\n' --cloud-provider=external
    flags_of kubecontroller_options "${LABEL_KUBECONTROLLER_OPTIONS:-}"
}
# kube-proxy reads a file, so of its flags only these can be had.
proxy_options() {
    local flag
    while read -r flag; do
        case $flag in
        --proxy-mode=*) printf 'mode: "%s"\n' "${flag#*=}" ;;
        --metrics-bind-address=*) printf 'metricsBindAddress: "%s"\n' "${flag#*=}" ;;
        --nodeport-addresses=*) printf 'nodePortAddresses: ["%s"]\n' "${flag#*=}" ;;
        *) die "label kubeproxy_options: of kube-proxy's flags only --proxy-mode, --metrics-bind-address and --nodeport-addresses can be set, not $flag" ;;
        esac
    done < <(flags_of kubeproxy_options "${LABEL_KUBEPROXY_OPTIONS:-}")
}
# Heads an "extraArgs:" only when there is something to say.
arguments() { # indentation; lines on standard input
    local lines
    lines=$(extra_args "$1  ")
    [ -z "$lines" ] || printf '%sextraArgs:\n%s\n' "$1" "$lines"
}
kubeadm_config() {
    local api ip
    api=kubeadm.k8s.io/$(kubeadm_api)
    cat <<TEXT
apiVersion: $api
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: $NODE_IP, bindPort: $API_PORT}
nodeRegistration:
  name: $NODE_NAME
  criSocket: unix:///run/containerd/containerd.sock
---
apiVersion: $api
kind: ClusterConfiguration
kubernetesVersion: v$(kube_version)
clusterName: "${CLUSTER_NAME:-kubernetes}"
controlPlaneEndpoint: $API_PRIVATE:$API_PORT
certificatesDir: $PKI
imageRepository: "$(r=${LABEL_CONTAINER_INFRA_PREFIX:-registry.k8s.io} && printf '%s' "${r%/}")"
networking: {podSubnet: $POD_CIDR, serviceSubnet: $SERVICE_CIDR, dnsDomain: $DNS_DOMAIN}
etcd:
  external:
    caFile: $ETCD_PKI/ca.crt
    certFile: $ETCD_PKI/client.crt
    keyFile: $ETCD_PKI/client.key
    endpoints:
    - https://$NODE_IP:2379
TEXT
    while read -r ip; do
        [ "$ip" = "$NODE_IP" ] || printf '    - https://%s:2379\n' "$ip"
    done < <(split_commas "$MASTER_IPS")
    echo apiServer:
    apiserver_args | arguments '  '
    if is_true "$LABEL_KEYSTONE_AUTH_ENABLED"; then
        cat <<TEXT
  extraVolumes:
  - {name: keystone-auth, hostPath: $KUBE_DIR/keystone-auth, mountPath: $KUBE_DIR/keystone-auth, readOnly: true, pathType: DirectoryOrCreate}
TEXT
    fi
    echo controllerManager:
    controller_args | arguments '  '
    echo scheduler:
    flags_of kubescheduler_options "${LABEL_KUBESCHEDULER_OPTIONS:-}" | arguments '  '
    cat <<TEXT
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clusterCIDR: $POD_CIDR
TEXT
    proxy_options
}

# Where the API server asks about Keystone's tokens: the add-on on its own node.
keystone_webhook() {
    is_true "$LABEL_KEYSTONE_AUTH_ENABLED" || return 0
    put_file "$KUBE_DIR/keystone-auth/webhook.yaml" 0600 <<TEXT
apiVersion: v1
kind: Config
preferences: {}
clusters:
- name: keystone
  cluster: {server: "https://127.0.0.1:8443/webhook", certificate-authority: $PKI/ca.crt}
users:
- name: apiserver
contexts:
- name: webhook
  context: {cluster: keystone, user: apiserver}
current-context: webhook
TEXT
}
# A static pod is made anew when its manifest changes: this label changes when it shall.
restart_mark() { cat "$MAGNUM_STATE/restart" 2>/dev/null || echo 1; }
control_plane_patches() { # directory
    local part
    for part in kube-apiserver kube-controller-manager kube-scheduler; do
        put_file "$1/$part+merge.yaml" 0600 <<TEXT
metadata: {labels: {magnum.openstack.org/restart: "$(restart_mark)"}}
TEXT
    done
}
prepare_control_plane() {
    local option=--patches patches=$KUBE_DIR/patches
    [ "$(kube_minor)" -ge 22 ] || option=--experimental-patches
    keystone_webhook
    kubeadm_config | put_file "$KUBEADM_CONFIG" 0600
    control_plane_patches "$patches"
    kubeadm init phase control-plane all --config "$KUBEADM_CONFIG" "$option" "$patches"
}
# Without kubeadm, which wants certificates and CA to match while two CAs are trusted.
restart_control_plane() {
    local part
    for part in kube-apiserver kube-controller-manager kube-scheduler; do
        sed "s|magnum.openstack.org/restart: .*|magnum.openstack.org/restart: \"$(restart_mark)\"|" \
            "$KUBE_DIR/manifests/$part.yaml" | put_file "$KUBE_DIR/manifests/$part.yaml" 0600
    done
}

admin_kubectl() { kubectl --kubeconfig "$ADMIN" --request-timeout=30s "$@"; }
# The API server of this master answers, and is of the wanted version.
api_is_ready() {
    admin_kubectl get --raw /readyz >/dev/null || return 1
    local have
    have=$(admin_kubectl get --raw /version | json_get gitVersion) || return 1
    [[ $have =~ ^v$(kube_version | sed 's/\./\\./g')([-+].*)?$ ]] || {
        echo "the API server is still of version $have" >&2
        return 1
    }
}
wait_for_api() { retry api_is_ready; }

node_is_there() { admin_kubectl get node "$NODE_NAME" -o name >/dev/null; }
# Label and taint of a master, which the kubelet may not give itself.
mark_master() {
    retry node_is_there
    retry kubeadm init phase mark-control-plane --config "$KUBEADM_CONFIG"
}
# What is there once for the whole cluster.
cluster_wide() {
    retry kubeadm init phase upload-config kubeadm --config "$KUBEADM_CONFIG"
    retry kubeadm init phase addon kube-proxy --config "$KUBEADM_CONFIG"
}
