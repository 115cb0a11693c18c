magnum_add_system_test(tutorial TIMEOUT 900)
