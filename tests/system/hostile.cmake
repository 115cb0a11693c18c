magnum_add_system_test(hostile TIMEOUT 900)
