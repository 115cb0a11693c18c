# Clusters against the quotas of the real Nova and Neutron.
magnum_add_lab_test(preflight RING openstack PROFILE full TIMEOUT 900)
