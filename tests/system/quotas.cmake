magnum_add_system_test(quotas TIMEOUT 900)
