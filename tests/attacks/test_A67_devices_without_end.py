"""A67: neither a finished registration nor anything else opens devices without end, and many devices slow nobody down."""

import contextlib
import re
import sqlite3
from typing import Any, Final

import httpx
import pytest

from threepid.domain.accounts.devices import MOST_DEVICES
from threepid.storage import devices
from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Query
from world import PASSWORD, World

C: Final = "/_matrix/client/v3"
ALICE: Final = "@alice:example.org"
LOGIN: Final = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
REPEATS: Final = 5


class Registration:
    """A registration that is finished, and the request that finished it."""

    def __init__(self, world: World, **more: Any) -> None:
        self.world = world
        body = {"username": "alice", "password": PASSWORD, **more}
        self.session = world.post(f"{C}/register", body).json()["session"]
        self.request = {**body, "auth": {"type": "m.login.dummy", "session": self.session}}
        self.first = self.again().json()

    def again(self) -> httpx.Response:
        return self.world.post(f"{C}/register", self.request)


def listed(world: World, token: str) -> list[str]:
    return [device["device_id"] for device in world.get(f"{C}/devices", token=token).json()["devices"]]


def works(world: World, token: str) -> bool:
    return world.get(f"{C}/account/whoami", token=token).status_code == 200


def give_devices(world: World, count: int) -> None:
    """Give alice devices until she has so many more, as an import does."""

    def step(tx: Tx) -> None:
        statement = (
            "INSERT INTO devices (user_id, device_id, created_at, seen_at, seen_from, network)"
            " VALUES (:user_id, :device_id, :now, :now, :client, :client)"
        )
        insert = Query("test", statement, re.sub(r":(\w+)", r"%(\1)s", statement))
        for number in range(count):
            tx.run(insert, user_id=ALICE, device_id=f"D{number:05}", now=number, client=f"198.51.{number // 250}.7")

    world.run(world.server.context.database.write(step))


# -- repeats of a finished registration


@pytest.mark.parametrize("more", [{}, {"device_id": "PHONE"}, {"refresh_token": True}])
def test_a_client_that_lost_the_answer_gets_its_device_again_five_times(world: World, more: dict[str, Any]) -> None:
    registration = Registration(world, **more)
    first = registration.first
    answers = world.together(
        *(lambda: world.acall("POST", f"{C}/register", registration.request) for _ in range(REPEATS + 15))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * REPEATS + [403] * 15
    assert {answer.json()["errcode"] for answer in answers if answer.status_code == 403} == {"M_FORBIDDEN"}
    repeats = [answer.json() for answer in answers if answer.status_code == 200]
    assert {(one["user_id"], one["device_id"]) for one in repeats} == {(ALICE, first["device_id"])}
    # Whichever answer arrived, its token works; and there is one device.
    assert all(works(world, one["access_token"]) for one in [first, *repeats])
    assert listed(world, first["access_token"]) == [first["device_id"]]
    assert ("refresh_token" in repeats[0]) is ("refresh_token" in more)
    with world.again() as other:  # counted over all processes
        assert other.post(f"{C}/register", registration.request).status_code == 403


@pytest.mark.parametrize("ends", ["the first answer", "a repeat"])
def test_no_repeat_logs_in_after_the_device_was_logged_out(world: World, ends: str) -> None:
    registration = Registration(world, device_id="PHONE")
    again = registration.again().json()["access_token"]
    token = registration.first["access_token"] if ends == "the first answer" else again
    assert world.post(f"{C}/logout", token=token).status_code == 200
    assert not works(world, registration.first["access_token"])
    assert not works(world, again)
    assert registration.again().status_code == 403
    # Nor when a device has its name again.
    assert world.post(f"{C}/login", {**LOGIN, "device_id": "PHONE"}).status_code == 200
    assert registration.again().status_code == 403


def test_no_repeat_logs_in_after_the_device_was_deleted_by_another(world: World) -> None:
    registration = Registration(world, device_id="PHONE")
    other = world.post(f"{C}/login", LOGIN).json()["access_token"]
    auth = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
    assert world.call("DELETE", f"{C}/devices/PHONE", {"auth": auth}, token=other).status_code == 200
    assert registration.again().status_code == 403
    assert "PHONE" not in listed(world, other)


@pytest.mark.parametrize("path", [f"{C}/register", "/_matrix/client/r0/register"])
def test_the_session_alone_logs_nobody_in(world: World, path: str) -> None:
    registration = Registration(world)
    request = registration.request
    assert world.post(path, request).status_code == 200
    for body in ({"auth": {"session": registration.session}}, {"auth": request["auth"]}):
        assert world.post(path, body).json() == {"user_id": ALICE, "home_server": "example.org"}
    for body in (
        {"username": "alice", "auth": request["auth"]},
        {**request, "password": "another long password"},
        {**request, "device_id": "MINE"},
        {**request, "inhibit_login": True},
    ):
        answer = world.post(path, body)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN"), body
    assert len(listed(world, registration.first["access_token"])) == 1


def test_a_registration_without_login_opens_no_device_when_it_is_repeated(world: World) -> None:
    registration = Registration(world, inhibit_login=True)
    for _ in range(REPEATS + 3):
        assert registration.again().json() == {"user_id": ALICE, "home_server": "example.org"}
    token = world.post(f"{C}/login", LOGIN).json()["access_token"]
    assert len(listed(world, token)) == 1


# -- five hundred devices


@pytest.fixture
def full(world: World) -> tuple[World, str]:
    """Alice has all the devices that she may have; the token of one of them."""
    token = world.register()
    give_devices(world, MOST_DEVICES - 1)
    assert len(listed(world, token)) == MOST_DEVICES
    return world, token


def test_no_login_opens_one_device_too_many(full: tuple[World, str]) -> None:
    world, token = full
    stage = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
    login_token = world.post("/_matrix/client/v1/login/get_token", {"auth": stage}, token=token).json()["login_token"]
    by_token = {"type": "m.login.token", "token": login_token}
    for body in (LOGIN, {**LOGIN, "device_id": "NEW"}, {**LOGIN, "refresh_token": True}, by_token):
        answer = world.post(f"{C}/login", body)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
        assert answer.json()["error"].endswith("Sign out a device first.")
    # Whose password is wrong is told nothing of it.
    wrong = world.post(f"{C}/login", {**LOGIN, "password": "wrong password"}).json()
    assert "device" not in wrong["error"]
    # A device that is there already logs in.
    assert world.post(f"{C}/login", {**LOGIN, "device_id": "D00007"}).status_code == 200
    # None was removed for another; the login token was not used up.
    assert len(listed(world, token)) == MOST_DEVICES
    assert world.post(f"{C}/delete_devices", {"devices": ["D00001"], "auth": stage}, token=token).status_code == 200
    assert world.post(f"{C}/login", by_token).status_code == 200
    assert world.post(f"{C}/login", LOGIN).status_code == 403


def test_of_many_logins_at_once_only_so_many_find_room(world: World) -> None:
    token = world.register()
    give_devices(world, MOST_DEVICES - 3)
    answers = world.together(*(lambda: world.acall("POST", f"{C}/login", LOGIN) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, *[403] * 6]
    assert len(listed(world, token)) == MOST_DEVICES


def test_an_account_that_was_imported_with_more_keeps_them(world: World) -> None:
    token = world.register()
    give_devices(world, devices.LISTED + 200)
    own = world.get(f"{C}/account/whoami", token=token).json()["device_id"]
    assert world.post(f"{C}/login", LOGIN).status_code == 403
    again = world.post(f"{C}/login", {**LOGIN, "device_id": "D01111"}).json()["access_token"]
    # What is read and told is bounded, and whoever asks is always in it.
    for caller, asking in ((token, own), (again, "D01111")):
        found = listed(world, caller)
        assert len(found) == devices.LISTED
        assert asking in found
        shown = world.get(f"{C}/admin/whois/{ALICE}", token=caller).json()["devices"]
        assert len(shown) == devices.LISTED
        assert asking in shown
        assert world.get(f"{C}/devices/D01150", token=caller).json()["last_seen_ip"] == "198.51.4.7"
    assert world.get(f"{C}/devices/NONE", token=token).status_code == 404


def test_a_login_finds_out_what_it_must_know_without_reading_the_devices(world: World, engine: str) -> None:
    world.register()
    give_devices(world, 3_000)
    assert "devices_by_network" in plan(
        world, engine, devices._sql.network_from, {"user_id": ALICE, "network": "198.51.1.7"}
    )


def plan(world: World, engine: str, query: Query, parameters: dict[str, str]) -> str:
    """How the engine finds what the query asks for."""
    if engine == "sqlite":
        with contextlib.closing(sqlite3.connect(world.database_url.removeprefix("sqlite:"))) as database:
            return str(database.execute(f"EXPLAIN QUERY PLAN {query.sqlite}", parameters).fetchall())
    import psycopg

    with psycopg.connect(world.database_url, autocommit=True) as connection:
        connection.execute(b"ANALYZE devices")
        return str(connection.execute(f"EXPLAIN {query.postgresql}".encode(), parameters).fetchall())


def test_networks_are_known_by_the_devices_that_were_seen_there(world: World) -> None:
    world.register()
    give_devices(world, 3)

    def step(tx: Tx) -> tuple[bool, bool, bool]:
        return (
            devices.knows(tx, ALICE, "198.51.0.7"),
            devices.knows(tx, ALICE, "198.51.0.6") or devices.knows(tx, ALICE, "198.51.0.8"),
            devices.knows(tx, "@bob:example.org", "198.51.0.7"),
        )

    assert world.run(world.server.context.database.read(step)) == (True, False, False)
