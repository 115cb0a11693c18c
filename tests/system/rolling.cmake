magnum_add_system_test(rolling TIMEOUT 900)
