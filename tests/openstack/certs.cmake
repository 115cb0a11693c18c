# Certificates in a real Barbican, with kills between its requests.
magnum_add_lab_test(certs RING openstack PROFILE identity TIMEOUT 1800)
