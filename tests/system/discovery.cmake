magnum_add_system_test(discovery TIMEOUT 600)
