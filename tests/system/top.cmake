magnum_add_system_test(top TIMEOUT 600)
