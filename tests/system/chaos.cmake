# Two minutes of trouble; MAGNUM_CHAOS_SECONDS of it otherwise, an hour at most.
magnum_add_system_test(chaos TIMEOUT 4500 COST 300 LOCK kills)
