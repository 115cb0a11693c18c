magnum_add_system_test(fair TIMEOUT 600)
