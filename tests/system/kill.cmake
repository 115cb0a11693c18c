magnum_add_system_test(kill TIMEOUT 3000 COST 250 LOCK kills)
