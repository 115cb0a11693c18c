#!/bin/bash
# First boot of a Mesos node: makes this machine a master (ZooKeeper, Mesos, Marathon, and Chronos
# when asked for) or an agent of its cluster, and tells Heat how it went. Runs at every boot; each
# step looks at what is there already. When all is done once, a boot does nothing more.
# Parameters: /etc/magnum/params.sh (the driver's) and heat.sh (Heat's). Parts: lib/.
set -euo pipefail
shopt -s inherit_errexit

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in common machine run mesos; do
    # shellcheck source=/dev/null
    . "$HERE/lib/$part.sh"
done

begin_boot
export_proxies
run_step trust openstack_trust
run_step volumes mount_volume "${DOCKER_VOLUME_ID:-}" /var/lib/docker magnum-docker
run_step packages install_packages
run_step zookeeper zookeeper
if [ "$ROLE" = master ]; then
    run_step master mesos_master
    run_step marathon marathon
    run_step chronos chronos
    run_step node-ready wait_for_master
else
    run_step docker agent_docker
    run_step agent mesos_agent
    run_step volume-driver volume_driver
    run_step node-ready wait_for_agent
fi
