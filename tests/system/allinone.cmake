magnum_add_system_test(allinone TIMEOUT 900)
