# tools/kubernetes-binaries may have to build Kubernetes first: some minutes.
magnum_add_system_test(legacy_kubernetes TIMEOUT 2400 SERIAL)
