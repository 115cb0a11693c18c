# Tokens, roles and policy with a real Keystone.
magnum_add_lab_test(identity RING openstack PROFILE identity TIMEOUT 1200)
