# Names in requests against the real Glance, Nova and Neutron.
magnum_add_lab_test(lookups RING openstack PROFILE full TIMEOUT 1200)
