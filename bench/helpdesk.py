"""What operators wait for: a search among all accounts, the health that a supervisor asks, and what counting and the log cost."""

import asyncio
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Final
from urllib.parse import quote

import data
from threepid.clock import Clock, Entropy
from threepid.http.watch import Watch
from threepid.storage import accounts, audit
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Tx
from tools import Figures, Setup, cpu_seconds, floor, serving, wrk

ADMIN: Final = "/_threepid/admin/v1/accounts"
LIVE: Final = "/_threepid/health/live"
READY: Final = "/_threepid/health/ready"
TABLE: Final = """
[admin]
networks = ["127.0.0.0/8"]
"""
_SEARCHES: Final = 200
_CHANGES: Final = 200
_ENTRIES: Final = 2_000
_COUNTED: Final = 100_000


def measure(setup: Setup) -> Figures:
    """Searches one after the other, health under load, and the shares of counting and of the audit log in a request."""
    setup = _with_admin(setup)
    token = _token(setup)
    with serving(setup) as (worker, _):
        client = _Client(setup.port, token)
        searched = {what: client.median_ms(queries) for what, queries in _queries(setup.accounts).items()}
        changed, changed_cpu = client.changes(worker, setup.accounts)
        wrk(setup.port, LIVE, connections=16, seconds=1)
        before = cpu_seconds(worker)
        live = wrk(setup.port, LIVE, connections=16, seconds=setup.seconds)
        live_cpu = (cpu_seconds(worker) - before) / (live * max(1, round(setup.seconds)))
        ready = wrk(setup.port, READY, connections=16, seconds=setup.seconds)
    floor_16 = floor(len(json.dumps({"status": "alive"})), connections=16, seconds=setup.seconds)
    part, entry = asyncio.run(_inside(setup))
    counted = _counting()
    return {
        **{f"admin search, {what} (ms)": (took, goal) for what, (took, goal) in searched.items()},
        "admin search, part of a username, in the database (ms)": (part * 1000, ""),
        "floor, 16 connections, a health answer's size (requests/s)": (floor_16, ""),
        "GET /_threepid/health/live / floor": (live / floor_16, ">= 0.5"),
        "GET /_threepid/health/ready / floor": (
            ready / floor_16,
            setup.goal(sqlite=">= 0.5", postgresql=""),
        ),
        "counting an answer (microseconds)": (counted * 1e6, ""),
        "counting an answer / CPU of GET /_threepid/health/live": (counted / live_cpu, "<= 0.05"),
        "POST …/contacts/verify (ms)": (changed * 1000, ""),
        "an entry of the audit log (microseconds)": (entry * 1e6, ""),
        "an entry of the audit log / CPU of POST …/contacts/verify": (entry / changed_cpu, "<= 0.05"),
    }


def _with_admin(setup: Setup) -> Setup:
    settings = setup.settings.parent / "admin.toml"
    settings.write_text(setup.settings.read_text(encoding="utf-8") + TABLE, encoding="utf-8")
    return setup._replace(settings=settings)


def _token(setup: Setup) -> str:
    command = ["operator-token", "create", "bench", "--scope", "accounts:read", "--scope", "accounts:write"]
    done = subprocess.run(
        [sys.executable, "-m", "threepid", *command, "--config", str(setup.settings)],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _queries(count: int) -> dict[str, tuple[Callable[[int], str], str]]:
    """What is searched, and the goal; the number says which search it is."""

    def number(turn: int) -> int:
        return turn * 7_919 % count

    return {
        "whole address": (lambda turn: f"?q=user{number(turn):07}%40home.example.com", "<= 5"),
        "address of nobody": (lambda turn: f"?q=nobody{number(turn):07}%40home.example.com", "<= 5"),
        "whole username": (lambda turn: f"?q=user{number(turn):07}", "<= 5"),
        "beginning of few usernames": (lambda turn: f"?q=user{number(turn):07}"[:-1], "<= 5"),
        "beginning of all usernames, 100 of them": (lambda _: "?q=user", ""),
        "beginning of no username": (lambda turn: f"?q=x{number(turn):07}", "<= 5"),
        "a page in the middle": (lambda turn: f"?after={quote(data.user_id(number(turn)))}", ""),
    }


class _Client:
    """An operator's program, which keeps its connection."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def median_ms(self, query: tuple[Callable[[int], str], str]) -> tuple[float, str]:
        """The milliseconds of a search, and the goal."""
        make, goal = query
        self._ask("GET", ADMIN + make(0))
        return median(self._ask("GET", ADMIN + make(turn)) for turn in range(_SEARCHES)) * 1000, goal

    def changes(self, worker: int, count: int) -> tuple[float, float]:
        """The seconds, and the worker's processor seconds, of a request that changes a contact and is in the audit log."""
        before, took = cpu_seconds(worker), []
        for turn in range(_CHANGES):
            number = turn * 7_919 % count
            body = {"medium": "email", "address": f"user{number:07}@home.example.com"}
            path = f"{ADMIN}/user{number:07}/contacts/verify"
            took.append(self._ask("POST", path, json.dumps(body)))
        return median(took), (cpu_seconds(worker) - before) / _CHANGES

    def _ask(self, method: str, target: str, body: str | None = None) -> float:
        started = time.perf_counter()
        self._connection.request(method, target, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        took = time.perf_counter() - started
        if answer.status != http.client.OK:
            raise SystemExit(f"{method} {target}: {answer.status} {content!r}")
        return took


async def _inside(setup: Setup) -> tuple[float, float]:
    """The seconds of a search in the middle of usernames, and the processor seconds of an entry of the log."""
    database = open_database(setup.url, pool_size=1, password=None)
    entropy, now = Entropy(), Clock().now()

    def entries(tx: Tx) -> float:
        started = time.thread_time()
        for turn in range(_ENTRIES):
            entry_id, user_id = entropy.id(now), data.user_id(turn * 7_919 % setup.accounts)
            entry = audit.Entry(entry_id, now, "contact_verified", user_id, "operator", "bench", "{}", "{}")
            audit.append(tx, entry)
        return (time.thread_time() - started) / _ENTRIES

    def search(tx: Tx) -> float:
        started = time.perf_counter()
        accounts.with_part(tx, "nobody", "", 100)
        return time.perf_counter() - started

    try:
        return await database.read_aside(search), await database.write_aside(entries)
    finally:
        await database.close()


def _counting() -> float:
    """The processor seconds in which an answer is counted."""
    watch = Watch(lambda: "")
    meter = watch.meters.named("bench")
    started = time.thread_time()
    for _ in range(_COUNTED):
        meter.durations.note(0.001)
    return (time.thread_time() - started) / _COUNTED
