"""Measure the server against a floor in the same run: `make bench`.

The floor is the same Granian with one worker serving a constant body of the same size from a bare ASGI function. Figures are
ratios to it, because requests per second say more about the machine than about the program.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import data
from threepid.clock import Entropy
from threepid.domain.credentials import Vault
from threepid.domain.keys import ensure_keyring, ensure_secret

HERE = Path(__file__).parent
CONFIG = """
[server]
name = "bench.example"
public_base_url = "http://localhost:{port}"
listen = "127.0.0.1:{port}"
metrics_listen = "127.0.0.1:{metrics_port}"
data_dir = "{directory}"
[accounts]
registration = "closed"
[identity]
[email]
from = "Bench <noreply@bench.example>"
via = [{{ transport = "file", directory = "{directory}/mails" }}]
"""
GET = """
local tokens = {{ {tokens} }}
local i = 0
request = function()
  i = i % #tokens + 1
  return wrk.format("GET", "/_matrix/client/v3/account/3pid", {{ ["Authorization"] = "Bearer " .. tokens[i] }})
end
"""
POST = """
local tokens = {{ {tokens} }}
local i = {first} - 1
request = function()
  i = i + 1
  local body = string.format('{{"three_pid_creds":{{"sid":"bench%07d","client_secret":"bench","id_server":"localhost"}}}}', i)
  return wrk.format("POST", "/_matrix/client/v3/account/3pid",
    {{ ["Authorization"] = "Bearer " .. tokens[i % #tokens + 1], ["Content-Type"] = "application/json" }}, body)
end
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(
    command: list[str], port: int, path: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A server that answers `path`, and how many seconds it took until it did."""
    start = time.monotonic()
    running = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, cwd=HERE)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1).read()
                break
            except OSError:
                if running.poll() is not None or time.monotonic() - start > 30:
                    raise
                time.sleep(0.005)
        yield running, time.monotonic() - start
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


def wrk(port: int, path: str, *, connections: int, seconds: float, script: str | None = None) -> float:
    """Requests per second that were answered with 2xx."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", f"http://127.0.0.1:{port}{path}"]
    if script is not None:
        file = Path(tempfile.mkdtemp()) / "wrk.lua"
        file.write_text(script)
        command += ["-s", str(file)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if match := re.search(r"Non-2xx or 3xx responses: (\d+)", output):
        raise SystemExit(f"{match[1]} answers were not 2xx:\n{output}")
    if "Socket errors" in output:
        raise SystemExit(output)
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert found, output
    return float(found[1])


def floor(size: int, *, connections: int, seconds: float) -> float:
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asginl", "--runtime-mode", "st", "--workers", "1",
               "--http", "1", "--no-ws", "--no-log", "--port", str(port), "floor:app"]  # fmt: skip
    with process(command, port, "/", FLOOR_BYTES=str(size)):
        wrk(port, "/", connections=connections, seconds=1)
        return wrk(port, "/", connections=connections, seconds=seconds)


def counters(port: int) -> dict[str, float]:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    return {
        match[1]: float(match[2])
        for match in re.finditer(r"^(threepid_database_\w+_total) ([\d.e+]+)$", text, re.MULTILINE)
    }


def worker_memory(supervisor: int) -> float:
    """Resident megabytes of the largest child process."""
    sizes = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            text = status.read_text()
            if re.search(rf"^PPid:\t{supervisor}$", text, re.MULTILINE) and (
                found := re.search(r"^VmRSS:\s+(\d+)", text, re.MULTILINE)
            ):
                sizes.append(int(found[1]) / 1024)
    return max(sizes)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--json", type=Path, help="write the figures into this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="threepid-bench-") as text:
        figures = measure(Path(text), options.accounts, options.seconds)
    for name, (value, goal) in figures.items():
        print(f"{name:58} {value:10.3f}   goal {goal}")
    if options.json:
        options.json.write_text(json.dumps({name: value for name, (value, _) in figures.items()}, indent=2))


def measure(directory: Path, accounts: int, seconds: float) -> dict[str, tuple[float, str]]:
    port, metrics_port = free_port(), free_port()
    settings = directory / "threepid.toml"
    settings.write_text(CONFIG.format(port=port, metrics_port=metrics_port, directory=directory))
    vault = Vault(ensure_secret(directory / "keys" / "vault.secret", Entropy()), Entropy())
    ensure_keyring(directory / "keys", Entropy())
    posts = int(6_000 * seconds)
    data.make(directory / "threepid.db", count=accounts, posts=posts, vault=vault)
    tokens = ",".join(f'"{data.token(number)}"' for number in range(0, accounts, max(1, accounts // 5_000)))
    command = [sys.executable, "-m", "threepid", "serve", "--config", str(settings)]
    with process(command, port, "/_matrix/client/versions") as (running, started):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/_matrix/client/v3/account/3pid",
            headers={"Authorization": f"Bearer {data.token(0)}"},
        )
        size = len(urllib.request.urlopen(request, timeout=5).read())
        wrk(port, "/", connections=16, seconds=2, script=GET.format(tokens=tokens))
        got = wrk(port, "/", connections=16, seconds=seconds, script=GET.format(tokens=tokens))
        before = counters(metrics_port)
        posted = wrk(port, "/", connections=64, seconds=seconds / 2, script=POST.format(tokens=tokens, first=0))
        time.sleep(1.5)
        after = counters(metrics_port)
        memory = worker_memory(running.pid)
    writes = after["threepid_database_writes_total"] - before["threepid_database_writes_total"]
    commits = after["threepid_database_commits_total"] - before["threepid_database_commits_total"]
    floor_16 = floor(size, connections=16, seconds=seconds)
    floor_64 = floor(2, connections=64, seconds=seconds)
    return {
        "floor, 16 connections (requests/s)": (floor_16, ""),
        "floor, 64 connections (requests/s)": (floor_64, ""),
        f"GET /account/3pid, {accounts} accounts (requests/s)": (got, ""),
        "GET /account/3pid / floor": (got / floor_16, ">= 0.35"),
        "POST /account/3pid, 64 clients (requests/s)": (posted, ""),
        "POST /account/3pid / floor": (posted / floor_64, ">= 0.06"),
        "commits / accepted writes": (commits / writes, "<= 0.25"),
        "memory of the server process (MB)": (memory, "< 120"),
        "first answer after start (s)": (started, "< 1.5"),
    }


if __name__ == "__main__":
    main()
