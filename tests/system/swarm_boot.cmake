# Swarm's boot scripts with a real dockerd on each of several machines, in namespaces.
magnum_add_system_test(swarm_boot TIMEOUT 2400 SERIAL)
