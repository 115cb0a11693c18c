-- Creates clusters with distinct names from the template in BENCH_TEMPLATE (of BENCH_PROJECT, if set).
local template = os.getenv("BENCH_TEMPLATE")
local prefix = os.getenv("BENCH_PREFIX")
local n = 0
wrk.method = "POST"
if os.getenv("BENCH_PROJECT") then
  wrk.headers["X-Project-Id"] = os.getenv("BENCH_PROJECT")
end
wrk.headers["Content-Type"] = "application/json"
wrk.headers["OpenStack-API-Version"] = "container-infra latest"
request = function()
  n = n + 1
  return wrk.format(nil, nil, nil, string.format(
    '{"name":"%s-%d","cluster_template_id":"%s","node_count":1,"master_count":1}',
    prefix, n, template))
end
