"""What a homeserver beside us learns, when, and what happens while it is away. The homeserver is a fake with a real one's traps."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beside import USERINFO
from fake_synapse import FakeSynapse, User, fake_synapse
from operators import root
from threepid.clock import HOUR, MINUTE
from threepid.delivery.jobs.provisioning import provisioning_jobs
from threepid.delivery.worker import Worker
from threepid.domain.accounts.provisioning_jobs import Name
from threepid.storage import devices, outbox
from world import PASSWORD, World

V3 = "/_matrix/client/v3"


@pytest.fixture
def synapse() -> Iterator[FakeSynapse]:
    with fake_synapse() as fake:
        fake.replies[USERINFO] = 200, {"sub": "@alice:example.org"}
        yield fake


@pytest.fixture
def world(database_url: str, tmp_path: Path, synapse: FakeSynapse) -> Iterator[World]:
    with World(database_url, tmp_path, **synapse.settings(tmp_path)) as made:
        yield made


def log_in(world: World, device_id: str | None = None, username: str = "alice", **more: Any) -> Any:
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": username}, "password": PASSWORD}
    if device_id is not None:
        body["device_id"] = device_id
    return world.post(f"{V3}/login", {**body, **more})


def deliver(world: World) -> None:
    world.run(world.server.worker.run_once())


def waiting(world: World) -> list[str]:
    """The names of the jobs for the homeserver that wait, oldest first."""
    found = world.run(
        world.server.context.database.read(lambda tx: outbox.listed(tx, failed=False, after=None, count=99))
    )
    return [job.template for job in found if job.channel == "homeserver"]


def failed(world: World) -> list[str]:
    found = world.run(
        world.server.context.database.read(lambda tx: outbox.listed(tx, failed=True, after=None, count=99))
    )
    return [job.template for job in found if job.channel == "homeserver"]


def devices_of(world: World, token: str) -> list[str]:
    return [device["device_id"] for device in world.get(f"{V3}/devices", token=token).json()["devices"]]


def test_a_registration_asks_for_the_name_and_gives_user_and_device_before_it_answers(
    world: World, synapse: FakeSynapse
) -> None:
    body = {"username": "alice", "password": PASSWORD, "device_id": "PHONE", "initial_device_display_name": "My phone"}
    answer = world.post(f"{V3}/register", {**body, "auth": {"type": "m.login.dummy"}})
    assert answer.status_code == 200, answer.text
    assert synapse.names() == ["is_localpart_available", "provision_user", "upsert_device"]
    assert synapse.users["alice"].devices == {"PHONE": "My phone"}


def test_a_registration_without_login_is_told_by_a_job(world: World, synapse: FakeSynapse) -> None:
    body = {"username": "alice", "password": PASSWORD, "inhibit_login": True, "auth": {"type": "m.login.dummy"}}
    assert world.post(f"{V3}/register", body).status_code == 200
    assert synapse.users == {}
    deliver(world)
    assert synapse.users["alice"].devices == {}


@pytest.mark.parametrize("name", ["_alice", "12345"])
def test_names_that_no_synapse_provisions_are_refused_without_asking(
    world: World, synapse: FakeSynapse, name: str
) -> None:
    answer = world.get(f"{V3}/register/available?username={name}")
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_INVALID_USERNAME")
    assert synapse.calls == []


def test_names_that_only_the_homeserver_knows_are_taken(world: World, synapse: FakeSynapse) -> None:
    synapse.users["bob"] = User()
    synapse.exclusive.add("irc_bot")
    for name, errcode in (("bob", "M_USER_IN_USE"), ("BOB", "M_USER_IN_USE"), ("irc_bot", "M_EXCLUSIVE")):
        answer = world.get(f"{V3}/register/available?username={name}")
        assert (answer.status_code, answer.json()["errcode"]) == (400, errcode)
    synapse.stop()
    assert world.get(f"{V3}/register/available?username=carol").status_code == 503


def test_a_login_names_a_new_device_and_never_renames_a_known_one(world: World, synapse: FakeSynapse) -> None:
    world.register()
    log_in(world, "LAPTOP", initial_device_display_name="Laptop " + "x" * 200)
    assert synapse.users["alice"].devices["LAPTOP"] == ("Laptop " + "x" * 200)[:100]
    synapse.users["alice"].devices["LAPTOP"] = "Renamed at the homeserver"
    log_in(world, "LAPTOP", initial_device_display_name="Again")
    assert synapse.users["alice"].devices["LAPTOP"] == "Renamed at the homeserver"


@pytest.mark.parametrize(
    "reply", [(500, {"errcode": "M_UNKNOWN"}), (403, {"errcode": "M_UNKNOWN"}), (400, {"errcode": "M_UNKNOWN"}), "drop"]
)
def test_a_login_that_the_homeserver_does_not_get_gives_no_token_and_leaves_no_device(
    world: World, synapse: FakeSynapse, reply: Any
) -> None:
    token = world.register()
    known = devices_of(world, token)
    synapse.replies["upsert_device"] = reply
    answer = log_in(world)
    assert (answer.status_code, answer.json()["errcode"]) == (503, "M_UNKNOWN")
    assert "access_token" not in answer.text
    assert devices_of(world, token) == known
    assert Name.SYNC_DEVICES in waiting(world)
    del synapse.replies["upsert_device"]
    assert log_in(world).status_code == 200


def test_a_failed_login_of_a_known_device_leaves_the_device_with_its_keys(world: World, synapse: FakeSynapse) -> None:
    token = world.register()
    log_in(world, "LAPTOP")
    synapse.replies["upsert_device"] = 502, {}
    assert log_in(world, "LAPTOP").status_code == 503
    assert "LAPTOP" in devices_of(world, token)
    deliver(world)
    assert "LAPTOP" in synapse.users["alice"].devices


def test_a_registration_that_the_homeserver_did_not_get_can_be_repeated(world: World, synapse: FakeSynapse) -> None:
    asked = world.post(f"{V3}/register", {"username": "alice", "password": PASSWORD})
    auth = {"type": "m.login.dummy", "session": asked.json()["session"]}
    synapse.replies["provision_user"] = 500, {}
    body = {"username": "alice", "password": PASSWORD, "auth": auth}
    assert world.post(f"{V3}/register", body).status_code == 503
    del synapse.replies["provision_user"]
    answer = world.post(f"{V3}/register", body)
    assert answer.status_code == 200, answer.text
    assert list(synapse.users["alice"].devices) == [answer.json()["device_id"]]


def test_a_logout_deletes_the_device_at_the_homeserver_and_only_that(world: World, synapse: FakeSynapse) -> None:
    first = world.register()
    second = log_in(world, "LAPTOP").json()["access_token"]
    world.post(f"{V3}/logout", token=second)
    deliver(world)
    assert list(synapse.users["alice"].devices) == devices_of(world, first)
    world.post(f"{V3}/logout/all", token=first)
    deliver(world)
    assert synapse.users["alice"].devices == {}


def test_a_deleted_device_and_a_new_password_end_devices_at_the_homeserver(world: World, synapse: FakeSynapse) -> None:
    token = world.register()
    for device_id in ("LAPTOP", "TABLET"):
        log_in(world, device_id)
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    assert world.call("DELETE", f"{V3}/devices/LAPTOP", {"auth": auth}, token=token).status_code == 200
    deliver(world)
    assert "LAPTOP" not in synapse.users["alice"].devices
    assert "TABLET" in synapse.users["alice"].devices
    body = {"new_password": "another battery staple", "logout_devices": True, "auth": auth}
    assert world.post(f"{V3}/account/password", body, token=token).status_code == 200
    deliver(world)
    assert list(synapse.users["alice"].devices) == devices_of(world, token)


def test_the_device_list_is_the_one_of_the_time_when_the_job_runs(world: World, synapse: FakeSynapse) -> None:
    """The same device logs out and in again: an order that knew the old list would delete its keys."""
    world.register()
    token = log_in(world, "LAPTOP").json()["access_token"]
    world.post(f"{V3}/logout", token=token)
    log_in(world, "LAPTOP")
    deliver(world)
    assert "LAPTOP" in synapse.users["alice"].devices


def test_contacts_go_to_the_homeserver_in_canonical_spelling(world: World, synapse: FakeSynapse) -> None:
    token = world.register()
    identity = world.identity_token(token)
    sid = world.validated(identity, "Alice@EXAMPLE.com")
    assert world.add(token, sid).status_code == 200
    deliver(world)
    deliver(world)
    assert synapse.users["alice"].emails == ["alice@example.com"]
    sid = world.validated(identity, "second@example.com", secret="other")
    assert world.add(token, sid, secret="other").status_code == 200
    deliver(world)
    assert synapse.users["alice"].emails == ["alice@example.com", "second@example.com"]
    assert synapse.unbound == []
    world.post(f"{V3}/account/3pid/delete", {"medium": "email", "address": "alice@example.com"}, token=token)
    deliver(world)
    assert synapse.users["alice"].emails == ["second@example.com"]


def test_a_deactivation_reaches_the_homeserver_and_nothing_undoes_it(world: World, synapse: FakeSynapse) -> None:
    token = world.register()
    deliver(world)
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    identity = world.identity_token(token)
    world.add(token, world.validated(identity))
    deliver(world)
    synapse.stop()
    # Orders that wait while it is away: a contact, a device, and then the end of the account.
    world.post(f"{V3}/account/3pid/delete", {"medium": "email", "address": "alice@example.com"}, token=token)
    deliver(world)
    answer = world.post(f"{V3}/account/deactivate", {"auth": auth, "erase": True}, token=token)
    assert answer.status_code == 200, answer.text
    deliver(world)
    assert {Name.PROVISION, Name.DELETE_USER} <= set(waiting(world))
    synapse.start()
    del synapse.calls[:]
    for _ in range(3):
        world.clock.advance(HOUR)
        deliver(world)
    assert waiting(world) == []
    user = synapse.users["alice"]
    assert (user.deactivated, user.erased, user.emails, user.devices) == (True, True, [], {})
    assert synapse.names() == ["delete_user"]


def test_an_absent_homeserver_is_told_when_it_is_back_however_long_that_takes(
    world: World, synapse: FakeSynapse
) -> None:
    first = world.register()
    second = log_in(world, "LAPTOP").json()["access_token"]
    deliver(world)
    synapse.stop()
    world.post(f"{V3}/logout", token=second)
    for _ in range(20):
        deliver(world)
        world.clock.advance(100 * 24 * HOUR)
    assert waiting(world) == [Name.SYNC_DEVICES]
    synapse.start()
    deliver(world)
    assert waiting(world) == failed(world) == []
    assert list(synapse.users["alice"].devices) == devices_of(world, first)


def test_pauses_between_attempts_grow_to_minutes(world: World, synapse: FakeSynapse) -> None:
    second = log_in(world, "LAPTOP").json() if world.register() else {}
    deliver(world)
    synapse.replies["sync_devices"] = 500, {}
    world.post(f"{V3}/logout", token=second["access_token"])
    attempts = 0
    for _ in range(60):
        before = synapse.names().count("sync_devices")
        deliver(world)
        attempts += synapse.names().count("sync_devices") - before
        world.clock.advance(MINUTE)
    assert 10 < attempts < 25


def test_a_permanent_refusal_is_not_repeated(world: World, synapse: FakeSynapse) -> None:
    token = world.register()
    deliver(world)
    synapse.replies["sync_devices"] = 400, {"errcode": "M_INVALID_PARAM", "error": "No."}
    world.post(f"{V3}/logout", token=token)
    deliver(world)
    assert (waiting(world), failed(world)) == ([], [Name.SYNC_DEVICES])


def test_a_wrong_secret_is_corrected_by_the_operator_and_loses_nothing(world: World, synapse: FakeSynapse) -> None:
    token = world.register()
    deliver(world)
    synapse.replies["sync_devices"] = 403, {"errcode": "M_UNKNOWN"}
    world.post(f"{V3}/logout", token=token)
    deliver(world)
    assert waiting(world) == [Name.SYNC_DEVICES]


def test_changes_that_wait_share_one_job(world: World, synapse: FakeSynapse) -> None:
    world.register()
    tokens = [log_in(world).json()["access_token"] for _ in range(4)]
    deliver(world)
    synapse.stop()
    for token in tokens:
        world.post(f"{V3}/logout", token=token)
    assert waiting(world) == [Name.SYNC_DEVICES]


def test_a_list_that_is_under_way_makes_a_login_wait(world: World, synapse: FakeSynapse) -> None:
    """Otherwise the homeserver could get the new device first and then delete it with the list."""
    world.register()
    second = log_in(world, "LAPTOP").json()["access_token"]
    deliver(world)
    world.post(f"{V3}/logout", token=second)
    del synapse.calls[:]

    committed = threading.Event()

    def slowly(called: Any) -> None:
        # Within this call a login is committed; its device is not in the list.
        assert committed.wait(60)
        time.sleep(0.3)  # for as long, the login could have called, too

    synapse.replies["sync_devices"] = slowly

    async def late_login() -> None:
        while "sync_devices" not in synapse.names():
            await asyncio.sleep(0.01)
        body = {"type": "m.login.password", "user": "alice", "password": PASSWORD, "device_id": "TABLET"}
        login = asyncio.create_task(world.acall("POST", f"{V3}/login", body))
        while "TABLET" not in await world.server.context.database.read(
            lambda tx: devices.ids(tx, "@alice:example.org")
        ):
            await asyncio.sleep(0.01)
        committed.set()
        assert (await login).status_code == 200

    async def work() -> None:
        await world.server.worker.run_once()

    world.together(work, late_login)
    assert synapse.names() == ["sync_devices", "upsert_device"]
    assert "TABLET" not in synapse.calls[0].body["devices"]
    assert "TABLET" in synapse.users["alice"].devices


def test_two_processes_run_one_job_of_an_account_at_a_time(world: World, synapse: FakeSynapse) -> None:
    world.register()
    second = log_in(world, "LAPTOP").json()["access_token"]
    deliver(world)
    under_way, most = 0, 0

    def count(called: Any) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        time.sleep(0.3)  # the other one could begin meanwhile
        under_way -= 1

    synapse.replies["sync_devices"] = synapse.replies["provision_user"] = count
    context, homeserver = world.server.context, world.homeserver
    world.post(f"{V3}/logout", token=second)
    world.run(context.database.write(lambda tx: homeserver.provisioning.account_changed(tx, "@alice:example.org")))
    other = Worker(
        context.database,
        world.clock,
        [provisioning_jobs(homeserver.provisioning.jobs)],
        unseal=context.vault.unseal_job,
    )
    world.together(world.server.worker.run_once, other.run_once)
    assert waiting(world) != [], "one of them gave way"
    world.clock.advance(MINUTE)
    deliver(world)
    assert (most, waiting(world)) == (1, [])


def test_what_an_operator_ends_with_a_new_password_is_told_at_once(world: World) -> None:
    """As what its owner ends: tokens at the homeserver die within a moment, not when the delivery looks again."""
    world.register()
    deliver(world)
    woken = world.server.worker._woken
    woken.clear()
    support = world.homeserver.support
    world.run(support.set_password("@alice:example.org", "another long password", root(world), log_out_devices=True))
    assert woken.is_set()
