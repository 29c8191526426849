"""The contacts of an account, as clients read and add them."""

import time

import data
from tools import Figures, Setup, counters, floor, memory, serving, size_of, wrk

PATH = "/_matrix/client/v3/account/3pid"
ADD = """
local tokens = {{ {tokens} }}
local i = -1
request = function()
  i = i + 1
  local body = string.format('{{"three_pid_creds":{{"sid":"bench%07d","client_secret":"bench","id_server":"localhost"}}}}', i)
  return wrk.format("POST", "/_matrix/client/v3/account/3pid",
    {{ ["Authorization"] = "Bearer " .. tokens[i % #tokens + 1], ["Content-Type"] = "application/json" }}, body)
end
"""


def measure(setup: Setup) -> Figures:
    """GET and POST /account/3pid, the start, and the memory of a server that does nothing else."""
    port, seconds = setup.port, setup.seconds
    tokens = data.lua_tokens(setup.accounts)
    read = data.GET.format(path=PATH, tokens=tokens)
    with serving(setup) as (worker, started):
        size = size_of(port, PATH, data.token(0))
        wrk(port, "/", connections=16, seconds=2, script=read)
        got = wrk(port, "/", connections=16, seconds=seconds, script=read)
        before = counters(setup.metrics_port)
        posted = wrk(port, "/", connections=64, seconds=seconds / 2, script=ADD.format(tokens=tokens))
        time.sleep(1.5)
        after = counters(setup.metrics_port)
        megabytes = memory(worker)
    writes = after["threepid_database_writes_total"] - before["threepid_database_writes_total"]
    commits = after["threepid_database_commits_total"] - before["threepid_database_commits_total"]
    floor_16 = floor(size, connections=16, seconds=seconds)
    floor_64 = floor(2, connections=64, seconds=seconds)
    return {
        "floor, 16 connections (requests/s)": (floor_16, ""),
        "floor, 64 connections (requests/s)": (floor_64, ""),
        f"GET /account/3pid, {setup.accounts} accounts (requests/s)": (got, ""),
        "GET /account/3pid / floor": (got / floor_16, setup.goal(sqlite=">= 0.30", postgresql=">= 0.09")),
        "POST /account/3pid, 64 clients (requests/s)": (posted, ""),
        "POST /account/3pid / floor": (posted / floor_64, setup.goal(sqlite=">= 0.06", postgresql="")),
        "commits / accepted writes": (commits / writes, setup.goal(sqlite="<= 0.25", postgresql="")),
        "memory of the server process (MB)": (megabytes, "< 120"),
        "first answer after start (s)": (started, "< 1.5"),
    }
