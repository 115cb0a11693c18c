# Docker Swarm through the lab's Heat: create, scale, rotate, delete, and a worker that never joins.
magnum_add_lab_test(swarm_heat RING openstack PROFILE full TIMEOUT 1800)
