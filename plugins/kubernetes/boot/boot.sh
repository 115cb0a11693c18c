#!/bin/bash
# First boot of a Kubernetes node: makes this machine a master or a worker of its cluster, and tells
# Heat how it went. Runs at every boot; each step looks at what is there already, so it may be
# stopped at any moment and run again. When all is done once, a boot does nothing more.
# Parameters: /etc/magnum/params.sh (the driver's) and heat.sh (Heat's). Parts: lib/.
set -euo pipefail
shopt -s inherit_errexit

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in common certificates machine run settings host etcd pki node master addons; do
    # shellcheck source=/dev/null
    . "$HERE/lib/$part.sh"
done

master() {
    run_step etcd prepare_etcd
    run_step kubelet prepare_kubelet
    run_step etcd-quorum wait_for_etcd
    run_step service-account-key agree_on_service_account_key
    run_step control-plane prepare_control_plane
    run_step api wait_for_api
    run_step master-role mark_master
    if is_first_master; then
        run_step kube-proxy cluster_wide
        run_step add-ons apply_addons
        run_step post-install post_install
    fi
}

begin_boot
export STEP=parameters
settings >"$MAGNUM_RUN/step.log" 2>&1
export_proxies
run_step trust openstack_trust
run_step volumes mount_volumes
run_step kernel prepare_kernel
run_step container-runtime prepare_runtime
run_step programs install_kubernetes
run_step certificates certificates
if is_master; then
    master
else
    run_step kubelet prepare_kubelet
fi
run_step node-ready wait_for_node
