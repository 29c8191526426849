"""What every client asks at its start, and what it asks to prove an address."""

import data
from tools import Figures, Setup, floor, serving, size_of, wrk

WHOAMI = "/_matrix/client/v3/account/whoami"
REQUEST = """
local tokens = {{ {tokens} }}
local i = -1
request = function()
  i = i + 1
  local body = string.format('{{"client_secret":"bench","email":"code%07d@codes.example.com","send_attempt":1}}', i)
  return wrk.format("POST", "/_matrix/client/v3/account/3pid/email/requestToken",
    {{ ["Authorization"] = "Bearer " .. tokens[i % #tokens + 1], ["Content-Type"] = "application/json" }}, body)
end
"""


def measure(setup: Setup) -> Figures:
    """GET /account/whoami, and codes for distinct addresses while their mails are delivered."""
    port, seconds = setup.port, setup.seconds
    tokens = data.lua_tokens(setup.accounts)
    read = data.GET.format(path=WHOAMI, tokens=tokens)
    with serving(setup):
        size = size_of(port, WHOAMI, data.token(0))
        wrk(port, "/", connections=16, seconds=2, script=read)
        got = wrk(port, "/", connections=16, seconds=seconds, script=read)
        requested = wrk(port, "/", connections=64, seconds=seconds, script=REQUEST.format(tokens=tokens))
    floor_16 = floor(size, connections=16, seconds=seconds)
    floor_64 = floor(2, connections=64, seconds=seconds)
    return {
        "floor, 16 connections, whoami's size (requests/s)": (floor_16, ""),
        "floor, 64 connections, again (requests/s)": (floor_64, ""),
        "GET /account/whoami (requests/s)": (got, ""),
        "GET /account/whoami / floor": (got / floor_16, setup.goal(sqlite=">= 0.40", postgresql=">= 0.14")),
        "POST email/requestToken, 64 clients (requests/s)": (requested, ""),
        "POST email/requestToken / floor": (requested / floor_64, setup.goal(sqlite=">= 0.06", postgresql=">= 0.05")),
    }
