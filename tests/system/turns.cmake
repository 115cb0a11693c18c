magnum_add_system_test(turns TIMEOUT 600)
