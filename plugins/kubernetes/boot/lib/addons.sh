# shellcheck shell=bash
# shellcheck disable=SC2034 # variables are named by the manifests
# Add-ons by label: manifests with @@NAME@@ for what differs, applied by the first master. Applying
# again changes nothing. Each add-on's objects carry the label magnum.openstack.org/addon.

MANIFESTS=${MAGNUM_MANIFESTS:-/opt/magnum/manifests}

# Puts values in. They stand within quoted texts or are plain words, so what would end a text is
# refused; a value is never looked at for names again.
render() { # file
    local text out="" name value
    text=$(<"$1")
    while [[ $text =~ @@([A-Z][A-Z0-9_]*)@@ ]]; do
        name=${BASH_REMATCH[1]}
        [ -n "${!name+x}" ] || die "$1 names $name, which isn't known"
        value=${!name}
        [[ $value != *[\"\\]* && $value != *$'\n'* ]] || die "the value of $name can't stand in a manifest: $value"
        out+=${text%%"@@$name@@"*}$value
        text=${text#*"@@$name@@"}
    done
    printf '%s%s\n' "$out" "$text"
}

flannel_type() { if [ "$1" = host-gw ] || [ "$1" = udp ]; then echo "$1"; else echo vxlan; fi; }
calico_ipip() { # label's value -> Calico's own word
    case $1 in
    Always | CrossSubnet) echo "$1" ;;
    *) echo Never ;;
    esac
}
# The images and words that manifests name.
addon_values() {
    local k8s=registry.k8s.io/
    IMAGE_FLANNEL=$(image docker.io/flannel/ flannel "$LABEL_FLANNEL_TAG")
    IMAGE_FLANNEL_CNI=$(image docker.io/flannel/ flannel-cni-plugin "$LABEL_FLANNEL_CNI_TAG")
    IMAGE_CALICO_NODE=$(image quay.io/calico/ node "$LABEL_CALICO_TAG")
    IMAGE_CALICO_CNI=$(image quay.io/calico/ cni "$LABEL_CALICO_TAG")
    IMAGE_CALICO_CONTROLLERS=$(image quay.io/calico/ kube-controllers "${LABEL_CALICO_KUBE_CONTROLLERS_TAG:-$LABEL_CALICO_TAG}")
    IMAGE_CILIUM=$(image quay.io/cilium/ cilium "$LABEL_CILIUM_TAG")
    IMAGE_CILIUM_OPERATOR=$(image quay.io/cilium/ operator-generic "$LABEL_CILIUM_TAG")
    IMAGE_COREDNS=$(image docker.io/coredns/ coredns "$LABEL_COREDNS_TAG")
    IMAGE_METRICS_SERVER=$(image ${k8s}metrics-server/ metrics-server "$LABEL_METRICS_SERVER_TAG")
    IMAGE_CLOUD_CONTROLLER=$(image ${k8s}provider-os/ openstack-cloud-controller-manager "$LABEL_CLOUD_PROVIDER_TAG")
    IMAGE_KEYSTONE_AUTH=$(image ${k8s}provider-os/ k8s-keystone-auth "$LABEL_K8S_KEYSTONE_AUTH_TAG")
    IMAGE_CINDER_CSI=$(image ${k8s}provider-os/ cinder-csi-plugin "$LABEL_CINDER_CSI_PLUGIN_TAG")
    IMAGE_CSI_ATTACHER=$(image ${k8s}sig-storage/ csi-attacher "$LABEL_CSI_ATTACHER_TAG")
    IMAGE_CSI_PROVISIONER=$(image ${k8s}sig-storage/ csi-provisioner "$LABEL_CSI_PROVISIONER_TAG")
    IMAGE_CSI_SNAPSHOTTER=$(image ${k8s}sig-storage/ csi-snapshotter "$LABEL_CSI_SNAPSHOTTER_TAG")
    IMAGE_CSI_RESIZER=$(image ${k8s}sig-storage/ csi-resizer "$LABEL_CSI_RESIZER_TAG")
    IMAGE_CSI_REGISTRAR=$(image ${k8s}sig-storage/ csi-node-driver-registrar "$LABEL_CSI_NODE_DRIVER_REGISTRAR_TAG")
    IMAGE_CSI_LIVENESS=$(image ${k8s}sig-storage/ livenessprobe "$LABEL_CSI_LIVENESS_PROBE_TAG")
    IMAGE_AUTOSCALER=$(image ${k8s}autoscaling/ cluster-autoscaler "$LABEL_AUTOSCALER_TAG")
    IMAGE_NPD=$(image ${k8s}node-problem-detector/ node-problem-detector "$LABEL_NODE_PROBLEM_DETECTOR_TAG")
    IMAGE_DRAINO=$(image docker.io/planetlabs/ draino "$LABEL_DRAINO_TAG")
    IMAGE_AUTO_HEALER=$(image ${k8s}provider-os/ magnum-auto-healer "$LABEL_MAGNUM_AUTO_HEALER_TAG")
    FLANNEL_TYPE=$(flannel_type "$LABEL_FLANNEL_BACKEND")
    CALICO_IPIP=$(calico_ipip "$LABEL_CALICO_IPV4POOL_IPIP")
    KEYSTONE_URL=$(keystone_v3 "$AUTH_URL")
    CLOUD_CONF_BASE64=$(cloud_config | base64 -w 0)
    AUTO_HEALER_BASE64=$(auto_healer_config | base64 -w 0)
    KEYSTONE_CA_FILE=
    [ ! -s "$MAGNUM_ETC/openstack-ca.pem" ] || KEYSTONE_CA_FILE=/etc/openstack/ca.pem
    OPENSTACK_CA_BASE64=$(base64 -w 0 2>/dev/null <"$MAGNUM_ETC/openstack-ca.pem" || true)
}

# The file in which the OpenStack add-ons find their cloud: as the cluster's trustee.
cloud_config() {
    cat <<TEXT
[Global]
auth-url = $(keystone_v3 "$AUTH_URL")
user-id = $TRUSTEE_USER_ID
password = $(ini_quoted "$TRUSTEE_PASSWORD")
trust-id = ${TRUST_ID:-}
TEXT
    [ -z "$REGION" ] || printf 'region = %s\n' "$REGION"
    [ ! -s "$MAGNUM_ETC/openstack-ca.pem" ] || echo 'ca-file = /etc/openstack/ca.pem'
    [ "${VERIFY_CA:-true}" != false ] || echo 'tls-insecure = true'
    cat <<TEXT
[LoadBalancer]
enabled = ${OCTAVIA_ENABLED:-true}
create-monitor = $LABEL_OCTAVIA_LB_HEALTHCHECK
lb-provider = $LABEL_OCTAVIA_PROVIDER
lb-method = $LABEL_OCTAVIA_LB_ALGORITHM
TEXT
    [ -z "${SUBNET_ID:-}" ] || printf 'subnet-id = %s\n' "$SUBNET_ID"
    [ -z "${EXTERNAL_NETWORK:-}" ] || printf 'floating-network-id = %s\n' "$EXTERNAL_NETWORK"
    printf "[BlockStorage]\nbs-version = v3\nignore-volume-az = true\n"
}
auto_healer_config() {
    cat <<TEXT
cluster-name: $CLUSTER_UUID
dry-run: false
monitor-interval: 30s
check-delay-after-add: 20m
leader-elect: true
health-check:
  master:
  - type: NodeCondition
    params: {unhealthy-duration: 5m, types: [Ready], ok-values: ["True"]}
  worker:
  - type: NodeCondition
    params: {unhealthy-duration: 5m, types: [Ready], ok-values: ["True"]}
openstack:
  auth-url: $(json_string "$(keystone_v3 "$AUTH_URL")")
  user-id: $(json_string "$TRUSTEE_USER_ID")
  password: $(json_string "$TRUSTEE_PASSWORD")
  trust-id: $(json_string "${TRUST_ID:-}")
  region: $(json_string "$REGION")
TEXT
    [ ! -s "$MAGNUM_ETC/openstack-ca.pem" ] || echo '  ca-file: /etc/openstack/ca.pem'
}
ini_quoted() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# Which add-ons this cluster has: the names of their manifests, the network first.
wanted_addons() {
    [ "$(kube_minor)" -ge 25 ] || [[ ,${LABEL_ADMISSION_CONTROL_LIST:-}, != *,PodSecurityPolicy,* ]] || echo pod-security-policy
    echo "$NETWORK_DRIVER"
    echo coredns
    echo cloud-config
    ! is_true "$LABEL_CLOUD_PROVIDER_ENABLED" || echo cloud-controller-manager
    ! is_true "$LABEL_CINDER_CSI_ENABLED" || echo cinder-csi
    ! is_true "$LABEL_KEYSTONE_AUTH_ENABLED" || echo keystone-auth
    ! is_true "$LABEL_METRICS_SERVER_ENABLED" || echo metrics-server
    ! is_true "$LABEL_NPD_ENABLED" || echo node-problem-detector
    if is_true "$LABEL_AUTO_HEALING_ENABLED"; then echo "$LABEL_AUTO_HEALING_CONTROLLER"; fi
    ! is_true "$LABEL_AUTO_SCALING_ENABLED" || echo cluster-autoscaler
}
apply_text() { admin_kubectl apply -f - <<<"$1"; }
apply_addon() { # name
    local text
    # Calico is the one with kinds of its own whose definitions it does not bring itself.
    [ "$1" != calico ] || retry apply_text "$(calico_kinds)"
    text=$(render "$MANIFESTS/$1.yaml")
    retry apply_text "$text"
}
apply_addons() {
    local name
    addon_values
    while read -r name; do
        apply_addon "$name" || die "add-on $name"
    done < <(wanted_addons)
}

# The kinds Calico keeps its data in; their content is its own business.
calico_kinds() {
    local one plural scope
    while read -r one scope; do
        plural=${one,,}s
        [[ $one != *y ]] || plural=${plural%ys}ies
        [[ $one != *Status ]] || plural=${one,,}es
        cat <<TEXT
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: $plural.crd.projectcalico.org
  labels: {magnum.openstack.org/addon: calico}
spec:
  group: crd.projectcalico.org
  names: {kind: $one, listKind: ${one}List, plural: $plural, singular: ${one,,}}
  scope: $scope
  preserveUnknownFields: false
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
TEXT
    done <<'KINDS'
BGPConfiguration Cluster
BGPFilter Cluster
BGPPeer Cluster
BlockAffinity Cluster
CalicoNodeStatus Cluster
ClusterInformation Cluster
FelixConfiguration Cluster
GlobalNetworkPolicy Cluster
GlobalNetworkSet Cluster
HostEndpoint Cluster
IPAMBlock Cluster
IPAMConfig Cluster
IPAMHandle Cluster
IPPool Cluster
IPReservation Cluster
KubeControllersConfiguration Cluster
NetworkPolicy Namespaced
NetworkSet Namespaced
KINDS
}

# What the operator or user wants beside all that; from a URL, applied as it is.
post_install() {
    [ -n "${POST_INSTALL_MANIFEST_URL:-}" ] || return 0
    download "$POST_INSTALL_MANIFEST_URL" "$MAGNUM_STATE/post-install.yaml" ""
    retry admin_kubectl apply -f "$MAGNUM_STATE/post-install.yaml"
}
