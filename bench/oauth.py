"""The OAuth 2.0 API: what a homeserver asks of a token, what an app pays for a new one, and the way from sign-in page to code."""

import asyncio
import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Final

import data
from clients import PASSWORD
from threepid.clock import DAY, Clock, Entropy
from threepid.domain.secrets.keys import ensure_secret
from threepid.domain.secrets.vault import Vault
from threepid.storage import device_tokens, homeserver, oauth
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Tx
from tools import HERE, Figures, Setup, floor, free_port, serving, wrk

SECRET: Final = "secret-of-the-homeserver"
CLIENT_ID: Final = "bench"
CALLBACK: Final = "https://bench.example.com/callback"
SCOPE: Final = "urn:matrix:client:api:* urn:matrix:client:device:BENCHDEVICE"
FLOWS: Final = 40
"""How many people sign in, one after the other."""
TABLES: Final = """
authentication_from_client = {{ burst = 1_000_000, per_hour = 1_000_000 }}
oauth_from_client = {{ burst = 1_000_000, per_hour = 1_000_000 }}
[homeserver]
kind = "synapse"
url = "http://127.0.0.1:{port}"
secret_file = "{secret_file}"
"""
INTROSPECT: Final = """
local tokens = {{ {tokens} }}
local i = 0
request = function()
  i = i % #tokens + 1
  return wrk.format("POST", "/oauth2/introspect", {{ ["Authorization"] = "Bearer {secret}",
    ["Content-Type"] = "application/x-www-form-urlencoded", ["X-MAS-Supports-Device-Id"] = "1" }},
    "token=" .. tokens[i] .. "&token_type_hint=access_token")
end
"""
REFRESH: Final = """
local i = -1
request = function()
  i = i + 1
  return wrk.format("POST", "/oauth2/token", {{ ["Content-Type"] = "application/x-www-form-urlencoded" }},
    string.format("grant_type=refresh_token&client_id={client_id}&refresh_token=tpr_{run}%07d", i))
end
"""


def measure(setup: Setup) -> Figures:
    """Introspection at full and at half load, refresh, and the way from the sign-in page to the code."""
    setup = _beside(setup)
    vault = Vault(ensure_secret(setup.settings.parent / "keys" / "vault.secret", Entropy()), Entropy())
    asyncio.run(_prepare(setup, vault))
    seconds, tokens = setup.seconds, data.lua_tokens(setup.accounts)
    script = INTROSPECT.format(tokens=tokens, secret=SECRET)
    with serving(setup) as (worker, _):
        size = len(_introspected(setup.port))
        wrk(setup.port, "/", connections=16, seconds=2, script=script)
        asked = _Counted(worker, lambda: wrk(setup.port, "/", connections=16, seconds=seconds, script=script))
        waits = _waits(setup, asked.per_second / 2, seconds)
        wrk(setup.port, "/", connections=64, seconds=1, script=REFRESH.format(client_id=CLIENT_ID, run="a"))
        refresh = REFRESH.format(client_id=CLIENT_ID, run="b")
        refreshed = _Counted(worker, lambda: wrk(setup.port, "/", connections=64, seconds=seconds / 2, script=refresh))
        flow = _Flows(setup.port, FLOWS)
    floor_16 = floor(size, connections=16, seconds=seconds)
    floor_64 = floor(400, connections=64, seconds=seconds)
    return {
        "floor, 16 connections, an introspection's size (requests/s)": (floor_16, ""),
        "POST /oauth2/introspect (requests/s)": (asked.per_second, ""),
        "POST /oauth2/introspect / floor": (
            asked.per_second / floor_16,
            setup.goal(sqlite=">= 0.25", postgresql=">= 0.12"),
        ),
        "POST /oauth2/introspect, CPU of the worker (ms)": (asked.cpu_ms, ""),
        "POST /oauth2/introspect at half load, median (ms)": (waits[len(waits) // 2], ""),
        "POST /oauth2/introspect at half load, p99 (ms)": (waits[len(waits) * 99 // 100], "< 5"),
        "floor, 64 connections, a token answer's size (requests/s)": (floor_64, ""),
        "refresh at POST /oauth2/token, 64 clients (requests/s)": (refreshed.per_second, ""),
        "refresh at POST /oauth2/token / floor": (
            refreshed.per_second / floor_64,
            setup.goal(sqlite=">= 0.05", postgresql=">= 0.03"),
        ),
        "refresh at POST /oauth2/token, CPU of the worker (ms)": (refreshed.cpu_ms, ""),
        "sign-in page to code without the hash (ms)": (flow.median_ms, "<= 10"),
    }


class _Counted:
    """A load, and the processor time of the worker for each of its requests."""

    def __init__(self, worker: int, load: Callable[[], float]) -> None:
        before, start = _cpu_seconds(worker), time.monotonic()
        self.per_second = load()
        took = time.monotonic() - start
        self.cpu_ms = (_cpu_seconds(worker) - before) * 1000 / (self.per_second * took)


class _Flows:
    """People who sign in for an app, one after the other, each with a browser and an account of their own."""

    def __init__(self, port: int, count: int) -> None:
        took = sorted(self._one(port, number) for number in range(count))
        self.median_ms = took[count // 2]

    @staticmethod
    def _one(port: int, number: int) -> float:
        """The milliseconds of all answers but that to the password, whose hash costs what it should."""
        browser = _Browser(port)
        challenge = "A" * 43
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": CALLBACK,
            "scope": SCOPE,
            "state": "bench",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        browser.follow("GET", f"/oauth2/authorize?{urllib.parse.urlencode(query)}")
        browser.password(f"user{number:07}")
        left = browser.send({"decision": "allow"})
        assert left.startswith(f"{CALLBACK}?"), left
        return browser.milliseconds


class _Browser:
    """A browser that measures how long answers take."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._base = f"http://localhost:{port}"
        self._cookies: dict[str, str] = {}
        self._path = self._page = ""
        self.milliseconds = 0.0

    def password(self, name: str) -> None:
        """Sign in; the time of the hash does not count."""
        target = self._ask("POST", self._path, {"name": name, "password": PASSWORD}, counts=False)
        self.follow("GET", target)

    def send(self, fields: dict[str, str]) -> str:
        """Send the form of the page; returns where that leads."""
        return self._ask("POST", self._path, fields)

    def follow(self, method: str, path: str) -> None:
        """Go to a page, and where it leads."""
        while path:
            self._path = path
            path = self._ask(method, path)

    def _ask(self, method: str, path: str, fields: dict[str, str] | None = None, *, counts: bool = True) -> str:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        body = None
        if fields is not None:
            (token,) = re.findall(r'name="form_token" value="([^"]+)"', self._page)[:1]
            body = urllib.parse.urlencode({"form_token": token, **fields})
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": self._base}
        start = time.perf_counter()
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        self._page = answer.read().decode()
        if counts:
            self.milliseconds += (time.perf_counter() - start) * 1000
        assert answer.status in {200, 303}, (path, answer.status, self._page)
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer.headers.get("Location", "")


def _beside(setup: Setup) -> Setup:
    """The setup with a homeserver beside it, which is away: neither introspection nor refresh asks it."""
    secret_file = setup.settings.parent / "homeserver.secret"
    secret_file.write_text(SECRET)
    secret_file.chmod(0o600)
    settings = setup.settings.parent / "beside.toml"
    more = TABLES.format(port=free_port(), secret_file=secret_file)
    settings.write_text(setup.settings.read_text(encoding="utf-8") + more.lstrip("\n"), encoding="utf-8")
    return setup._replace(settings=settings)


async def _prepare(setup: Setup, vault: Vault) -> None:
    """Every device belongs to an app, and has two refresh tokens; the homeserver has every account."""
    database = open_database(setup.url, pool_size=1, password=None)
    now = Clock().now()
    metadata = {
        "client_name": "Bench",
        "client_uri": "https://bench.example.com/",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "web",
    }

    def app(tx: Tx, _: int) -> None:
        oauth.insert_client(tx, client_id=CLIENT_ID, metadata=json.dumps(metadata), now=now)

    def session(tx: Tx, number: int) -> None:
        user = data.user_id(number)
        homeserver.provisioned(tx, user, now)
        grant = hashlib.sha256(str(number).encode()).digest()
        oauth.open_session(
            tx, user_id=user, device_id="BENCH", client_id=CLIENT_ID, scope=SCOPE, grant_hash=grant, now=now
        )
        for run in "ab":
            tokens = device_tokens.Tokens(
                vault.hash_token(f"tp_{run}{number}"), None, vault.hash_token(f"tpr_{run}{number:07}"), now + DAY
            )
            device_tokens.insert_tokens(tx, user, "BENCH", tokens, parent_hash=None, now=now)

    try:
        await data.in_batches(database.write, app, 1, "an app")
        await data.in_batches(database.write, session, setup.accounts, "sessions of it")
    finally:
        await database.close()


def _introspected(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/oauth2/introspect", f"token={data.token(0)}", headers)
    body = connection.getresponse().read()
    assert json.loads(body)["active"], body
    return body


def _waits(setup: Setup, rate: float, seconds: float) -> list[float]:
    """The sorted milliseconds of answers at this rate."""
    requests = setup.settings.parent / "introspections"
    step = max(1, setup.accounts // 5_000)
    requests.write_text("\n".join(data.token(number) for number in range(0, setup.accounts, step)))
    command = [sys.executable, str(HERE / "steady.py"), str(setup.port), str(rate), str(seconds), SECRET, str(requests)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return sorted(json.loads(done.stdout))


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
