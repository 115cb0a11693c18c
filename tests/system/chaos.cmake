# Two minutes of trouble; MAGNUM_CHAOS_SECONDS of it otherwise, an hour at most. CI takes ten.
magnum_add_system_test(chaos TIMEOUT 4500 SERIAL)
