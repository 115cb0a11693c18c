magnum_add_system_test(several TIMEOUT 900)
