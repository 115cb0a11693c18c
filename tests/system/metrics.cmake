magnum_add_system_test(metrics TIMEOUT 600)
