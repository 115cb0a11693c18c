magnum_add_system_test(rotate TIMEOUT 1200)
