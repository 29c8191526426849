"""F10: another identity server that is down, hangs, fails or lies hinders nobody here, and nothing false is remembered."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_identity_server import DROP, HANG, V2, FakeIdentityServer
from threepid.clock import DAY, MINUTE
from threepid.remote.guard import CALLS_PER_HOST
from threepid.remote.patience import Patience
from threepid.storage import outbox, threepids
from world import PASSWORD, World

ALICE = "@alice:example.org"
ADDRESS = {"medium": "email", "address": "alice@example.com"}
ASSOCIATION = {**ADDRESS, "mxid": ALICE}
NO_SUPPORT = {"id_server_unbind_result": "no-support"}
DEACTIVATE = "/_matrix/client/v3/account/deactivate"
AUTH = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
Work = Callable[[World, str], Any]


@pytest.fixture
def home(database_url: str, tmp_path: Path, other: FakeIdentityServer) -> Iterator[World]:
    with World(database_url, tmp_path, patience=Patience(call=5.0, unbind=3.0), **other.settings) as made:
        yield made


def bind(home: World, token: str, other: FakeIdentityServer) -> Any:
    body = {"sid": "1", "client_secret": "secret", "id_server": other.name, "id_access_token": "token"}
    return home.post("/_matrix/client/v3/account/3pid/bind", body, token=token)


def bound(home: World) -> int:
    return len(home.run(home.server.context.database.read(lambda tx: threepids.bindings_of_user(tx, ALICE))))


def waiting(home: World) -> int:
    home.mails()  # what is for people has gone out then
    return home.run(home.server.context.database.read(outbox.depth))


FAULTS: dict[str, Any] = {
    "drops": DROP,
    "status 500": (500, b"<h1>Oh</h1>"),
    "status 503 with a Matrix error": (503, {"errcode": "M_UNKNOWN", "error": "Down."}),
    "a page": (200, b"<h1>Welcome</h1>"),
    "nothing": (200, b""),
    "no object": (200, b"[]"),
    "not UTF-8": (200, b'{"a": "\xff"}'),
    "too deep": (200, b'{"a":' * 500 + b"1" + b"}" * 500),
    "too large": (200, json.dumps({**ASSOCIATION, "x": "x" * 60_000}).encode()),
}
LIES: dict[str, Any] = {
    "an empty object": (200, {}),
    "somebody else": (200, {**ASSOCIATION, "mxid": "@mallory:example.org"}),
    "no address": (200, {**ASSOCIATION, "address": "alice"}),
    "an address of many": (200, {**ASSOCIATION, "address": ["alice@example.com"]}),
    "another medium": (200, {**ASSOCIATION, "medium": "pigeon"}),
    "a number": (200, {**ASSOCIATION, "mxid": 1}),
}


@pytest.mark.parametrize("fault", [*FAULTS, *LIES, "refuses"])
def test_a_bind_fails_with_a_sentence_and_nothing_is_recorded(
    home: World, other: FakeIdentityServer, fault: str
) -> None:
    token = home.register()
    if fault == "refuses":
        other.stop()
    else:
        other.replies[f"{V2}/3pid/bind"] = {**FAULTS, **LIES}[fault]
    answer = bind(home, token, other)
    assert answer.status_code == 502
    assert answer.json() == {"errcode": "M_UNKNOWN", "error": "The identity server is unreachable."}
    assert (bound(home), waiting(home), home.contacts(token)) == (0, 0, [])


def test_a_bind_at_a_server_that_hangs_ends_and_keeps_nobody_else_waiting(
    home: World, other: FakeIdentityServer
) -> None:
    token = home.register()
    other.replies[f"{V2}/3pid/bind"] = HANG

    ended: list[str] = []

    async def hanging() -> None:
        body = {"sid": "1", "client_secret": "secret", "id_server": other.name, "id_access_token": "token"}
        answer = await home.acall("POST", "/_matrix/client/v3/account/3pid/bind", body, token=token)
        assert (answer.status_code, answer.json()["errcode"]) == (502, "M_UNKNOWN")
        ended.append("hanging")

    async def another() -> None:
        while not other.asked:
            await asyncio.sleep(0.01)
        assert (await home.acall("GET", "/_matrix/client/v3/account/3pid", token=token)).status_code == 200
        ended.append("another")

    home.together(hanging, another)
    assert ended == ["another", "hanging"]
    assert bound(home) == 0


def unbind(home: World, token: str) -> Any:
    return home.post("/_matrix/client/v3/account/3pid/unbind", ADDRESS, token=token).json()


def delete(home: World, token: str) -> Any:
    answer = home.post("/_matrix/client/v3/account/3pid/delete", ADDRESS, token=token).json()
    assert home.contacts(token) == []
    return answer


def deactivate(home: World, token: str) -> Any:
    answer = home.post(DEACTIVATE, {"auth": AUTH}, token=token)
    assert answer.status_code == 200
    assert home.get("/_matrix/client/v3/account/whoami", token=token).status_code == 401
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    assert home.post("/_matrix/client/v3/login", login).status_code == 403
    # The address is free for somebody else at once.
    home.clock.advance(1)
    bob = home.register("bob")
    assert home.add(bob, home.validated(home.identity_token(bob, "bob"), secret="b"), secret="b").status_code == 200
    return answer.json()


def bound_there(home: World, other: FakeIdentityServer) -> str:
    token = home.register()
    home.add(token, home.validated(home.identity_token(token)))
    assert bind(home, token, other).json() == {}
    return token


@pytest.mark.parametrize("work", [unbind, delete, deactivate])
@pytest.mark.parametrize("fault", [*FAULTS, "refuses"])
def test_what_is_to_be_unbound_is_done_here_at_once_and_there_when_the_server_is_well(
    home: World, other: FakeIdentityServer, fault: str, work: Work
) -> None:
    token = bound_there(home, other)
    if fault == "refuses":
        other.stop()
    else:
        other.replies[f"{V2}/3pid/unbind"] = FAULTS[fault]
    assert work(home, token) == NO_SUPPORT
    assert waiting(home) == 1
    other.unbinds()
    if fault == "refuses":
        other.start()
    count = len(other.asked)
    home.clock.advance(MINUTE)
    home.run(home.server.worker.run_once())
    assert [asked.body for asked in other.asked[count:]] == [{"mxid": ALICE, "threepid": ADDRESS}]
    assert (waiting(home), bound(home)) == (0, 0)


@pytest.mark.parametrize("work", [unbind, delete, deactivate])
def test_a_server_that_hangs_is_not_waited_for_without_end(home: World, other: FakeIdentityServer, work: Work) -> None:
    token = bound_there(home, other)
    other.replies[f"{V2}/3pid/unbind"] = HANG
    path = f"/_matrix/client/v3/account/{'deactivate' if work is deactivate else '3pid/' + work.__name__}"
    body = {"auth": AUTH} if work is deactivate else ADDRESS
    assert home.post(path, body, token=token).json() == NO_SUPPORT
    assert waiting(home) == 1
    other.unbinds()
    home.clock.advance(MINUTE)
    home.run(home.server.worker.run_once())
    assert (waiting(home), bound(home)) == (0, 0)


def test_a_server_that_is_slow_is_waited_for(database_url: str, tmp_path: Path, other: FakeIdentityServer) -> None:
    goes_on = threading.Event()

    def late(_asked: object) -> tuple[int, Any]:
        assert goes_on.wait(60)
        return 200, {}

    with World(database_url, tmp_path, **other.settings) as home:
        token = bound_there(home, other)
        other.replies[f"{V2}/3pid/unbind"] = late

        async def ask() -> Any:
            asking = asyncio.create_task(
                home.acall("POST", "/_matrix/client/v3/account/3pid/unbind", ADDRESS, token=token)
            )
            while f"{V2}/3pid/unbind" not in other.paths():
                await asyncio.sleep(0.01)
            assert not asking.done()
            goes_on.set()
            return (await asking).json()

        assert home.run(ask()) == {"id_server_unbind_result": "success"}


def test_many_servers_that_hang_are_waited_for_together(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    for number in range(12):
        other.binds("email", f"a{number}@example.com")
        bind(home, token, other)
    other.replies[f"{V2}/3pid/unbind"] = HANG
    assert deactivate_only(home, token) == NO_SUPPORT
    assert other.paths().count(f"{V2}/3pid/unbind") == CALLS_PER_HOST  # the limit was over while the first ones hung
    assert waiting(home) == 12
    other.unbinds()
    home.clock.advance(DAY)
    home.run(home.server.worker.run_once())
    assert waiting(home) == 0


def deactivate_only(home: World, token: str) -> Any:
    return home.post(DEACTIVATE, {"auth": AUTH}, token=token).json()


def test_a_server_that_says_success_and_did_nothing_is_believed_and_nothing_more(
    home: World, other: FakeIdentityServer
) -> None:
    token = bound_there(home, other)
    other.replies[f"{V2}/3pid/unbind"] = 200, {"errcode": "", "id_server_unbind_result": "success"}
    assert unbind(home, token) == NO_SUPPORT  # an error, whatever else it says
    other.unbinds()
    assert unbind(home, token) == {"id_server_unbind_result": "success"}
    assert home.contacts(token) == ["alice@example.com"]


def test_a_binding_that_fails_does_not_undo_the_addition(home: World, other: FakeIdentityServer) -> None:
    with home.again(accounts__trusted_identity_servers=["localhost:*"]) as trusting:
        token = trusting.register()
        validated = {**ADDRESS, "validated_at": 1_700_000_000_000}
        other.replies[f"{V2}/3pid/getValidated3pid"] = 200, validated
        other.replies[f"{V2}/3pid/bind"] = 500, b""
        creds = {"sid": "1", "client_secret": "secret", "id_server": other.name, "id_access_token": "token"}
        body = {"three_pid_creds": creds, "bind": True}
        assert trusting.post("/_matrix/client/r0/account/3pid", body, token=token).json() == {}
        assert trusting.contacts(token) == ["alice@example.com"]
        assert bound(trusting) == 0
