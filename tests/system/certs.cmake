magnum_add_system_test(certs TIMEOUT 900)
