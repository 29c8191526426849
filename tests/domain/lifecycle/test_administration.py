"""What operators do to accounts, standing alone and beside a Synapse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_synapse import FakeSynapse, fake_synapse
from threepid.domain import audit
from threepid.spec.errors import Forbidden, Unavailable
from web.portal_browser import Browser
from world import PASSWORD, World

V3 = "/_matrix/client/v3"
ALICE = "@alice:example.org"


@pytest.fixture
def synapse() -> Iterator[FakeSynapse]:
    with fake_synapse() as fake:
        yield fake


@pytest.fixture
def beside(database_url: str, tmp_path: Path, synapse: FakeSynapse) -> Iterator[World]:
    with World(database_url, tmp_path, **synapse.settings(tmp_path)) as made:
        yield made


def lock(world: World) -> bool:
    return world.run(world.homeserver.administration.lock(ALICE))


def unlock(world: World) -> bool:
    return world.run(world.homeserver.administration.unlock(ALICE))


def deliver(world: World) -> None:
    world.run(world.server.worker.run_once())


def log_in(world: World, password: str = PASSWORD, **more: Any) -> Any:
    body = {"type": "m.login.password", "user": "alice", "password": password, **more}
    return world.post(f"{V3}/login", body)


def test_a_locked_account_answers_nothing_but_logout(world: World) -> None:
    token = world.register()
    other = log_in(world).json()["access_token"]
    assert lock(world)
    answer = world.get(f"{V3}/account/whoami", token=token)
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_USER_LOCKED")
    assert answer.json()["soft_logout"] is True
    for path in ("account/3pid/add", "user/@alice:example.org/openid/request_token", "login/get_token"):
        version = "v1" if path == "login/get_token" else "v3"
        assert world.post(f"/_matrix/client/{version}/{path}", token=token).json()["errcode"] == "M_USER_LOCKED"
    assert world.post(f"{V3}/logout", token=other).status_code == 200
    assert world.post(f"{V3}/logout/all", token=token).status_code == 200


def test_a_locked_account_cannot_sign_in_and_strangers_do_not_learn_of_the_lock(world: World) -> None:
    token = world.register()
    login_token = world.post(
        "/_matrix/client/v1/login/get_token",
        {"auth": {"type": "m.login.password", "user": "alice", "password": PASSWORD}},
        token=token,
    ).json()["login_token"]
    tokens = log_in(world, refresh_token=True).json()
    lock(world)
    answer = log_in(world)
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_USER_LOCKED")
    assert log_in(world, "wrong").json()["errcode"] == "M_FORBIDDEN"
    assert world.post(f"{V3}/login", {"type": "m.login.token", "token": login_token}).status_code == 403
    refreshed = world.post(f"{V3}/refresh", {"refresh_token": tokens["refresh_token"]})
    assert (refreshed.status_code, refreshed.json()["errcode"]) == (401, "M_USER_LOCKED")


def test_an_unlocked_account_goes_on_with_its_tokens(world: World) -> None:
    token = world.register()
    tokens = log_in(world, refresh_token=True).json()
    assert (lock(world), lock(world)) == (True, False)
    assert (unlock(world), unlock(world)) == (True, False)
    assert world.get(f"{V3}/account/whoami", token=token).status_code == 200
    assert world.post(f"{V3}/refresh", {"refresh_token": tokens["refresh_token"]}).status_code == 200
    entries = world.run(audit.entries_of(world.server.context, ALICE, count=2))
    assert [(entry.event, entry.caller_kind) for entry in entries] == [("unlocked", "operator"), ("locked", "operator")]


def test_a_lock_signs_browsers_out_and_lets_none_in(world: World) -> None:
    world.register()
    browser = Browser(world)
    browser.sign_in()
    assert len(world.run(world.homeserver.web_sessions.list_of(ALICE))) == 1
    lock(world)
    assert world.run(world.homeserver.web_sessions.list_of(ALICE)) == []
    again = Browser(world)
    again.sign_in()
    assert (again.page.status, again.page.problem) == (401, "This account has been locked.")


def test_a_lock_ends_tokens_of_the_identity_server(world: World) -> None:
    identity = world.identity_token(world.register())
    lock(world)
    assert world.get("/_matrix/identity/v2/account", token=identity).status_code == 401


def test_a_lock_reaches_the_homeserver_and_never_takes_devices(beside: World, synapse: FakeSynapse) -> None:
    beside.register()
    deliver(beside)
    known = dict(synapse.users["alice"].devices)
    lock(beside)
    deliver(beside)
    assert (synapse.users["alice"].locked, synapse.users["alice"].devices) == (True, known)
    unlock(beside)
    deliver(beside)
    assert (synapse.users["alice"].locked, synapse.users["alice"].devices) == (False, known)


def state(synapse: FakeSynapse) -> str:
    return "deactivated" if synapse.users["alice"].deactivated else "active"


def test_an_operator_deactivates_and_reactivates(beside: World, synapse: FakeSynapse) -> None:
    token = beside.register()
    deliver(beside)
    beside.run(beside.homeserver.closing.close_by_operator(ALICE, erase=False))
    deliver(beside)
    assert state(synapse) == "deactivated"
    assert beside.get(f"{V3}/account/whoami", token=token).status_code == 401
    synapse.stop()
    with pytest.raises(Unavailable):
        beside.run(beside.homeserver.administration.reactivate(ALICE, "another battery staple"))
    assert log_in(beside, "another battery staple").status_code == 403
    synapse.start()
    beside.run(beside.homeserver.administration.reactivate(ALICE, "another battery staple"))
    assert state(synapse) == "active"
    assert log_in(beside, "another battery staple").status_code == 200
    with pytest.raises(Forbidden):
        beside.run(beside.homeserver.administration.reactivate(ALICE, None))


def test_a_deactivation_that_waits_does_not_hit_an_account_that_came_back(beside: World, synapse: FakeSynapse) -> None:
    beside.register()
    deliver(beside)
    synapse.replies["delete_user"] = 500, {}
    beside.run(beside.homeserver.closing.close_by_operator(ALICE, erase=False))
    deliver(beside)
    beside.run(beside.homeserver.administration.reactivate(ALICE, PASSWORD))
    del synapse.replies["delete_user"]
    beside.clock.advance(3_600_000)
    deliver(beside)
    assert not synapse.users["alice"].deactivated


def test_an_account_that_the_homeserver_never_had_can_be_deactivated(beside: World, synapse: FakeSynapse) -> None:
    beside.run(beside.homeserver.registration.create("alice", PASSWORD))
    beside.run(beside.homeserver.closing.close_by_operator(ALICE, erase=True))
    deliver(beside)
    assert synapse.users == {}
