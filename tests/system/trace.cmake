magnum_add_system_test(trace TIMEOUT 600)
