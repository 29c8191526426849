"""F47: the homeserver beside us refuses a call for good, wants it later, or does not answer: each call, and what becomes of its job."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from beside import V3, Beside, beside_a_synapse
from fake_synapse import DROP, HANG, SECRET, Reply
from threepid.clock import HOUR
from threepid.config import Secret
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.accounts.provisioning_jobs import CHANNEL, BusyHere, Name
from threepid.remote.guard import RemoteError
from threepid.remote.homeserver.synapse import Failed, Synapse
from threepid.spec.errors import Unavailable
from threepid.storage.outbox import ClaimedJob
from web.portal_browser import Browser
from world import PASSWORD

ALICE = "@alice:example.org"
JOBS = {"provision_user": "provision", "sync_devices": "sync_devices", "update_device_display_name": "rename_device"}
"""Calls that the outbox makes, and their jobs. `delete_user` is repeated whatever the homeserver says."""


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Beside]:
    with beside_a_synapse(database_url, tmp_path) as made:
        made.world.register()
        made.log_in("LAPTOP")
        made.deliver()
        yield made


def order(both: Beside, call: str) -> None:
    """Cause the call."""
    provisioning, context = both.world.homeserver.provisioning, both.world.server.context
    if call == "update_device_display_name":
        both.world.run(both.world.homeserver.devices.rename(ALICE, "LAPTOP", "New"))
    elif call == "provision_user":
        both.world.run(context.database.write(lambda tx: provisioning.account_changed(tx, ALICE)))
    else:
        both.world.run(context.database.write(lambda tx: provisioning.devices_changed(tx, ALICE)))


@pytest.mark.parametrize("call", JOBS)
@pytest.mark.parametrize("errcode", ["M_INVALID_PARAM", "M_MISSING_PARAM", "M_TOO_LARGE"])
def test_F47_what_is_refused_for_good_waits_for_the_operator_and_holds_nothing_up(
    both: Beside, call: str, errcode: str
) -> None:
    both.synapse.replies[call] = 400, {"errcode": errcode}
    order(both, call)
    both.deliver()
    assert (both.jobs(), both.jobs(failed=True)) == ([], [JOBS[call]])
    both.synapse.replies.clear()
    order(both, call)
    both.deliver()
    assert (both.jobs(), both.jobs(failed=True)) == ([], [JOBS[call]])
    assert both.synapse.names()[-1] == call


@pytest.mark.parametrize("call", JOBS)
@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 502, 503, 504])
def test_F47_what_may_succeed_later_is_repeated(both: Beside, call: str, status: int) -> None:
    both.synapse.replies[call] = status, {"errcode": "M_UNKNOWN"}
    order(both, call)
    both.deliver()
    assert (both.jobs(), both.jobs(failed=True)) == ([JOBS[call]], [])
    both.synapse.replies.clear()
    both.world.clock.advance(HOUR)
    both.deliver()
    assert (both.jobs(), both.jobs(failed=True)) == ([], [])


@pytest.mark.parametrize("call", ["is_localpart_available", "provision_user", "upsert_device"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429])
def test_F47_a_registration_that_is_refused_gives_no_token(both: Beside, call: str, status: int) -> None:
    both.synapse.replies[call] = status, {"errcode": "M_UNKNOWN"}
    body = {"username": "bob", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    answer = both.world.post(f"{V3}/register", body)
    assert (answer.status_code, "access_token" in answer.text) == (503, False)


@pytest.mark.parametrize("call", ["provision_user", "upsert_device"])
def test_F47_a_sign_in_does_not_wait_for_ever(both: Beside, call: str) -> None:
    """Somebody waits for each of these calls, so they have a time limit."""
    world = both.world
    hurried = Provisioning(world.server.context, _impatient(both), lambda: None)
    both.synapse.replies[call] = HANG
    body = {"username": "bob", "password": PASSWORD, "inhibit_login": True, "auth": {"type": "m.login.dummy"}}
    assert world.post(f"{V3}/register", body).status_code == 200
    with pytest.raises(Unavailable):
        world.run(hurried.admit("@bob:example.org", "TABLET", "Tablet"))


def test_F47_a_slow_list_of_devices_is_not_overtaken(both: Beside) -> None:
    """The homeserver may still work on the call that we gave up, so that the next job of the account waits."""
    world = both.world
    hurried = Provisioning(world.server.context, _impatient(both), lambda: None)
    both.synapse.replies["sync_devices"] = HANG
    both.log_out(both.log_in("LAPTOP").json()["access_token"])
    before = both.synapse.names().count("sync_devices")
    job = ClaimedJob("x", CHANNEL, ALICE, "en", Name.SYNC_DEVICES, "{}", 0, 0, 1)

    async def twice() -> None:
        with pytest.raises(RemoteError) as slow:
            await hurried.jobs.carry_out(job)
        assert not isinstance(slow.value, Failed)
        both.synapse.replies.clear()
        with pytest.raises(BusyHere):
            await asyncio.wait_for(hurried.jobs.carry_out(job), 60)

    world.run(twice())
    assert both.synapse.names().count("sync_devices") == before + 1
    world.clock.advance(HOUR)
    both.deliver()
    assert (both.jobs(), "LAPTOP" in both.synapse.users["alice"].devices) == ([], False)


TROUBLES: dict[str, Reply] = {
    "400": (400, {"errcode": "M_UNKNOWN"}),
    "403": (403, {"errcode": "M_UNKNOWN"}),
    "500": (500, {"errcode": "M_UNKNOWN"}),
    "502": (502, b"<html>"),
    "another server": (404, b""),
    "no answer": DROP,
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_F47_a_reactivation_is_whole_or_not_at_all(both: Beside, trouble: str) -> None:
    world, administration = both.world, both.world.homeserver.administration
    world.run(world.homeserver.closing.close_by_operator(ALICE, erase=False))
    both.deliver()
    both.synapse.replies["reactivate_user"] = TROUBLES[trouble]
    with pytest.raises(Unavailable):
        world.run(administration.reactivate(ALICE, PASSWORD))
    assert both.log_in().status_code == 403
    both.synapse.replies.clear()
    world.clock.advance(HOUR)
    world.run(administration.reactivate(ALICE, PASSWORD))
    both.deliver()
    assert (both.synapse.users["alice"].deactivated, both.log_in().status_code) == (False, 200)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_F47_a_reset_of_keys_that_is_not_allowed_there_is_not_shown_as_allowed(both: Beside, trouble: str) -> None:
    browser = Browser(both.world)
    browser.sign_in()
    browser.open("/account/keys")
    (button,) = [name for name in browser.page.buttons if "reset" in name.lower()]
    both.synapse.replies["allow_cross_signing_reset"] = TROUBLES[trouble]
    browser.press(button)
    assert (browser.page.status, both.synapse.users["alice"].may_reset_keys) == (503, False)
    both.synapse.replies.clear()
    browser.open("/account/keys")
    browser.press(button)
    assert (browser.page.status, both.synapse.users["alice"].may_reset_keys) == (200, True)


def _impatient(both: Beside) -> Synapse:
    return Synapse(f"http://127.0.0.1:{both.synapse.port}", Secret(SECRET), total_seconds=1.0)
