magnum_add_system_test(signals TIMEOUT 600)
