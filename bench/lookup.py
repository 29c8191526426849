"""Lookups, binds and rotations of the pepper with a thousand to ten million bound addresses.

`lookup.py` alone measures at ten million as well: it takes some minutes and 4 GB of disk.
"""

import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import apsw
import msgspec

import associations
from rehash import hashed_per_second
from threepid.clock import Clock, Entropy
from threepid.domain.identity.peppers import BATCH
from threepid.domain.secrets.keys import ensure_keyring, ensure_secret
from threepid.domain.secrets.vault import Vault
from threepid.spec.lookup_hash import lookup_hash
from threepid.storage import peppers
from threepid.storage.engine.connect import open_database
from tools import HERE, Figures, Setup, bare, free_port, memory, serving, wrk

SIZES = (1_000, 100_000, 1_000_000)
LARGE = (*SIZES, 10_000_000)
BOOK = 1_000
BOOKS = 200
KNOWN = 0.5
"""How many of the addresses in somebody's book are bound."""
CONFIG = """
[server]
name = "bench.example"
public_base_url = "http://localhost:{port}"
listen = "127.0.0.1:{port}"
data_dir = "{directory}"
[accounts]
registration = "closed"
[identity]
pepper_days = 0
lookup_budget_per_day = 200_000 # counted as ever, and never reached
lookup_budget_of_network_per_day = 100_000_000
[limits]
guesses_from_client = {{ burst = 1_000_000, per_hour = 1_000_000 }}
"""
LOOK_UP = """
local tokens = {{ {tokens} }}
local bodies = {{}}
for line in io.lines("{bodies}") do bodies[#bodies + 1] = line end
local i = -1
request = function()
  i = i + 1
  return wrk.format("POST", "/_matrix/identity/v2/lookup",
    {{ ["Authorization"] = "Bearer " .. tokens[{who} % #tokens + 1] }}, bodies[i % #bodies + 1])
end
"""
AGAIN = "i"
"""A user asks for the same book again and again: as many users as books, or a multiple."""
ANEW = "math.floor(i * 7 / 3)"
"""A user asks for another book each time."""
POST = 'request = function() return wrk.format("POST", "/", {}, string.rep("x", 130)) end'
BIND = """
local tokens = {{ {tokens} }}
local i = -1
request = function()
  i = i + 1
  local body = string.format('{{"sid":"bind%06d","client_secret":"bench","mxid":"@asker%04d:bench.example"}}', i, i % {users})
  return wrk.format("POST", "/_matrix/identity/v2/3pid/bind",
    {{ ["Authorization"] = "Bearer " .. tokens[i % #tokens + 1] }}, body)
end
"""


class Place(NamedTuple):
    """A server with so many associations, and what is asked of it."""

    setup: Setup
    directory: Path
    bound: int

    @property
    def database(self) -> Path:
        """Where the associations are."""
        return self.directory / "threepid.db"

    def bodies(self, size: int) -> Path:
        """What is asked for, so many addresses at a time; one request a line."""
        return self.directory / f"bodies{size}"


def measure(setup: Setup, sizes: tuple[int, ...] = SIZES) -> Figures:
    """All of it, at each size."""
    figures: Figures = {}
    found: dict[tuple[int, int], float] = {}
    binds: dict[int, float] = {}
    for count in sizes:
        place = _prepare(setup, count)
        with serving(place.setup) as (worker, _):
            for size in (1, 100, BOOK):
                found[count, size] = _look_up(place, size, AGAIN)
            anew = _look_up(place, BOOK, ANEW)
            binds[count] = _bind(place)
            used = memory(worker, peak=True)
        name = f"{count:,} associations"
        loop = _bare_lookups(place)
        for size in (1, 100, BOOK):
            figures[f"{name}: lookups of {size} (requests/s)"] = (found[count, size], "")
        figures[f"{name}: lookups of {BOOK} for the first time (requests/s)"] = (anew, "")
        figures[f"{name}: lookups of {BOOK} / bare loop"] = (
            found[count, BOOK] / loop,
            ">= 0.5" if count == 1_000_000 else "",
        )
        figures[f"{name}: lookups of 1 / floor"] = (found[count, 1] / _floor(setup), ">= 0.25")
        figures[f"{name}: binds (requests/s)"] = (binds[count], "")
        figures[f"{name}: memory at most (MB)"] = (used, "< 150")
        if count == 1_000_000:
            figures |= _rotation(place)
        shutil.rmtree(place.directory)
    for count in sizes[1:]:
        for size in (1, 100, BOOK):
            figures[f"cost of looking up {size} at {count:,} / at {sizes[0]:,}"] = (
                found[sizes[0], size] / found[count, size],
                "<= 1.5" if count == sizes[-1] else "",
            )
        figures[f"cost of a bind at {count:,} / at {sizes[0]:,}"] = (
            binds[sizes[0]] / binds[count],
            "<= 1.2" if count == 1_000_000 else "",
        )
    return figures


def _prepare(setup: Setup, count: int) -> Place:
    directory = Path(tempfile.mkdtemp(prefix="threepid-bench-lookup-"))
    port = free_port()
    settings = directory / "threepid.toml"
    settings.write_text(CONFIG.format(port=port, directory=directory), encoding="utf-8")
    vault = Vault(ensure_secret(directory / "keys" / "vault.secret", Entropy()), Entropy())
    ensure_keyring(directory / "keys", Entropy())
    place = Place(setup._replace(settings=settings, port=port), directory, count)
    associations.make(place.database, vault, count=count, binds=int(6_000 * setup.seconds))
    chance = random.Random(count)
    hashes = [_somebody(chance, count) for _ in range(BOOK * BOOKS)]
    for size in (1, 100, BOOK):
        with place.bodies(size).open("w") as file:
            for first in range(0, len(hashes) if size > 1 else 20_000, size):
                body = {"algorithm": "sha256", "pepper": associations.PEPPER, "addresses": hashes[first : first + size]}
                file.write(json.dumps(body) + "\n")
    (directory / "tokens").write_text("\n".join(map(associations.token, range(associations.USERS))))
    return place


def _somebody(chance: random.Random, count: int) -> str:
    """The hash of an address that is bound, or of one that is not."""
    number = chance.randrange(count) if chance.random() < KNOWN else count + chance.randrange(10**7)
    return lookup_hash(associations.address(number), "email", associations.PEPPER)


def _look_up(place: Place, size: int, who: str) -> float:
    tokens = ",".join(f'"{associations.token(number)}"' for number in range(associations.USERS))
    script = LOOK_UP.format(tokens=tokens, bodies=place.bodies(size), who=who)
    seconds = place.setup.seconds
    wrk(place.setup.port, "/", connections=16, seconds=max(2, seconds / 4), script=script)
    return wrk(place.setup.port, "/", connections=16, seconds=seconds, script=script)


def _bind(place: Place) -> float:
    tokens = ",".join(f'"{associations.token(number)}"' for number in range(associations.USERS))
    script = BIND.format(tokens=tokens, users=associations.USERS)
    return wrk(place.setup.port, "/", connections=64, seconds=place.setup.seconds / 2, script=script)


def _floor(setup: Setup) -> float:
    """Requests per second of a bare function that reads a body of the same size."""
    with bare(40, "reading") as port:
        wrk(port, "/", connections=16, seconds=1, script=POST)
        return wrk(port, "/", connections=16, seconds=setup.seconds / 2, script=POST)


def _bare_lookups(place: Place) -> float:
    """Books per second that a bare loop over the same query finds."""
    query = peppers._sql.by_hashes.sqlite  # noqa: SLF001 - the very text
    books = [json.loads(line)["addresses"] for line in place.bodies(BOOK).read_text().splitlines()]
    keys = [array("q", sorted(peppers.keys(1, book))) for book in books]
    connection = apsw.Connection(str(place.database))
    now = Clock().now()

    def loop(seconds: float) -> float:
        count = 0
        start = time.monotonic()
        while time.monotonic() < start + seconds:
            asked = apsw.carray(keys[count % BOOKS], flags=apsw.SQLITE_CARRAY_INT64)
            parameters = {"pepper": 1, "keys": asked, "now": now}
            msgspec.json.decode(cast("str", connection.execute(query, parameters).fetchall()[0][0]))
            count += 1
        return count / (time.monotonic() - start)

    loop(1)
    return loop(place.setup.seconds / 2)


# -- rotation


def _rotation(place: Place) -> Figures:
    """How fast a pepper is filled while lookups go on, and how long they take meanwhile."""
    seconds = place.setup.seconds
    copy = place.directory / "copy.db"
    shutil.copy(place.database, copy)
    loop = hashed_per_second(str(copy), BATCH, seconds)
    with serving(place.setup) as (worker, _):
        _asked(place, 2)
        idle = _asked(place, seconds)
        asyncio.run(
            _on(place, lambda database: database.write(lambda tx: peppers.insert(tx, "Another", Clock().now())))
        )
        while not (begun := _hashed(place)):
            time.sleep(0.01)
        start = time.monotonic()
        meanwhile = _asked(place, seconds)
        rate = (_hashed(place) - begun) / (time.monotonic() - start)
        used = memory(worker, peak=True)
    return {
        "rotation: hashes in a bare loop (1/s)": (loop, ""),
        "rotation: hashes while lookups go on (1/s)": (rate, ""),
        "rotation: hashes / bare loop": (rate / loop, ">= 0.5"),
        "lookups of 1 while nothing else goes on, p99 (ms)": (_p99(idle), ""),
        "lookups of 1 during a rotation, p99 (ms)": (_p99(meanwhile), ""),
        "lookups of 1 during a rotation / idle, p99": (_p99(meanwhile) / _p99(idle), "< 2"),
        "rotation: memory at most (MB)": (used, "< 150"),
    }


def _hashed(place: Place) -> int:
    found: list[Any] = asyncio.run(_on(place, lambda database: database.read(peppers.all_of)))
    return int(found[-1].hashed) if len(found) > 1 else 0


async def _on(place: Place, work: Callable[[Any], Any]) -> Any:
    database = open_database(f"sqlite:{place.database}", pool_size=1, password=None)
    try:
        return await work(database)
    finally:
        await database.close()


def _asked(place: Place, seconds: float) -> list[float]:
    """The milliseconds of lookups of one hash by clients that ask from time to time."""
    files = (str(place.bodies(1)), str(place.directory / "tokens"))
    command = [sys.executable, str(HERE / "askers.py"), str(place.setup.port), *files, str(seconds)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    took: list[float] = json.loads(output)
    return took


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


if __name__ == "__main__":
    nothing = Setup(Path(), 0, 0, 0, float(sys.argv[1]) if len(sys.argv) > 1 else 8, "", "sqlite")
    chosen = tuple(map(int, sys.argv[2:])) or LARGE
    for title, (value, goal) in measure(nothing, chosen).items():
        print(f"{title:70} {value:10.3f}   {f'goal {goal}' if goal else ''}".rstrip())
