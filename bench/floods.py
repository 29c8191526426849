"""How long others wait while somebody floods the server: `python bench/floods.py`, for any state that PYTHONPATH names.

It starts a server with the default limits behind a trusted proxy, and measures GET /versions and GET /account/whoami

* `quiet`: alone
* `devices`: while a finished registration is repeated as fast as it goes
* `wrong logins`: while strangers try passwords at that account, each from a network of its own
* `login flood`: while 300 clients that never wait log in under names that do not exist; beside them, the owner of an account
  logs in from a known network, and authenticates a request with a token, 13 times each
"""

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tools import free_port, process, worker_of

CONFIG = """
[server]
name = "bench.example"
public_base_url = "http://localhost:{port}"
listen = "127.0.0.1:{port}"
data_dir = "{directory}"
trusted_proxies = ["127.0.0.1"]
[accounts]
registration = "open"
[email]
from = "Bench <noreply@bench.example>"
via = [{{ transport = "file", directory = "{directory}/mails" }}]
"""
C = "/_matrix/client/v3"
HOME = "203.0.113.7"
PASSWORD = "a password of the bench"
PROBE_EVERY = 0.02


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.used = 0.0

    async def call(
        self, method: str, path: str, body: Any = None, *, source: str = HOME, token: str = ""
    ) -> tuple[int, Any]:
        """The status and the body of the answer."""
        if self.streams is None or time.monotonic() - self.used > 2:  # the server closes idle connections
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {source}\r\n"
        head += f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        found = re.search(r"content-length: (\d+)", answer, re.IGNORECASE)
        assert found, answer
        content = await reader.readexactly(int(found[1]))
        self.used = time.monotonic()
        return int(answer[9:12]), json.loads(content)


def source(number: int) -> str:
    """The address of a network of this number."""
    return f"198.{18 + number // 62500 % 2}.{number // 250 % 250}.{number % 250}"


def login(user: str, word: str = PASSWORD) -> dict[str, str]:
    return {"type": "m.login.password", "user": user, "password": word}


def processor(worker: int) -> float:
    """Seconds of processor time that a server used so far, without those of hashes."""
    found = 0
    for task in Path(f"/proc/{worker}/task").iterdir():
        name, _, rest = (task / "stat").read_text().rpartition(") ")
        if "argon2" not in name:
            found += sum(map(int, rest.split()[11:13]))
    return found / os.sysconf("SC_CLK_TCK")


async def measure(port: int, worker: int, seconds: float) -> None:
    client = Client(port)
    body = {"username": "mallory", "password": PASSWORD}
    _, begun = await client.call("POST", f"{C}/register", body)
    finished = {**body, "auth": {"type": "m.login.dummy", "session": begun["session"]}}
    await client.call("POST", f"{C}/register", finished)
    dummy = {"username": "owner", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    _, owner = await client.call("POST", f"{C}/register", dummy)
    token = owner["access_token"]
    numbers = iter(range(sys.maxsize))

    async def register(one: Client) -> int:
        return (await one.call("POST", f"{C}/register", finished))[0]

    async def guess(one: Client) -> int:
        return (await one.call("POST", f"{C}/login", login("mallory", "wrong"), source=source(next(numbers))))[0]

    async def stranger(one: Client) -> int:
        number = next(numbers)
        return (await one.call("POST", f"{C}/login", login(f"nobody{number}"), source=source(number)))[0]

    async def log_in() -> int:
        return (await client.call("POST", f"{C}/login", login("owner")))[0]

    async def stage() -> int:
        wanted = {"devices": ["NONE"], "auth": login("owner")}
        return (await client.call("POST", f"{C}/delete_devices", wanted, token=token))[0]

    await beside(port, worker, token, "quiet", seconds, 0, register)
    await beside(port, worker, token, "devices", seconds * 2, 8, register)
    _, listed = await client.call("POST", f"{C}/login", login("mallory"))
    if "access_token" in listed:
        _, found = await client.call("GET", f"{C}/devices", token=listed["access_token"])
        print(f"{'devices of that account in its list':32} {len(found['devices'])}")
    await beside(port, worker, token, "wrong logins", seconds, 8, guess)
    await beside(
        port, worker, token, "login flood", seconds, 300, stranger, {"owner's logins": log_in, "stages": stage}
    )


async def beside(
    port: int,
    worker: int,
    token: str,
    name: str,
    seconds: float,
    clients: int,
    flood: Callable[[Client], Awaitable[int]],
    others: dict[str, Callable[[], Awaitable[int]]] | None = None,
) -> None:
    """Measure while `clients` repeat `flood`, and `others` are done 13 times each."""
    counts: dict[int, int] = {}
    before = processor(worker)
    end = time.monotonic() + seconds

    async def repeat() -> None:
        one = Client(port)
        while time.monotonic() < end:
            status = await flood(one)
            counts[status] = counts.get(status, 0) + 1

    async def probe(path: str, bearer: str) -> list[float]:
        one, took, asked = Client(port), [], time.perf_counter()
        while time.monotonic() < end:
            if (early := asked - time.perf_counter()) > 0:
                await asyncio.sleep(early)
                asked = time.perf_counter()
            status, _ = await one.call("GET", path, token=bearer)
            assert status == 200
            took.append((time.perf_counter() - asked) * 1000)
            asked += PROBE_EVERY
        return sorted(took)

    async def thirteen(one: Callable[[], Awaitable[int]]) -> int:
        return sum([await one() == 200 for _ in range(13)])

    crowd = [asyncio.create_task(repeat()) for _ in range(clients)]
    probes = [
        asyncio.create_task(probe("/_matrix/client/versions", "")),
        asyncio.create_task(probe(f"{C}/account/whoami", token)),
    ]
    await asyncio.sleep(1)
    for what, one in (others or {}).items():
        print(f"{what:32} {await thirteen(one)} of 13")
    for path, took in zip(("versions", "whoami"), [await probe for probe in probes], strict=True):
        print(f"{name + ': ' + path:32} p50 {took[len(took) // 2]:8.1f} ms   p99 {took[int(len(took) * 0.99)]:8.1f} ms")
    await asyncio.gather(*crowd)
    each = (processor(worker) - before) / max(1, sum(counts.values()) + 2 * len(took)) * 1000
    print(f"{name + ': answers':32} {counts}, {each:.2f} ms of processor time for each and each probe")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    with tempfile.TemporaryDirectory(prefix="threepid-floods-") as directory:
        port = free_port()
        settings = Path(directory) / "threepid.toml"
        settings.write_text(CONFIG.format(port=port, directory=directory))
        command = [sys.executable, "-m", "threepid", "serve", "--config", str(settings)]
        os.environ["NO_COLOR"] = "1"
        stderr = os.dup(2)
        with (Path(directory) / "log").open("wb") as log:
            os.dup2(log.fileno(), 2)
            try:
                with process(command, port, "/_matrix/client/versions") as (running, _):
                    asyncio.run(measure(port, worker_of(running.pid), seconds))
            finally:
                os.dup2(stderr, 2)
        print(f"{'log':32} {(Path(directory) / 'log').stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
