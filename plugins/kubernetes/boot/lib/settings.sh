# shellcheck shell=bash
# shellcheck disable=SC2034 # read by the other parts
# What follows from the parameters: defaults of labels (the same as in kubernetes.labels.schema.json,
# a test compares them), versions, addresses, names of images. Sourced after common.sh.

: "${LABEL_CONTAINER_INFRA_PREFIX:=}"
: "${LABEL_ETCD_TAG:=v3.5.9}"
: "${LABEL_COREDNS_TAG:=1.9.4}"
: "${LABEL_PAUSE_TAG:=3.9}"
: "${LABEL_FLANNEL_TAG:=v0.22.3}"
: "${LABEL_FLANNEL_CNI_TAG:=v1.2.0}"
: "${LABEL_FLANNEL_BACKEND:=vxlan}"
: "${LABEL_FLANNEL_NETWORK_SUBNETLEN:=24}"
: "${LABEL_CALICO_TAG:=v3.26.4}"
: "${LABEL_CALICO_IPV4POOL_IPIP:=Off}"
: "${LABEL_CILIUM_TAG:=v1.14.6}"
: "${LABEL_CLOUD_PROVIDER_TAG:=v1.26.4}"
: "${LABEL_K8S_KEYSTONE_AUTH_TAG:=v1.26.4}"
: "${LABEL_CINDER_CSI_PLUGIN_TAG:=v1.26.4}"
: "${LABEL_CSI_ATTACHER_TAG:=v4.2.0}"
: "${LABEL_CSI_PROVISIONER_TAG:=v3.4.1}"
: "${LABEL_CSI_SNAPSHOTTER_TAG:=v6.2.1}"
: "${LABEL_CSI_RESIZER_TAG:=v1.8.0}"
: "${LABEL_CSI_NODE_DRIVER_REGISTRAR_TAG:=v2.6.2}"
: "${LABEL_CSI_LIVENESS_PROBE_TAG:=v2.9.0}"
: "${LABEL_METRICS_SERVER_TAG:=v0.6.4}"
: "${LABEL_AUTOSCALER_TAG:=v1.26.7}"
: "${LABEL_NODE_PROBLEM_DETECTOR_TAG:=v0.8.20}"
: "${LABEL_DRAINO_TAG:=abf028a}"
: "${LABEL_MAGNUM_AUTO_HEALER_TAG:=v1.26.4}"
: "${LABEL_CLOUD_PROVIDER_ENABLED:=true}"
: "${LABEL_CINDER_CSI_ENABLED:=true}"
: "${LABEL_KEYSTONE_AUTH_ENABLED:=true}"
: "${LABEL_METRICS_SERVER_ENABLED:=true}"
: "${LABEL_NPD_ENABLED:=true}"
: "${LABEL_AUTO_HEALING_ENABLED:=false}"
: "${LABEL_AUTO_HEALING_CONTROLLER:=draino}"
: "${LABEL_AUTO_SCALING_ENABLED:=false}"
: "${LABEL_MIN_NODE_COUNT:=0}"
: "${LABEL_CGROUP_DRIVER:=systemd}"
: "${LABEL_SELINUX_MODE:=enforcing}"
: "${LABEL_SYSTEM_PODS_INITIAL_DELAY:=30}"
: "${LABEL_SYSTEM_PODS_TIMEOUT:=5}"
: "${LABEL_DRAIN_TIMEOUT_SECONDS:=60}"
: "${LABEL_OCTAVIA_PROVIDER:=amphora}"
: "${LABEL_OCTAVIA_LB_ALGORITHM:=ROUND_ROBIN}"
: "${LABEL_OCTAVIA_LB_HEALTHCHECK:=true}"
: "${LABEL_KUBE_DOWNLOAD_URL:=https://dl.k8s.io/release}"
: "${LABEL_CNI_PLUGINS_URL:=}"

KUBE_DIR=/etc/kubernetes
PKI=$KUBE_DIR/pki
ADMIN=$KUBE_DIR/admin.conf
API_PORT=6443
BIN_DIR=/opt/bin # where programs go that the image does not have: writable everywhere
PATH=$BIN_DIR:$PATH:/usr/local/bin:/usr/local/sbin # an image may have another version of them

# Tags carry suffixes ("v1.23.3-rancher1"); what is compared is the version.
kube_version() {
    local v=${KUBE_VERSION#v}
    v=${v%%[-+]*}
    [[ $v =~ ^1\.[0-9]+\.[0-9]+$ ]] || die "KUBE_VERSION '${KUBE_VERSION:-}' is not a version like v1.26.4"
    printf '%s' "$v"
}
kube_minor() {
    local v
    v=$(kube_version)
    v=${v#1.}
    printf '%s' "${v%%.*}"
}

# registry and path, name, tag: with a prefix everything comes from there by its last name.
image() {
    if [ -n "$LABEL_CONTAINER_INFRA_PREFIX" ]; then
        printf '%s%s:%s' "$LABEL_CONTAINER_INFRA_PREFIX" "$2" "$3"
    else
        printf '%s%s:%s' "$1" "$2" "$3"
    fi
}

is_master() { [ "$ROLE" = master ]; }
# The one master that does what has to be done once.
is_first_master() { is_master && [ "${NODE_INDEX:-0}" = 0 ]; }
split_commas() { tr ',' '\n' <<<"$1" | sed 's/^ *//; s/ *$//; /^$/d'; }

# The nth address of an IPv4 network: "10.254.0.0/16" 10 -> 10.254.0.10
address_in() {
    local a b c d n
    IFS=. read -r a b c d <<<"${1%/*}"
    n=$(((a << 24 | b << 16 | c << 8 | d) + $2))
    printf '%d.%d.%d.%d' $((n >> 24 & 255)) $((n >> 16 & 255)) $((n >> 8 & 255)) $((n & 255))
}

settings() {
    need CLUSTER_UUID NODE_NAME NODE_IP ROLE KUBE_VERSION API_PRIVATE SERVICE_CIDR POD_CIDR MAGNUM_URL
    : "${DNS_DOMAIN:=cluster.local}" "${NETWORK_DRIVER:=flannel}" "${NODEGROUP:=$ROLE}"
    : "${MASTER_IPS:=$API_PRIVATE}" "${API_PUBLIC:=}" "${NODE_PUBLIC_IP:=}" "${REGION:=}" "${PROJECT_ID:=}"
    : "${POST_INSTALL_MANIFEST_URL:=${LABEL_POST_INSTALL_MANIFEST_URL:-}}" "${LABEL_MAX_NODE_COUNT:=$((LABEL_MIN_NODE_COUNT + 1))}"
    kube_version >/dev/null
    DNS_IP=$(address_in "$SERVICE_CIDR" 10)
    FIRST_SERVICE_IP=$(address_in "$SERVICE_CIDR" 1)
    case $ROLE in master | worker) ;; *) die "ROLE '$ROLE' is neither master nor worker" ;; esac
    case $NETWORK_DRIVER in flannel | calico | cilium) ;; *) die "network driver '$NETWORK_DRIVER' is none of flannel, calico, cilium" ;; esac
    ! is_true "${TLS_DISABLED:-false}" ||
        die "TLS can't be switched off: Kubernetes has had no plain port since 1.20"
    # Names that the API is reached by; "A" sets of all certificates that a server shows.
    SERVER_NAMES="IP:$NODE_IP,IP:127.0.0.1,DNS:$NODE_NAME,DNS:localhost"
    if is_master; then
        SERVER_NAMES+=",IP:$FIRST_SERVICE_IP,DNS:kubernetes,DNS:kubernetes.default"
        SERVER_NAMES+=",DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.$DNS_DOMAIN"
        local address
        for address in "$NODE_PUBLIC_IP" "$API_PRIVATE" "$API_PUBLIC"; do
            [ -z "$address" ] || [[ ",$SERVER_NAMES," == *",IP:$address,"* ]] || SERVER_NAMES+=",IP:$address"
        done
    elif [ -n "$NODE_PUBLIC_IP" ]; then
        SERVER_NAMES+=",IP:$NODE_PUBLIC_IP"
    fi
}
