"""What the measurements have in common: servers, load, and what a server's process says of itself."""

import contextlib
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
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
Figures = dict[str, tuple[float, str]]
"""What was measured, and the goal, by name."""


class Setup(NamedTuple):
    """What all measurements share."""

    settings: Path
    port: int
    metrics_port: int
    accounts: int
    seconds: float
    password_hash: str
    engine: str
    """`sqlite` or `postgresql`."""
    url: str
    """The database's."""

    def goal(self, *, sqlite: str, postgresql: str) -> str:
        """The goal on this engine."""
        return sqlite if self.engine == "sqlite" else postgresql


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


@contextlib.contextmanager
def serving(setup: Setup) -> Iterator[tuple[int, float]]:
    """A running server with one worker: the worker's process id, and how many seconds the first answer took."""
    command = [sys.executable, "-m", "threepid", "serve", "--config", str(setup.settings)]
    with process(command, setup.port, "/_matrix/client/versions") as (running, started):
        yield worker_of(running.pid), started


@contextlib.contextmanager
def bare(size: int, function: str = "app") -> Iterator[int]:
    """A running floor that answers with `size` bytes: its port."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asginl", "--loop", "uvloop", "--runtime-mode", "st",
               "--workers", "1", "--http", "1", "--no-ws", "--no-log", "--port", str(port), f"floor:{function}"]  # fmt: skip
    with process(command, port, "/", FLOOR_BYTES=str(size)):
        yield port


def floor(size: int, *, connections: int, seconds: float) -> float:
    """Requests per second of the floor."""
    with bare(size) as port:
        wrk(port, "/", connections=connections, seconds=1)
        return wrk(port, "/", connections=connections, seconds=seconds)


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


def size_of(port: int, path: str, token: str) -> int:
    """How many bytes the answer has."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    return len(urllib.request.urlopen(request, timeout=5).read())


def counters(port: int) -> dict[str, float]:
    """The counters of the database."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    return {
        match[1]: float(match[2])
        for match in re.finditer(r"^(threepid_database_\w+_total) ([\d.e+]+)$", text, re.MULTILINE)
    }


def memory(pid: int, *, peak: bool = False) -> float:
    """Resident megabytes of a process, now or at most so far."""
    found = re.search(rf"^{'VmHWM' if peak else 'VmRSS'}:\s+(\d+)", _status(pid), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, with all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def worker_of(supervisor: int) -> int:
    """The largest child process: the others serve the metrics and count resources."""
    children = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if re.search(rf"^PPid:\t{supervisor}$", _status(int(folder.name)), re.MULTILINE)
    ]
    return max(children, key=memory)


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
