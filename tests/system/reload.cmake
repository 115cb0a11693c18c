magnum_add_system_test(reload TIMEOUT 600)
