magnum_add_system_test(package TIMEOUT 1500)
