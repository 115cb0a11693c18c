magnum_add_system_test(failover TIMEOUT 900)
