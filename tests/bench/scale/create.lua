-- Creates clusters with distinct names from BENCH_TEMPLATE, each by another of BENCH_PROJECTS projects.
local template, tag = os.getenv("BENCH_TEMPLATE"), os.getenv("BENCH_TAG")
local projects = tonumber(os.getenv("BENCH_PROJECTS"))
local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/v1/clusters", {
    ["Content-Type"] = "application/json",
    ["OpenStack-API-Version"] = "container-infra latest",
    ["X-Project-Id"] = "p" .. (n * 7919) % projects,
    ["X-Roles"] = "member,reader",
  }, string.format('{"name":"%s-%d","cluster_template_id":"%s","node_count":1,"master_count":1}',
    tag, n, template))
end
