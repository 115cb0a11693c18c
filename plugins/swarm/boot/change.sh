#!/bin/bash
# A change of the cluster that its running nodes have to make, told by the server's metadata: which
# number it has (magnum_generation) and what it is (magnum_change). Started by a timer.
#   ca-prepare   trust the new CA beside the old one; the certificates stay
#   ca-complete  trust the new CA alone, with certificates of it; the first manager gives the swarm
#                new join tokens and a new CA of its own for the nodes among themselves
set -euo pipefail
shopt -s inherit_errexit

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in common certificates machine run docker member; do
    # shellcheck source=/dev/null
    . "$HERE/lib/$part.sh"
done

begin_change
export_proxies
case $CHANGE in
ca-prepare) run_step trust-both trust_docker_ca ;;
ca-complete)
    run_step certificates renew_docker_certificates
    ! is_first_manager || run_step swarm-secrets rotate_swarm_secrets
    ;;
*) die "this node does not know the change '$CHANGE': replace it" ;;
esac
run_step node-ready wait_for_node
