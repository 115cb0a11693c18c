magnum_add_system_test(kill TIMEOUT 1500)
