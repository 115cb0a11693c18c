# shellcheck shell=bash
# The kubelet, on masters and workers alike: it has its certificate before it starts, so nothing has
# to be approved or joined.

# Labels that a kubelet may give itself; those of Kubernetes' own domains are the API's to give.
node_labels() {
    local pair list="magnum.openstack.org/role=$ROLE,magnum.openstack.org/nodegroup=$NODEGROUP"
    while read -r pair; do
        case $pair in
        *kubernetes.io/*=* | *k8s.io/*=*) echo "the kubelet must not set label ${pair%%=*}: left out" >&2 ;;
        *=*) list+=",$pair" ;;
        ?*) list+=",$pair=" ;;
        esac
    done < <(split_commas "${NODE_LABELS:-}")
    printf '%s' "$list"
}
# Flags of a list like "--a=b --c=d", one a line; anything else is refused.
flags_of() { # label's name, its value
    local flag
    for flag in $2; do
        [[ $flag =~ ^--[a-z][a-z0-9-]*=[^\"\'\\\`\$]*$ ]] || die "label $1: '$flag' is not of the form --flag=value"
        printf '%s\n' "$flag"
    done
}
kubelet_flags() {
    local minor
    minor=$(kube_minor)
    printf '%s\n' --config=/var/lib/kubelet/config.yaml "--kubeconfig=$KUBE_DIR/kubelet.conf" \
        "--hostname-override=$NODE_NAME" "--node-ip=$NODE_IP" "--node-labels=$(node_labels)" \
        --container-runtime-endpoint=unix:///run/containerd/containerd.sock
    [ "$minor" -ge 24 ] || printf '%s\n' --container-runtime=remote
    ! is_true "$LABEL_CLOUD_PROVIDER_ENABLED" || printf '%s\n' --cloud-provider=external
    [ -z "${NODE_TAINTS:-}" ] || printf '%s\n' "--register-with-taints=$NODE_TAINTS"
    flags_of kubelet_options "${LABEL_KUBELET_OPTIONS:-}"
}
kubelet_config() {
    local resolv=/etc/resolv.conf
    [ ! -e /run/systemd/resolve/resolv.conf ] || resolv=/run/systemd/resolve/resolv.conf
    cat <<TEXT
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: $LABEL_CGROUP_DRIVER
clusterDNS: [$DNS_IP]
clusterDomain: $DNS_DOMAIN
resolvConf: $resolv
rotateCertificates: false
staticPodPath: $KUBE_DIR/manifests
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
TEXT
}
kubelet_units() {
    local kubelet
    kubelet=$(command -v kubelet)
    put_file /etc/systemd/system/kubelet.service 0644 <<TEXT
[Unit]
Description=Kubernetes' agent on this node
Wants=network-online.target
After=network-online.target containerd.service
[Service]
ExecStart=$kubelet
Restart=always
RestartSec=5
[Install]
WantedBy=multi-user.target
TEXT
    # Sorts behind what packages bring, and replaces it.
    {
        printf '[Service]\nExecStart=\nExecStart=%s' "$kubelet"
        kubelet_flags | sed 's/%/%%/g; s/.*/ \\\n    "&"/' | tr -d '\000'
        echo
    } | put_file /etc/systemd/system/kubelet.service.d/90-magnum.conf 0644
}
prepare_kubelet() {
    local changes
    mkdir -p "$KUBE_DIR/manifests" /var/lib/kubelet
    changes=$(
        kubelet_config | put_file /var/lib/kubelet/config.yaml 0644
        kubelet_units
        proxy_drop_in kubelet.service
    )
    systemctl daemon-reload
    systemctl enable kubelet.service
    if [ -n "$changes" ]; then systemctl restart kubelet.service; else systemctl start kubelet.service; fi
}

node_kubectl() { kubectl --kubeconfig "$KUBE_DIR/kubelet.conf" --request-timeout=20s "$@"; }
# Ready, or what the kubelet says why not.
node_is_ready() {
    local said
    said=$(node_kubectl get node "$NODE_NAME" \
        -o 'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.message}{end}') || return 1
    [ "${said%% *}" = True ] || {
        echo "node $NODE_NAME is not ready: ${said#* }" >&2
        return 1
    }
}
wait_for_node() { retry node_is_ready; }
