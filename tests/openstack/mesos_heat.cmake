# Mesos through the lab's Heat with a stand-in for its masters: create, scale, delete.
magnum_add_lab_test(mesos_heat RING openstack PROFILE full TIMEOUT 1800)
