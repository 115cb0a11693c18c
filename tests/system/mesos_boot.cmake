# Mesos' boot scripts with a real ZooKeeper on each of several machines, in namespaces.
magnum_add_system_test(mesos_boot TIMEOUT 1200)
