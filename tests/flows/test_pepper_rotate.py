"""`threepid pepper rotate`: beside a running server, and killed wherever it is."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from rig import ServerProcess, identity_token, register, wait_for
from threepid.spec.lookup_hash import lookup_hash
from threepid.storage import associations, peppers
from threepid.storage.associations import Association
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Database, Tx
from threepid.storage.peppers import Pepper

T = TypeVar("T")
COUNT = 30_000
KILLS = 3


class Place:
    """A configuration, its database, and the command."""

    def __init__(self, directory: Path, database_url: str) -> None:
        self.url = database_url
        self.server = ServerProcess(directory / "server", tables=f'[database]\nurl = "{database_url}"\n')

    def start_rotation(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "threepid", "pepper", "rotate", "--config", str(self.server.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rotate(self) -> str:
        rotation = self.start_rotation()
        output, errors = rotation.communicate(timeout=120)
        assert rotation.returncode == 0, errors
        assert "hashing addresses" in errors
        return output

    def peppers(self) -> list[Pepper]:
        return self._with(lambda database: database.read(peppers.all_of))

    def publish(self, count: int) -> None:
        def step(tx: Tx) -> None:
            for number in range(count):
                associations.bind(tx, Association("email", f"a{number}@x.org", f"@u{number}:x", 1, 1, 2**42))

        self._with(lambda database: database.write(step))

    def missing(self, pepper: Pepper, count: int) -> int:
        """How many of the bound addresses a lookup under this pepper would miss."""
        hashes = {lookup_hash(f"a{number}@x.org", "email", pepper.pepper): f"@u{number}:x" for number in range(count)}
        found = self._with(lambda database: database.read(lambda tx: peppers.by_hashes(tx, pepper.number, hashes, 2)))
        assert found.items() <= hashes.items()
        return count - len(found)

    def _with(self, work: Callable[[Database], Awaitable[T]]) -> T:
        async def run() -> T:
            database = open_database(self.url, pool_size=2, password=None)
            try:
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(run())


@pytest.fixture
def place(empty_url: str, tmp_path: Path) -> Place:
    # A new one: PostgreSQL plans bulk writes to a database that other tests have used as for tiny tables.
    made = Place(tmp_path, empty_url)
    made.rotate()  # the first pepper, and one more
    return made


def test_a_rotation_that_is_killed_anywhere_is_continued(place: Place) -> None:
    place.publish(COUNT)
    before = place.peppers()[-1]
    chance = random.Random(54)
    hashed = [-1]
    for number in range(KILLS):
        rotation = place.start_rotation()
        somewhere = max(COUNT * (number + chance.random()) / KILLS, hashed[-1] + 1)
        wait_for(
            lambda: (new := place.peppers()[-1]).current_at is None and new.hashed >= somewhere, what="a part of it"
        )
        rotation.send_signal(signal.SIGKILL)
        rotation.communicate()
        known = place.peppers()
        hashed.append(known[-1].hashed)
        assert [one.number for one in known if one.current_at and not one.answers_until] == [before.number]
        assert place.missing(before, COUNT) == 0
    assert hashed == sorted(set(hashed))
    assert hashed[-1] < COUNT
    assert place.rotate() == "The interrupted rotation is complete.\n"
    known = place.peppers()
    current = known[-1]
    assert current.current_at is not None
    assert current.answers_until is None
    assert (current.number, current.hashed) == (before.number + 1, COUNT)
    assert place.missing(current, COUNT) == place.missing(before, COUNT) == 0


def test_a_running_server_tells_clients_the_new_pepper(place: Place) -> None:
    place.server.start()
    try:
        with place.server.client() as http:
            token = identity_token(http, register(http, "alice"))
            headers = {"Authorization": f"Bearer {token}"}
            details = http.get("/_matrix/identity/v2/hash_details", headers=headers).json()
            place.publish(100)
            place.rotate()
            after = http.get("/_matrix/identity/v2/hash_details", headers=headers).json()
            assert after["lookup_pepper"] != details["lookup_pepper"]
            for pepper in (details["lookup_pepper"], after["lookup_pepper"]):
                asked = lookup_hash("a7@x.org", "email", pepper)
                body = {"algorithm": "sha256", "pepper": pepper, "addresses": [asked]}
                answer = http.post("/_matrix/identity/v2/lookup", json=body, headers=headers)
                assert answer.json() == {"mappings": {asked: "@u7:x"}}
    finally:
        place.server.stop()


def test_there_is_nothing_to_rotate_without_an_identity_server(tmp_path: Path) -> None:
    config = tmp_path / "threepid.toml"
    config.write_text('[server]\nname = "example.org"\npublic_base_url = "https://example.org"\n[accounts]\n')
    ended = subprocess.run(
        [sys.executable, "-m", "threepid", "pepper", "rotate", "-c", str(config)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("There is no identity server here")
