magnum_add_system_test(quickstart TIMEOUT 400)
