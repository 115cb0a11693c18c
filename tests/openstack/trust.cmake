# Trustees and trusts of clusters in a real Keystone, with kills between its requests.
magnum_add_lab_test(trust RING openstack PROFILE identity TIMEOUT 1800)
