# Debian's `openstack coe` with real tokens, from the real service catalogue.
magnum_add_lab_test(clients RING openstack PROFILE full TIMEOUT 1200)
