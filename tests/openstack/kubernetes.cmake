# Kubernetes clusters through the lab's Heat: whole lives of clusters, with failures and kills.
magnum_add_lab_test(kubernetes RING openstack PROFILE full TIMEOUT 3000)
