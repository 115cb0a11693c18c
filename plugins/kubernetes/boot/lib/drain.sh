# shellcheck shell=bash
# A node empties itself before it changes, with no more rights than its kubelet has: it may evict and
# delete the pods that run on it, and mark itself unschedulable.

# "namespace name" of the pods that have to go: not those of daemon sets, nor mirrors of static ones.
pods_to_move() {
    node_kubectl get pods --all-namespaces --field-selector "spec.nodeName=$NODE_NAME" -o \
        'jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name} {.status.phase} {.metadata.ownerReferences[0].kind} {.metadata.annotations.kubernetes\.io/config\.mirror}{"\n"}{end}' |
        awk 'NF >= 3 && $3 != "Succeeded" && $3 != "Failed" && $4 != "DaemonSet" && $4 != "Node" && NF < 5 { print $1, $2 }'
}
evict() { # namespace, pod
    local version=policy/v1
    [ "$(kube_minor)" -ge 22 ] || version=policy/v1beta1
    printf '{"apiVersion":"%s","kind":"Eviction","metadata":{"namespace":"%s","name":"%s"}}' "$version" "$1" "$2" |
        node_kubectl create --raw "/api/v1/namespaces/$1/pods/$2/eviction" -f - >/dev/null
}
mark_schedulable() { # true or false
    local off=true
    [ "$1" = false ] || off=false
    node_kubectl patch node "$NODE_NAME" -p "{\"spec\":{\"unschedulable\":$off}}" >/dev/null
}
# Evicts within drain_timeout_seconds, as disruption budgets allow; then deletes what is left.
drain() {
    local deadline=$((SECONDS + LABEL_DRAIN_TIMEOUT_SECONDS)) space name left
    mark_schedulable false
    # The only one of its kind has nowhere to send its pods to.
    if is_master && [ "$(split_commas "$MASTER_IPS" | wc -l)" -le 1 ]; then
        return 0
    fi
    while left=$(pods_to_move) && [ -n "$left" ]; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            while read -r space name; do
                node_kubectl delete pod --namespace "$space" "$name" --wait=false
            done <<<"$left"
            return 0
        fi
        while read -r space name; do
            evict "$space" "$name" || true # forbidden by a budget just now, or gone already
        done <<<"$left"
        sleep "$MAGNUM_PAUSE"
    done
}
