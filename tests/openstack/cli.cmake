# The client `magnum` with real tokens of every kind, from the real catalogue.
magnum_add_lab_test(cli RING openstack PROFILE identity TIMEOUT 900)
