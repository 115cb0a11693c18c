magnum_add_system_test(follow TIMEOUT 900)
