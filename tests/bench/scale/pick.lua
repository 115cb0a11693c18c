-- Requests picked at random from the lines of the file BENCH_PATHS: a path, a tab, and the project
-- that asks (empty: an admin). BENCH_TOKEN: sent as X-Auth-Token, then no project is named.
local lines = {}
for line in io.lines(os.getenv("BENCH_PATHS")) do
  local path, project = line:match("^(%S+)\t(%S*)$")
  local headers = {["OpenStack-API-Version"] = "container-infra latest", Accept = "application/json"}
  if os.getenv("BENCH_TOKEN") then
    headers["X-Auth-Token"] = os.getenv("BENCH_TOKEN")
  elseif project ~= "" then
    headers["X-Project-Id"], headers["X-Roles"] = project, "member,reader"
  end
  lines[#lines + 1] = {path = path, headers = headers}
end
-- formatted once in init: the generator must cost less than what it measures
local prefix = ""
local ready = {}
init = function()
  prefix = os.getenv("BENCH_PREFIX") or ""
  math.randomseed(os.time())
  for i, line in ipairs(lines) do
    ready[i] = wrk.format("GET", prefix .. line.path, line.headers)
  end
end
request = function()
  return ready[math.random(#ready)]
end
