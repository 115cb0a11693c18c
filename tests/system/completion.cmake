magnum_add_system_test(completion TIMEOUT 300)
