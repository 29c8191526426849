"""Requests of application services go on to the homeserver beside us, as they came."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_synapse import SECRET, FakeSynapse, fake_synapse
from threepid.storage.engine.database import Busy
from world import PASSWORD, World

V3 = "/_matrix/client/v3"


@pytest.fixture
def synapse() -> Iterator[FakeSynapse]:
    with fake_synapse() as fake:
        yield fake


@pytest.fixture
def beside(database_url: str, tmp_path: Path, synapse: FakeSynapse) -> Iterator[World]:
    with World(database_url, tmp_path, **synapse.settings(tmp_path)) as made:
        yield made


def of_bridge(synapse: FakeSynapse, path: str, answer: Any) -> None:
    synapse.replies[path] = answer


def test_a_bridge_registers_its_user_at_the_homeserver(beside: World, synapse: FakeSynapse) -> None:
    of_bridge(synapse, f"{V3}/register", (200, {"user_id": "@irc_bob:example.org"}))
    body = {"type": "m.login.application_service", "username": "irc_bob", "inhibit_login": True}
    answer = beside.post(f"{V3}/register?kind=user", body, token="token-of-the-bridge")
    assert (answer.status_code, answer.json()) == (200, {"user_id": "@irc_bob:example.org"})
    (called,) = synapse.calls
    assert (called.method, called.target, called.body) == ("POST", f"{V3}/register?kind=user", body)
    assert called.headers["authorization"] == "Bearer token-of-the-bridge"
    assert SECRET not in str(called.headers)
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_bridge_deletes_a_device_of_its_user_at_the_homeserver(beside: World, synapse: FakeSynapse) -> None:
    path = f"{V3}/devices/A%2FB"
    of_bridge(synapse, path, (200, {}))
    answer = beside.call("DELETE", f"{path}?user_id=%40irc_bob%3Aexample.org", {}, token="token-of-the-bridge")
    assert answer.status_code == 200
    assert synapse.calls[0].target == f"{path}?user_id=%40irc_bob%3Aexample.org"


def test_refusals_of_the_homeserver_come_back_as_they_are(beside: World, synapse: FakeSynapse) -> None:
    of_bridge(synapse, f"{V3}/register", (400, {"errcode": "M_EXCLUSIVE", "error": "No."}))
    body = {"type": "m.login.application_service", "username": "irc_bob"}
    answer = beside.post(f"{V3}/register", body, token="x")
    assert (answer.status_code, answer.json()) == (400, {"errcode": "M_EXCLUSIVE", "error": "No."})
    synapse.stop()
    assert beside.post(f"{V3}/register", body, token="x").status_code == 503


def test_requests_of_people_stay_here(beside: World, synapse: FakeSynapse) -> None:
    token = beside.register()
    identifier = {"type": "m.id.user", "user": "alice"}
    auth = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    for given in ({}, {"auth": auth}):
        beside.call("DELETE", f"{V3}/devices/NONE", given, token=token)
    assert beside.call("DELETE", f"{V3}/devices/NONE", {}).status_code == 401
    assert beside.post(f"{V3}/register", b"{").status_code == 400
    assert not [called for called in synapse.calls if called.name.startswith("/_matrix/")]


def test_without_a_homeserver_nothing_is_forwarded(world: World) -> None:
    body = {"type": "m.login.application_service", "username": "irc_bob"}
    assert world.post(f"{V3}/register", body).status_code == 401
    assert world.call("DELETE", f"{V3}/devices/X", {}, token="unknown").json()["errcode"] == "M_UNKNOWN_TOKEN"


async def away() -> None:
    raise Busy("the database is away")


def test_while_the_database_is_away_the_caller_is_asked_to_try_again(beside: World, synapse: FakeSynapse) -> None:
    token = beside.register()
    beside.database.before_reads = away
    answer = beside.call("DELETE", f"{V3}/devices/NONE", {}, token=token)
    beside.database.before_reads = None
    assert (answer.status_code, answer.json()["errcode"]) == (503, "M_UNKNOWN")
    assert "retry-after" in answer.headers
    assert not [called for called in synapse.calls if called.name.startswith("/_matrix/")]
