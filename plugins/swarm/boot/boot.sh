#!/bin/bash
# First boot of a Swarm node: makes this machine a manager or a worker of its cluster, and tells Heat
# how it went. Runs at every boot; each step looks at what is there already, so it may be stopped at
# any moment and run again. When all is done once, a boot does nothing more.
# Parameters: /etc/magnum/params.sh (the driver's) and heat.sh (Heat's). Parts: lib/.
set -euo pipefail
shopt -s inherit_errexit

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in common certificates machine run docker member; do
    # shellcheck source=/dev/null
    . "$HERE/lib/$part.sh"
done

begin_boot
export_proxies
run_step trust openstack_trust
run_step volumes mount_volume "${DOCKER_VOLUME_ID:-}" /var/lib/docker magnum-docker
run_step docker install_docker
run_step certificates docker_certificates
run_step configuration configure_docker
run_step docker-start start_docker
run_step swarm become_member
run_step former-lives drop_former_lives
run_step volume-driver volume_driver
run_step registry registry
run_step node-ready wait_for_node
