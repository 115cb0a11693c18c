# shellcheck shell=bash
# etcd on the masters, one member each, as static pods. All masters know each other's addresses from
# the start, so the members are the same list everywhere and come up in any order. A member that
# lost its data (its server was replaced) joins again: once a member has run, etcd itself remembers
# it under /magnum/members/, so a first start and a second one can be told apart.
# Spoken to through its JSON gateway, for etcdctl is not on the machine.

ETCD_DATA=/var/lib/etcd
ETCD_PKI=$PKI/etcd
ETCD_PLAN=$MAGNUM_STATE/etcd-plan # "new|existing name=url,..." as of the first start

etcd_name() { printf 'master-%s' "${1//./-}"; }

etcd_call() { # address, path below /v3, body
    curl --silent --show-error --fail-with-body --max-time 20 --connect-timeout 3 --noproxy '*' \
        --cacert "$ETCD_PKI/ca.crt" --cert "$ETCD_PKI/client.crt" --key "$ETCD_PKI/client.key" \
        --data "$3" "https://$1:2379/v3/$2"
}
b64() { printf '%s' "$1" | base64 -w 0; }
etcd_get() { # address, key; "" when there is none
    local answer
    answer=$(etcd_call "$1" kv/range "{\"key\":\"$(b64 "$2")\"}") || return 1
    sed -n 's/.*"value":"\([^"]*\)".*/\1/p' <<<"$answer" | base64 -d
}
etcd_put() { # address, key, value
    etcd_call "$1" kv/put "{\"key\":\"$(b64 "$2")\",\"value\":\"$(b64 "$3")\"}" >/dev/null
}
# Puts a value unless there is one; who comes second changes nothing.
etcd_put_first() { # address, key, value
    local key
    key=$(b64 "$2")
    etcd_call "$1" kv/txn "{\"compare\":[{\"key\":\"$key\",\"target\":\"CREATE\",\"result\":\"EQUAL\",\"create_revision\":\"0\"}],\"success\":[{\"request_put\":{\"key\":\"$key\",\"value\":\"$(b64 "$3")\"}}]}" >/dev/null
}
# "ID name url" of each member; a member that was added but never ran has "-" as its name.
etcd_members() { # address
    local answer one id name url
    answer=$(etcd_call "$1" cluster/member/list '{}') || return 1
    while read -r one; do
        id=$(sed -n 's/.*"ID":"\([0-9]*\)".*/\1/p' <<<"$one")
        name=$(sed -n 's/.*"name":"\([^"]*\)".*/\1/p' <<<"$one")
        url=$(sed -n 's/.*"peerURLs":\["\([^"]*\)".*/\1/p' <<<"$one")
        printf '%s %s %s\n' "$id" "${name:--}" "$url"
    done < <(grep -o '{[^{}]*}' <<<"${answer#*\"members\":}")
}

# All masters as of the cluster's beginning.
first_members() {
    local ip list=
    while read -r ip; do
        list+="${list:+,}$(etcd_name "$ip")=https://$ip:2380"
    done < <(split_commas "$MASTER_IPS")
    printf '%s' "$list"
}
# Another master that remembers this one; nothing when those that answer do not. Status 1: none does.
who_remembers_me() {
    local ip said answered=no
    while read -r ip; do
        [ "$ip" != "$NODE_IP" ] || continue
        said=$(etcd_get "$ip" "/magnum/members/$(etcd_name "$NODE_IP")" 2>/dev/null) || continue
        answered=yes
        if [ -n "$said" ]; then
            printf '%s' "$ip"
            return 0
        fi
    done < <(split_commas "$MASTER_IPS")
    [ "$answered" = yes ] || {
        echo "etcd answers on none of the other masters" >&2
        return 1
    }
}
# Takes the member that lost its data out, and in again as a new one.
rejoin() { # address of a master that works
    local id name url list=
    while read -r id name url; do
        [ "$url" != "https://$NODE_IP:2380" ] || etcd_call "$1" cluster/member/remove "{\"ID\":\"$id\"}" >/dev/null
    done < <(etcd_members "$1")
    etcd_call "$1" cluster/member/add "{\"peerURLs\":[\"https://$NODE_IP:2380\"]}" >/dev/null
    while read -r id name url; do
        [ "$url" != "https://$NODE_IP:2380" ] || name=$(etcd_name "$NODE_IP")
        [ "$name" = - ] || list+="${list:+,}$name=$url"
    done < <(etcd_members "$1")
    printf 'existing %s' "$list"
}
plan_etcd() {
    local helper="" plan
    if [ -d "$ETCD_DATA/member" ]; then
        [ ! -s "$ETCD_PLAN" ] || return 0
    # One that comes when the cluster is there has a member in it. It must not begin anew, with a vote
    # and without the data, only because the others are choosing a leader just now.
    elif [ "${WAIT_COUNT:-1}" -gt 1 ] && [ "$MASTER_IPS" != "$NODE_IP" ]; then
        helper=$(retry who_remembers_me)
    else
        helper=$(who_remembers_me 2>/dev/null) || helper=""
    fi
    if [ -n "$helper" ]; then
        plan=$(rejoin "$helper")
    else
        plan="new $(first_members)" # etcd reads this only as long as it has no data
    fi
    put_file "$ETCD_PLAN" 0600 <<<"$plan"
}

etcd_manifest() { # state, members
    cat <<TEXT
apiVersion: v1
kind: Pod
metadata:
  name: etcd
  namespace: kube-system
  labels: {component: etcd, tier: control-plane, magnum.openstack.org/restart: "$(restart_mark)"}
spec:
  hostNetwork: true
  priorityClassName: system-node-critical
  containers:
  - name: etcd
    image: "$(image quay.io/coreos/ etcd "$LABEL_ETCD_TAG")"
    command:
    - etcd
    - --name=$(etcd_name "$NODE_IP")
    - --data-dir=$ETCD_DATA
    - --listen-client-urls=https://127.0.0.1:2379,https://$NODE_IP:2379
    - --advertise-client-urls=https://$NODE_IP:2379
    - --listen-peer-urls=https://$NODE_IP:2380
    - --initial-advertise-peer-urls=https://$NODE_IP:2380
    - --initial-cluster=$2
    - --initial-cluster-state=$1
    - --initial-cluster-token=$CLUSTER_UUID
    - --listen-metrics-urls=http://127.0.0.1:2381
    - --snapshot-count=10000
    - --cert-file=$ETCD_PKI/server.crt
    - --key-file=$ETCD_PKI/server.key
    - --client-cert-auth=true
    - --trusted-ca-file=$ETCD_PKI/ca.crt
    - --peer-cert-file=$ETCD_PKI/server.crt
    - --peer-key-file=$ETCD_PKI/server.key
    - --peer-client-cert-auth=true
    - --peer-trusted-ca-file=$ETCD_PKI/ca.crt
    livenessProbe:
      httpGet: {host: 127.0.0.1, port: 2381, path: /health, scheme: HTTP}
      initialDelaySeconds: 15
      timeoutSeconds: 15
      failureThreshold: 8
    resources:
      requests: {cpu: 100m, memory: 100Mi}
    volumeMounts:
    - {name: data, mountPath: $ETCD_DATA}
    - {name: certificates, mountPath: $ETCD_PKI, readOnly: true}
  volumes:
  - name: data
    hostPath: {path: $ETCD_DATA, type: DirectoryOrCreate}
  - name: certificates
    hostPath: {path: $ETCD_PKI, type: DirectoryOrCreate}
TEXT
}
prepare_etcd() {
    local state members
    mkdir -p "$ETCD_DATA"
    chmod 0700 "$ETCD_DATA"
    plan_etcd
    read -r state members <"$ETCD_PLAN"
    etcd_manifest "$state" "$members" | put_file "$KUBE_DIR/manifests/etcd.yaml" 0600
}
etcd_works() {
    etcd_call "$NODE_IP" kv/range "{\"key\":\"$(b64 /magnum/)\"}" >/dev/null
}
wait_for_etcd() {
    retry etcd_works
    etcd_put "$NODE_IP" "/magnum/members/$(etcd_name "$NODE_IP")" "$NODE_NAME"
}

# All masters sign service accounts' tokens with one key: the first one's that gets it into etcd.
agree_on_service_account_key() {
    local key
    key=$(etcd_get "$NODE_IP" /magnum/service-account-key)
    if [ -z "$key" ]; then
        etcd_put_first "$NODE_IP" /magnum/service-account-key "$(openssl genrsa 2048 2>/dev/null)"
        key=$(etcd_get "$NODE_IP" /magnum/service-account-key)
    fi
    openssl pkey -noout <<<"$key"
    put_file "$PKI/sa.key" 0600 <<<"$key"
    openssl pkey -pubout <<<"$key" | put_file "$PKI/sa.pub" 0644
}
