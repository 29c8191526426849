"""Logins are bounded by the hash alone, and a crowd that logs in keeps nobody else waiting."""

import json
import subprocess
import sys
import time
from typing import Any

from clients import PASSWORD
from tools import HERE, Figures, Setup, bare, memory, serving, wrk

VERSIONS = "/_matrix/client/versions"
FEW = 16
CROWD = 300
LOGIN = """
local i = 0
request = function()
  i = (i + 7919) % {accounts}
  local who = string.format('{{"type":"m.login.password","identifier":{{"type":"m.id.user","user":"user%07d"}},', i)
  return wrk.format("POST", "/_matrix/client/v3/login", {{ ["Content-Type"] = "application/json" }},
    who .. '"password":"{password}"}}')
end
"""
PAUSE = 2.5
"""Seconds in which the queue of the last crowd empties."""


def measure(setup: Setup) -> Figures:
    """Logins per second, and how long others wait while 300 clients log in."""
    seconds = setup.seconds
    script = LOGIN.format(accounts=setup.accounts, password=PASSWORD)
    hashes = [_hashes(setup, seconds / 2)]
    with serving(setup) as (worker, _):
        wrk(setup.port, "/", connections=8, seconds=1, script=script)
        idle = memory(worker)
        logins = wrk(setup.port, "/", connections=FEW, seconds=seconds, script=script)
        hashes.append(_hashes(setup, seconds / 2))
        elsewhere = _hashes(setup, seconds / 2, "argon2-cffi")
        beside = {}
        for manner in ("polite", "hurried", "once"):
            beside[manner] = _beside(setup.port, VERSIONS, seconds, _start_crowd(setup, CROWD, seconds, manner))
            time.sleep(PAUSE)
        peak = memory(worker, peak=True)
    with bare(2) as port:
        floor = _beside(port, "/", seconds, _start_hashes(setup, seconds))
    hashed = sum(hashes) / len(hashes)
    return {
        "hashes in a bare loop (1/s)": (hashed, ""),
        f"logins, {FEW} clients (1/s)": (logins, ""),
        "logins / hashes": (logins / hashed, ">= 0.9"),
        "hashes by argon2-cffi in a bare loop (1/s)": (elsewhere, ""),
        "logins / hashes by argon2-cffi": (logins / elsewhere, ""),
        f"GET /versions while {CROWD} clients log in, median (ms)": (_quantile(beside["polite"], 0.5), ""),
        f"GET /versions while {CROWD} clients log in, p99 (ms)": (_quantile(beside["polite"], 0.99), "< 20"),
        "… and do not wait when they are told to, p99 (ms)": (_quantile(beside["hurried"], 0.99), ""),
        "… and all come in the same moment, longest (ms)": (max(beside["once"]), ""),
        "the floor beside hashes in a bare loop, p99 (ms)": (_quantile(floor, 0.99), ""),
        "memory before the crowds (MB)": (idle, ""),
        "memory of the server process at most (MB)": (peak, ""),
    }


def _hashes(setup: Setup, seconds: float, library: str = "libsodium") -> float:
    return float(_result(_start_hashes(setup, seconds, library)))


def _start_hashes(setup: Setup, seconds: float, library: str = "libsodium") -> subprocess.Popen[str]:
    return _start("hashes.py", library, setup.password_hash, PASSWORD, str(seconds))


def _start_crowd(setup: Setup, clients: int, seconds: float, manner: str) -> subprocess.Popen[str]:
    return _start("clients.py", "crowd", str(setup.port), str(clients), str(seconds), str(setup.accounts), manner)


def _beside(port: int, path: str, seconds: float, load: subprocess.Popen[str]) -> list[float]:
    """The milliseconds of answers while something else goes on."""
    took: list[float] = _result(_start("clients.py", "probe", str(port), path, str(seconds)))
    _result(load)
    return took


def _quantile(values: list[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)]


def _start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, HERE / script, *arguments], stdout=subprocess.PIPE, text=True)


def _result(running: subprocess.Popen[str]) -> Any:
    output, _ = running.communicate(timeout=120)
    if running.returncode:
        raise SystemExit(f"{running.args!r} ended with {running.returncode}")
    return json.loads(output)
