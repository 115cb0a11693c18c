magnum_add_system_test(replica TIMEOUT 900)
