magnum_add_system_test(quickstart TIMEOUT 900)
# tools/kubernetes-binaries may have to build Kubernetes first.
magnum_add_system_test(quickstart_kubernetes TIMEOUT 2400 SERIAL)
