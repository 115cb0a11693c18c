# shellcheck shell=bash
# ZooKeeper, Mesos, Marathon and Chronos of a node, from packages or as the image has them. Mesos'
# packages take each option from a file of its name; their units start what they are told.

no_proxy_list() {
    local list="localhost,127.0.0.1,169.254.169.254,$NODE_IP,$API_PRIVATE"
    printf '%s%s%s' "$list" "${MASTER_IPS:+,$MASTER_IPS}" "${NO_PROXY:+,$NO_PROXY}"
}
masters() {
    local all
    IFS=, read -r -a all <<<"$MASTER_IPS"
    printf '%s\n' "${all[@]}"
}
zk_url() { # path
    printf 'zk://%s/%s' "$(masters | sed 's/$/:2181/' | paste -sd, -)" "$1"
}
# An option is a file; without a value there is none.
option() { # directory, name, value
    if [ -n "$3" ]; then
        printf '%s\n' "$3" | put_file "$1/$2" 0644
    else
        rm -f "$1/$2"
    fi
}

# ---- packages ----

add_source() {
    [ -n "${LABEL_MESOS_PACKAGE_SOURCE:-}" ] || return 0
    if [ -n "${LABEL_MESOS_PACKAGE_KEY:-}" ]; then
        download "$LABEL_MESOS_PACKAGE_KEY" "$MAGNUM_STATE/mesos.asc" ""
        cp "$MAGNUM_STATE/mesos.asc" /etc/apt/trusted.gpg.d/mesos.asc
        chmod 0644 /etc/apt/trusted.gpg.d/mesos.asc
    fi
    printf '%s\n' "$LABEL_MESOS_PACKAGE_SOURCE" | put_file /etc/apt/sources.list.d/mesos.list 0644
}
package() { # name, version or ""
    printf '%s%s' "$1" "${2:+=$2}"
}
has_program() { # mesos-master, mesos-agent, marathon, chronos
    command -v "$1" >/dev/null || [ "$1" != mesos-agent ] || command -v mesos-slave >/dev/null
}
install_one() { # program, package, version
    has_program "$1" && return 0
    [ -n "${LABEL_MESOS_PACKAGE_SOURCE:-}" ] ||
        die "the image has no $1, and the label mesos_package_source names no place to get it"
    retry apt_install "$(package "$2" "$3")"
    has_program "$1" || die "package $2 brought no $1"
}
install_packages() {
    add_source
    if [ "$ROLE" = master ]; then
        [ -d /usr/share/zookeeper ] || [ -d /opt/zookeeper ] || retry apt_install zookeeperd
        install_one mesos-master mesos "${LABEL_MESOS_VERSION:-}"
        install_one marathon marathon "${LABEL_MARATHON_VERSION:-}"
        ! is_true "${LABEL_CHRONOS_ENABLED:-}" || install_one chronos chronos "${LABEL_CHRONOS_VERSION:-}"
    else
        install_one mesos-agent mesos "${LABEL_MESOS_VERSION:-}"
        command -v dockerd >/dev/null || retry apt_install docker.io
    fi
}

# ---- ZooKeeper ----

zookeeper_config() {
    local number=0 address
    printf '%s\n' tickTime=2000 initLimit=10 syncLimit=5 dataDir=/var/lib/zookeeper clientPort=2181 \
        autopurge.snapRetainCount=3 autopurge.purgeInterval=1
    while read -r address; do
        number=$((number + 1))
        printf 'server.%d=%s:2888:3888\n' "$number" "$address"
    done < <(masters)
}
# Agents only need to know where it is; the ensemble is the masters'.
zookeeper() {
    zk_url mesos | put_file /etc/mesos/zk 0644
    if [ "$ROLE" != master ]; then
        ! systemctl list-unit-files zookeeper.service >/dev/null 2>&1 || systemctl disable --now zookeeper.service || true
        return 0
    fi
    printf '%d\n' "$((NODE_INDEX + 1))" | put_file /etc/zookeeper/conf/myid 0644
    # Debian links the one to the other; images of their own may not
    [ -e /var/lib/zookeeper/myid ] || { mkdir -p /var/lib/zookeeper && cp /etc/zookeeper/conf/myid /var/lib/zookeeper/myid; }
    zookeeper_config | put_file /etc/zookeeper/conf/zoo.cfg 0644
    systemctl enable zookeeper.service
    systemctl restart zookeeper.service
}

# ---- masters ----

mesos_master() {
    local etc=/etc/mesos-master
    option $etc quorum "$((MASTER_COUNT / 2 + 1))"
    option $etc hostname "$NODE_IP"
    option $etc ip "$NODE_IP"
    option $etc cluster "$CLUSTER_NAME"
    option $etc work_dir /var/lib/mesos
    [ -z "${NODE_PUBLIC_IP:-}" ] || option $etc advertise_ip "$NODE_IP"
    no_agent_here
    proxy_drop_in mesos-master.service
    start mesos-master.service
}
no_agent_here() {
    systemctl disable --now mesos-slave.service 2>/dev/null || true
}
no_master_here() {
    systemctl disable --now mesos-master.service 2>/dev/null || true
}
start() { # unit
    systemctl daemon-reload
    systemctl enable "$1"
    systemctl restart "$1"
}
environment() { # lines of NAME=value; file
    put_file "$1" 0644
}
marathon() {
    printf '%s\n' "MARATHON_MASTER=$(zk_url mesos)" "MARATHON_ZK=$(zk_url marathon)" \
        "MARATHON_HOSTNAME=$NODE_IP" MARATHON_HTTP_PORT=8080 \
        "MARATHON_TASK_LAUNCH_TIMEOUT=600000" | environment /etc/default/marathon
    start marathon.service
}
chronos() {
    is_true "${LABEL_CHRONOS_ENABLED:-}" || return 0
    option /etc/chronos/conf http_port 4400
    option /etc/chronos/conf master "$(zk_url mesos)"
    option /etc/chronos/conf zk_hosts "$(masters | sed 's/$/:2181/' | paste -sd, -)"
    start chronos.service
}
answers() { # url
    curl --silent --show-error --fail --noproxy '*' --max-time 10 --output /dev/null "$1"
}
wait_for_master() {
    retry answers "http://$NODE_IP:5050/health"
    retry answers "http://$NODE_IP:8080/ping"
}

# ---- agents ----

agent_docker() {
    proxy_drop_in docker.service
    if [ -n "${INSECURE_REGISTRY:-}" ]; then
        printf '{"insecure-registries": [%s]}\n' \
            "$(tr ',' '\n' <<<"$INSECURE_REGISTRY" | sed '/^ *$/d; s/^ *//; s/ *$//; s/.*/"&"/' | paste -sd, -)" |
            put_file /etc/docker/daemon.json 0644
    fi
    start docker.service
}
mesos_agent() {
    local etc=/etc/mesos-slave
    option $etc hostname "$NODE_IP"
    option $etc ip "$NODE_IP"
    option $etc containerizers docker,mesos
    option $etc executor_registration_timeout "${LABEL_EXECUTOR_REGISTRATION_TIMEOUT:-5mins}"
    option $etc isolation "${LABEL_MESOS_SLAVE_ISOLATION:-}"
    option $etc image_providers "${LABEL_MESOS_SLAVE_IMAGE_PROVIDERS:-}"
    option $etc work_dir "${LABEL_MESOS_SLAVE_WORK_DIR:-/var/lib/mesos}"
    option $etc executor_environment_variables "${LABEL_MESOS_SLAVE_EXECUTOR_ENV_VARIABLES:-}"
    no_master_here
    proxy_drop_in mesos-slave.service
    start mesos-slave.service
}
volume_driver() {
    [ "${VOLUME_DRIVER:-}" = rexray ] || return 0
    [ -n "${TRUST_ID:-}" ] || die "the volume driver rexray needs the cluster's trust on its nodes: trust.cluster_user_trust"
    command -v rexray >/dev/null || die "the image has no rexray, which the volume driver needs"
    put_file /etc/rexray/config.yml 0600 <<TEXT
libstorage:
  service: cinder
  integration:
    volume:
      operations:
        mount:
          preempt: ${LABEL_REXRAY_PREEMPT:-false}
cinder:
  authURL: $(keystone_v3 "$AUTH_URL")
  userID: $TRUSTEE_USER_ID
  password: $(json_string "$TRUSTEE_PASSWORD")
  trustID: $TRUST_ID
  regionName: ${REGION:-}
TEXT
    start rexray.service
}
# An agent's own health says that it runs; that the masters know it shows in their list.
wait_for_agent() { retry answers "http://$NODE_IP:5051/health"; }
