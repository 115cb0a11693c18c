magnum_add_system_test(swarm TIMEOUT 900)
