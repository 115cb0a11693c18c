-- Requests picked at random from the lines of the file BENCH_PATHS: a path, a tab, the project that
-- asks (empty: an admin), and after another tab what is posted, if anything. BENCH_TOKEN: sent as
-- X-Auth-Token, then no project is named. BENCH_MICROVERSION: other than the latest.
local lines = {}
local version = "container-infra " .. (os.getenv("BENCH_MICROVERSION") or "latest")
for line in io.lines(os.getenv("BENCH_PATHS")) do
  local path, project, body = line:match("^(%S+)\t(%S*)\t?(.*)$")
  local headers = {["OpenStack-API-Version"] = version, Accept = "application/json"}
  if os.getenv("BENCH_TOKEN") then
    headers["X-Auth-Token"] = os.getenv("BENCH_TOKEN")
  elseif project ~= "" then
    headers["X-Project-Id"], headers["X-Roles"] = project, "member,reader"
  end
  if body ~= "" then
    headers["Content-Type"] = "application/json"
  end
  lines[#lines + 1] = {path = path, headers = headers, body = body}
end
-- formatted once in init: the generator must cost less than what it measures
local prefix = ""
local ready = {}
init = function()
  prefix = os.getenv("BENCH_PREFIX") or ""
  math.randomseed(os.time())
  for i, line in ipairs(lines) do
    if line.body == "" then
      ready[i] = wrk.format("GET", prefix .. line.path, line.headers)
    else
      ready[i] = wrk.format("POST", prefix .. line.path, line.headers, line.body)
    end
  end
end
request = function()
  return ready[math.random(#ready)]
end
