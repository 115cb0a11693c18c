-- Has the CSR in BENCH_CSR (escaped for JSON) signed by the CA of the cluster BENCH_CLUSTER.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = string.format('{"cluster_uuid":"%s","csr":"%s"}', os.getenv("BENCH_CLUSTER"),
                         os.getenv("BENCH_CSR"))
