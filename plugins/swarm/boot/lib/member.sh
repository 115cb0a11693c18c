# shellcheck shell=bash
# Membership in the swarm. The first manager makes it, everybody else asks a manager for a join
# token over TLS with its own certificate: tokens stand in no user data and on no command line.

is_manager() { [ "$ROLE" = master ]; }
is_first_manager() { is_manager && [ "$NODE_INDEX" = 0 ]; }
swarm_state() { docker_api GET /info | json_get Swarm.LocalNodeState; }
node_id() { docker_api GET /info | json_get Swarm.NodeID; }

manager_get() { # address, path
    curl --silent --show-error --fail --noproxy '*' --connect-timeout 5 --max-time 20 \
        --cacert "$DOCKER_ETC/ca.pem" --cert "$DOCKER_ETC/server.crt" --key "$DOCKER_ETC/server.key" \
        "https://$1:$API_PORT$2"
}
other_managers() {
    local address all
    IFS=, read -r -a all <<<"$MASTER_IPS"
    for address in "${all[@]}"; do
        [ "$address" = "$NODE_IP" ] || printf '%s\n' "$address"
    done
}

join_body() { # manager's address, token
    printf '{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":%s,"RemoteAddrs":[%s],"JoinToken":%s}' \
        "$(json_string "$NODE_IP:2377")" "$(json_string "$1:2377")" "$(json_string "$2")"
}
# Status 1 when no manager can be asked now.
join_by_any() {
    local address kind=Worker answer token
    ! is_manager || kind=Manager
    while read -r address; do
        answer=$(manager_get "$address" /swarm) || continue
        token=$(json_get "JoinTokens.$kind" <<<"$answer")
        [ -n "$token" ] || continue
        join_body "$address" "$token" | docker_api POST /swarm/join && return 0
        # a join that was cut off goes on in the background and stands in the way of the next
        docker_api POST '/swarm/leave?force=true' </dev/null || true
    done < <(other_managers)
    echo "no manager of the swarm at $(other_managers | tr '\n' ' ')could be joined" >&2
    return 1
}
init_body() {
    printf '{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":%s,"DataPathAddr":%s,"DefaultAddrPool":[%s],"SubnetSize":24,"Spec":{"Dispatcher":{"HeartbeatPeriod":%s000000000}}}' \
        "$(json_string "$NODE_IP:2377")" "$(json_string "$NODE_IP")" \
        "$(json_string "${LABEL_SWARM_ADDRESS_POOL:-10.128.0.0/9}")" "${LABEL_HEARTBEAT_SECONDS:-5}"
}
# Only when the cluster is made does the first manager begin a swarm, and not even then when others
# have one: it was replaced.
become_member() {
    [ "$(swarm_state)" != active ] || return 0
    if is_first_manager && is_true "${SWARM_INIT:-}"; then
        join_by_any 2>/dev/null || init_body | docker_api POST /swarm/init
    else
        retry join_by_any
    fi
}

# A demotion is done some time after it was asked for, and until then nobody lets the node go.
forget_node() { # id
    ! docker node inspect "$1" >/dev/null 2>&1 || docker node rm --force "$1"
}
# A manager in this one's place that is gone still counts for the majority.
drop_former_lives() {
    local id mine
    is_manager || return 0
    mine=$(node_id)
    docker node ls --filter "name=$NODE_NAME" --format '{{.ID}} {{.Hostname}} {{.Status}}' |
        while read -r id name status; do
            if [ "$id" != "$mine" ] && [ "$name" = "$NODE_NAME" ] && [ "$status" = Down ]; then
                docker node demote "$id" || true
                retry forget_node "$id"
            fi
        done
}

node_is_ready() {
    [ "$(swarm_state)" = active ] && { ! is_manager || docker_api GET /nodes >/dev/null; }
}
wait_for_node() { retry node_is_ready; }

# New ones for whoever joins from now on, and new certificates for the nodes among themselves.
rotate_swarm_secrets() {
    docker swarm join-token --quiet --rotate worker >/dev/null
    docker swarm join-token --quiet --rotate manager >/dev/null
    docker swarm ca --rotate --detach --quiet
}

# ---- what services may want ----

volume_driver() {
    [ "${VOLUME_DRIVER:-}" = rexray ] || return 0
    [ -n "${TRUST_ID:-}" ] || die "the volume driver rexray needs the cluster's trust on its nodes: trust.cluster_user_trust"
    docker plugin inspect rexray/cinder >/dev/null 2>&1 ||
        retry docker plugin install --disable --grant-all-permissions "rexray/cinder:${LABEL_REXRAY_TAG:-latest}" --alias rexray/cinder
    [ "$(docker plugin inspect --format '{{.Enabled}}' rexray/cinder)" = false ] || return 0
    printf '[%s,%s,%s,%s,%s,%s]' "$(json_string "CINDER_AUTHURL=$(keystone_v3 "$AUTH_URL")")" \
        "$(json_string "CINDER_USERID=$TRUSTEE_USER_ID")" "$(json_string "CINDER_PASSWORD=$TRUSTEE_PASSWORD")" \
        "$(json_string "CINDER_TRUSTID=$TRUST_ID")" "$(json_string "CINDER_REGIONNAME=${REGION:-}")" \
        "$(json_string "REXRAY_PREEMPT=${LABEL_REXRAY_PREEMPT:-false}")" |
        docker_api POST /plugins/rexray%2Fcinder/set
    docker plugin enable rexray/cinder
}
# One for the whole cluster, at port 5000 of every node; its images are kept by the first manager.
registry() {
    is_true "${REGISTRY_ENABLED:-}" && is_first_manager || return 0
    docker service inspect registry >/dev/null 2>&1 ||
        retry docker service create --detach --name registry --publish 5000:5000 \
            --constraint "node.id==$(node_id)" --mount type=volume,source=registry,target=/var/lib/registry \
            "${LABEL_CONTAINER_INFRA_PREFIX:-}registry:${LABEL_REGISTRY_TAG:-2}"
}
