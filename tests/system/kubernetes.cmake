# tools/kubernetes-binaries may have to build Kubernetes first: some minutes.
magnum_add_system_test(kubernetes TIMEOUT 2400 SERIAL)
magnum_add_system_test(kubernetes_life TIMEOUT 2400 SERIAL)
magnum_add_system_test(kubernetes_kit TIMEOUT 2400 SERIAL)
