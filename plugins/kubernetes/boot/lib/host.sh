# shellcheck shell=bash
# The machine below Kubernetes: volumes, kernel settings, container runtime, programs. After machine.sh.

CONTAINERD_CONFIG=/etc/containerd/config.toml

# ---- proxies: what is reached without one ----

no_proxy_list() {
    local list="localhost,127.0.0.1,169.254.169.254,.svc,.$DNS_DOMAIN,$NODE_IP,$API_PRIVATE,$POD_CIDR,$SERVICE_CIDR"
    printf '%s%s%s' "$list" "${MASTER_IPS:+,$MASTER_IPS}" "${NO_PROXY:+,$NO_PROXY}"
}

# ---- volumes ----

mount_volumes() {
    mount_volume "${DOCKER_VOLUME_ID:-}" /var/lib/containerd magnum-docker
    ! is_master || mount_volume "${ETCD_VOLUME_ID:-}" /var/lib/etcd magnum-etcd
}

# ---- kernel ----

prepare_kernel() {
    printf '%s\n' overlay br_netfilter | put_file /etc/modules-load.d/magnum.conf 0644
    modprobe overlay
    modprobe br_netfilter
    put_file /etc/sysctl.d/90-magnum.conf 0644 <<'TEXT'
net.ipv4.ip_forward = 1
net.bridge.bridge-nf-call-iptables = 1
net.bridge.bridge-nf-call-ip6tables = 1
TEXT
    sysctl -q -p /etc/sysctl.d/90-magnum.conf
    swapoff -a
    [ ! -f /etc/fstab ] || sed -i '/^[^#].*[[:space:]]swap[[:space:]]/s/^/# /' /etc/fstab
    if command -v getenforce >/dev/null && [ "$(getenforce)" != Disabled ]; then
        local mode=1
        [ "$LABEL_SELINUX_MODE" = enforcing ] || mode=0
        setenforce "$mode"
        [ ! -f /etc/selinux/config ] || sed -i "s/^SELINUX=.*/SELINUX=$LABEL_SELINUX_MODE/" /etc/selinux/config
    fi
}

# ---- container runtime ----

install_containerd() {
    command -v containerd >/dev/null && return 0
    if [ -n "${LABEL_CONTAINERD_TARBALL_URL:-}" ]; then
        download "$LABEL_CONTAINERD_TARBALL_URL" "$MAGNUM_STATE/containerd.tar.gz" "${LABEL_CONTAINERD_TARBALL_SHA256:-}"
        tar -xzf "$MAGNUM_STATE/containerd.tar.gz" -C / --no-same-owner --no-same-permissions --touch
        rm -f "$MAGNUM_STATE/containerd.tar.gz"
    elif command -v apt-get >/dev/null; then
        retry apt_install containerd
    fi
    command -v containerd >/dev/null ||
        die "the image has no containerd: use one that has, or give the label containerd_tarball_url"
}
containerd_config() {
    local systemd=true
    [ "$LABEL_CGROUP_DRIVER" = systemd ] || systemd=false
    cat <<TEXT
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$(image registry.k8s.io/ pause "$LABEL_PAUSE_TAG")"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = $systemd
TEXT
}
# A registry without a certificate that could be checked: by host[:port].
insecure_registries() {
    local registry
    while read -r registry; do
        put_file "/etc/containerd/certs.d/$registry/hosts.toml" 0644 <<TEXT
server = "http://$registry"
[host."https://$registry"]
  skip_verify = true
[host."http://$registry"]
TEXT
    done < <(split_commas "${INSECURE_REGISTRY:-}")
}
prepare_runtime() {
    local changes
    install_containerd
    mkdir -p /etc/containerd/certs.d
    changes=$(
        containerd_config | put_file "$CONTAINERD_CONFIG" 0644
        insecure_registries
        proxy_drop_in containerd.service
    )
    systemctl daemon-reload
    systemctl enable containerd.service
    # Without a change a running one is left alone: a restart would be harmless, but for nothing.
    if [ -n "$changes" ]; then systemctl restart containerd.service; else systemctl start containerd.service; fi
    retry test -S /run/containerd/containerd.sock
}

# ---- Kubernetes' programs ----

version_is() { # program: its own version is the wanted one
    local path said
    path=$(command -v "$1") || return 1
    case $1 in
    kubeadm) said=$("$path" version -o short 2>/dev/null) ;;
    kubectl) said=$("$path" version --client --output=json 2>/dev/null | json_get clientVersion.gitVersion) ;;
    *) said=$("$path" --version 2>/dev/null) ;;
    esac || return 1
    [[ " $said" =~ [\ v]$(kube_version | sed 's/\./\\./g')([-+].*)?$ ]]
}
from_tarball() {
    local dir=$MAGNUM_STATE/kubernetes name found
    download "$LABEL_KUBE_TARBALL_URL" "$MAGNUM_STATE/kubernetes.tar.gz" "${LABEL_KUBE_TARBALL_SHA256:-}"
    rm -rf "$dir"
    mkdir -p "$dir"
    tar -xzf "$MAGNUM_STATE/kubernetes.tar.gz" -C "$dir" --no-same-owner
    for name in "$@"; do
        found=$(find "$dir" -type f -name "$name" | head -n 1)
        [ -n "$found" ] || die "$LABEL_KUBE_TARBALL_URL holds no $name"
        install -m 0755 "$found" "$BIN_DIR/.$name.new"
        mv -f "$BIN_DIR/.$name.new" "$BIN_DIR/$name"
    done
    rm -rf "$dir" "$MAGNUM_STATE/kubernetes.tar.gz"
}
from_download() {
    local base name sum
    base=${LABEL_KUBE_DOWNLOAD_URL%/}/v$(kube_version)/bin/linux/$(machine)
    for name in "$@"; do
        sum=$(retry curl --silent --show-error --fail --location --connect-timeout 15 "$base/$name.sha256")
        [[ ${sum%% *} =~ ^[0-9a-f]{64}$ ]] || die "$base/$name.sha256 is not a checksum"
        download "$base/$name" "$BIN_DIR/.$name.new" "${sum%% *}"
        chmod 0755 "$BIN_DIR/.$name.new"
        mv -f "$BIN_DIR/.$name.new" "$BIN_DIR/$name"
    done
}
# The image's own programs when they are of the wanted version, else those of the labels.
install_kubernetes() {
    local name missing=()
    mkdir -p "$BIN_DIR"
    for name in kubelet kubectl kubeadm; do
        if [ "$name" = kubeadm ] && ! is_master; then continue; fi
        version_is "$name" || missing+=("$name")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        if [ -n "${LABEL_KUBE_TARBALL_URL:-}" ]; then from_tarball "${missing[@]}"; else from_download "${missing[@]}"; fi
    fi
    for name in "${missing[@]}"; do
        version_is "$name" || die "$BIN_DIR/$name is not of version $(kube_version)"
    done
    install_cni_plugins
}
# The add-on of the network brings its own; these are what such add-ons build upon.
install_cni_plugins() {
    local name
    mkdir -p /opt/cni/bin
    if [ ! -x /opt/cni/bin/loopback ]; then
        if [ -x /usr/lib/cni/loopback ]; then
            for name in /usr/lib/cni/*; do ln -sfn "$name" "/opt/cni/bin/${name##*/}"; done
        elif [ -n "$LABEL_CNI_PLUGINS_URL" ]; then
            download "$LABEL_CNI_PLUGINS_URL" "$MAGNUM_STATE/cni.tar.gz" "${LABEL_CNI_PLUGINS_SHA256:-}"
            tar -xzf "$MAGNUM_STATE/cni.tar.gz" -C /opt/cni/bin --no-same-owner
            rm -f "$MAGNUM_STATE/cni.tar.gz"
        elif command -v apt-get >/dev/null; then
            retry apt_install containernetworking-plugins
            for name in /usr/lib/cni/*; do ln -sfn "$name" "/opt/cni/bin/${name##*/}"; done
        fi
    fi
    [ -x /opt/cni/bin/loopback ] || die "the image has no CNI plugins: use one that has, or give the label cni_plugins_url"
}
