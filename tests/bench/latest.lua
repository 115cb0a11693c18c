-- What python-magnumclient sends with every read.
wrk.headers["OpenStack-API-Version"] = "container-infra latest"
wrk.headers["Accept"] = "application/json"
