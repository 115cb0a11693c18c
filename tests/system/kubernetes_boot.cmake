# Real etcd, API servers and kubeadm in namespaces; tools/kubernetes-binaries may have to build first.
magnum_add_system_test(kubernetes_boot TIMEOUT 2400 SERIAL)
