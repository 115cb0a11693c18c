magnum_add_system_test(pgbouncer TIMEOUT 600)
