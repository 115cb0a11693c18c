#!/bin/bash
# Changes of a running node: another version of Kubernetes, the phases of a rotation of the CA. A
# timer runs this; what is wanted stands in the server's metadata, which the cluster's stack sets:
#   magnum_generation    grows with each change; nothing is done when it was reached before
#   magnum_kube_version  the version to run
#   magnum_ca_phase      prepare: trust old and new CA; certs: new certificates, trusting both still;
#                        complete: trust the new CA alone
# Stopped in the middle, it starts again with the next run of the timer.
set -euo pipefail
shopt -s inherit_errexit

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in common certificates machine run settings host etcd pki node master addons drain; do
    # shellcheck source=/dev/null
    . "$HERE/lib/$part.sh"
done

# The version that is wanted outlives this run, for boot.sh's parameters are of the first boot.
remember_version() {
    [ -z "$1" ] || put_file "$MAGNUM_STATE/kube-version" 0600 <<<"$1"
}
read_version() {
    [ ! -s "$MAGNUM_STATE/kube-version" ] || KUBE_VERSION=$(<"$MAGNUM_STATE/kube-version")
}

# Masters: control plane, then the kubelet, which must never be newer. Workers: the kubelet.
upgrade() {
    run_step cordon drain
    run_step programs install_kubernetes
    if is_master; then
        run_step etcd prepare_etcd
        run_step etcd-quorum wait_for_etcd
        run_step control-plane prepare_control_plane
        run_step api wait_for_api
    fi
    run_step kubelet restart_kubelet
    if is_first_master; then
        run_step kube-proxy cluster_wide
        run_step add-ons apply_addons
    fi
    run_step node-ready wait_for_node
    run_step uncordon mark_schedulable true
}
# The program may be another one although no flag is.
restart_kubelet() {
    prepare_kubelet
    systemctl restart kubelet.service
}

certificates_of_phase() { # phase
    umask 077
    [ "$1" = certs ] || fetch_cas
    # While both are trusted the API shows the old one's certificate: clients may know no other.
    [ "$1" = prepare ] || RESIGN=$([ "$1" = certs ] && echo yes || echo no) make_certificates
    make_kubeconfigs
    forget_token
}
# Every part of the control plane reads its files when it starts.
restart_parts() {
    local state members
    echo "$(($(restart_mark) + 1))" >"$MAGNUM_STATE/restart"
    if is_master; then
        read -r state members <"$ETCD_PLAN"
        etcd_manifest "$state" "$members" | put_file "$KUBE_DIR/manifests/etcd.yaml" 0600
        retry etcd_works
        restart_control_plane
    fi
    systemctl restart kubelet.service
}
# Pods that watch the API trust what was in their directory when they started.
restart_addons() {
    admin_kubectl --namespace kube-system rollout restart daemonset
    admin_kubectl --namespace kube-system rollout restart deployment
}
rotate() { # phase
    run_step certificates certificates_of_phase "$1"
    run_step restart restart_parts
    ! is_master || run_step api wait_for_api
    run_step node-ready wait_for_node
    ! is_first_master || run_step add-ons restart_addons
}

begin_change
export STEP=parameters
version=$(json_get meta.magnum_kube_version <<<"$METADATA")
phase=$(json_get meta.magnum_ca_phase <<<"$METADATA")
say "wanted: version '$version', CA phase '$phase'"
read_version
before=$KUBE_VERSION
[ -z "$version" ] || KUBE_VERSION=$version
settings >"$MAGNUM_RUN/step.log" 2>&1
export_proxies
case $phase in
prepare | certs | complete) rotate "$phase" ;;
"")
    # A change that was interrupted has the version of the programs, not of the parts: done again.
    if [ "$KUBE_VERSION" != "$before" ] || ! version_is kubelet; then
        upgrade
        run_step version remember_version "$version"
    fi
    ;;
*) die "CA phase '$phase' is none of prepare, certs, complete" ;;
esac
