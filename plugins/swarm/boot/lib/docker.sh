# shellcheck shell=bash
# The Docker daemon of a node: installed, with certificates of the cluster's CA, listening for the
# API on the node's address.

DOCKER_ETC=/etc/docker
API_PORT=${API_PORT:-2375}

no_proxy_list() {
    local list="localhost,127.0.0.1,169.254.169.254,$NODE_IP,$API_PRIVATE"
    printf '%s%s%s' "$list" "${MASTER_IPS:+,$MASTER_IPS}" "${NO_PROXY:+,$NO_PROXY}"
}

install_docker() {
    command -v dockerd >/dev/null && return 0
    if [ -n "${LABEL_DOCKER_TARBALL_URL:-}" ]; then
        download "$LABEL_DOCKER_TARBALL_URL" "$MAGNUM_STATE/docker.tar.gz" "${LABEL_DOCKER_TARBALL_SHA256:-}"
        mkdir -p /opt/magnum/bin
        tar -xzf "$MAGNUM_STATE/docker.tar.gz" -C /opt/magnum/bin --strip-components=1 --no-same-owner
        rm -f "$MAGNUM_STATE/docker.tar.gz"
        docker_unit
    elif command -v apt-get >/dev/null; then
        retry apt_install docker.io
    fi
    find_dockerd >/dev/null || die "the image has no Docker: use one that has, or give the label docker_tarball_url"
}
find_dockerd() { PATH=$PATH:/opt/magnum/bin command -v dockerd; }
# For programs that came without one.
docker_unit() {
    put_file /etc/systemd/system/docker.service 0644 <<'TEXT'
[Unit]
Description=Docker
After=network-online.target
Wants=network-online.target
[Service]
Type=notify
Environment=PATH=/opt/magnum/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/opt/magnum/bin/dockerd
Restart=always
RestartSec=2
LimitNOFILE=infinity
TasksMax=infinity
Delegate=yes
KillMode=process
[Install]
WantedBy=multi-user.target
TEXT
}

# ---- certificates ----

certificate_names() {
    local names="DNS:$NODE_NAME,IP:$NODE_IP,IP:127.0.0.1" address
    for address in "${NODE_PUBLIC_IP:-}" "${API_PRIVATE:-}" "${API_PUBLIC:-}"; do
        case ",$names," in *",IP:$address,"*) continue ;; esac
        [ -z "$address" ] || names="$names,IP:$address"
    done
    printf '%s' "$names"
}
node_certificate() {
    make_certificate "$DOCKER_ETC/server" kubelet "$DOCKER_ETC/ca.pem" "CN = $NODE_NAME
O = magnum" "clientAuth,serverAuth" "$(certificate_names)"
}
docker_certificates() {
    fetch_ca kubelet "$DOCKER_ETC/ca.pem"
    node_certificate
    forget_token
}
# The daemon reads them when it starts, and only then.
trust_docker_ca() {
    fetch_ca kubelet "$DOCKER_ETC/ca.pem" | restart_when_changed
}
renew_docker_certificates() {
    { fetch_ca kubelet "$DOCKER_ETC/ca.pem" && node_certificate; } | restart_when_changed
    forget_token
}
restart_when_changed() {
    local said
    said=$(cat)
    printf '%s\n' "$said"
    [[ $said != *changed* ]] || restart_docker
}

# ---- configuration ----

json_list() { # comma separated words
    local word list="" words
    IFS=, read -r -a words <<<"$1"
    for word in "${words[@]}"; do
        word=${word//[[:space:]]/}
        [ -z "$word" ] || list="$list${list:+, }$(json_string "$word")"
    done
    printf '[%s]' "$list"
}
daemon_json() {
    printf '{\n  "hosts": ["unix:///var/run/docker.sock", "tcp://0.0.0.0:%s"],\n' "$API_PORT"
    printf '  "tlsverify": true,\n  "tlscacert": "%s/ca.pem",\n  "tlscert": "%s/server.crt",\n  "tlskey": "%s/server.key",\n' \
        "$DOCKER_ETC" "$DOCKER_ETC" "$DOCKER_ETC"
    [ -z "${DOCKER_STORAGE_DRIVER:-}" ] ||
        printf '  "storage-driver": %s,\n' "$(json_string "$DOCKER_STORAGE_DRIVER")"
    [ -z "${INSECURE_REGISTRY:-}" ] ||
        printf '  "insecure-registries": %s,\n' "$(json_list "$INSECURE_REGISTRY")"
    printf '  "labels": ["magnum.nodegroup=%s", "magnum.role=%s"],\n' "$NODEGROUP" \
        "$(is_manager && echo manager || echo worker)"
    printf '  "log-driver": "json-file",\n  "log-opts": {"max-size": "20m", "max-file": "5"}\n}\n'
}
configure_docker() {
    daemon_json | put_file "$DOCKER_ETC/daemon.json" 0644
    # distributions name the daemon's sockets on its command line, which does not go with the file
    put_file /etc/systemd/system/docker.service.d/10-magnum.conf 0644 <<TEXT
[Service]
ExecStart=
ExecStart=$(find_dockerd)
TEXT
    proxy_drop_in docker.service
    systemctl daemon-reload
}
docker_answers() { docker_api GET /_ping >/dev/null; }
start_docker() {
    systemctl enable docker.service
    systemctl restart docker.service
    retry docker_answers
}
restart_docker() {
    systemctl restart docker.service
    retry docker_answers
}

# ---- the API of this node's daemon, by its socket; a body comes on standard input ----

docker_api() { # method, path
    local body=()
    [ "$1" = GET ] || [ "$1" = DELETE ] || body=(--header 'Content-Type: application/json' --data-binary @-)
    curl --silent --show-error --fail-with-body --noproxy '*' --max-time 120 \
        --unix-socket /var/run/docker.sock --request "$1" "${body[@]}" "http://docker$2"
}
