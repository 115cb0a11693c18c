# The stand-in for Mesos, looked at by a client that somebody else wrote.
magnum_add_system_test(mesos_fake RING component TIMEOUT 60)
