"""F30: the homeserver beside us is away, slow, answers errors, or was restored from a backup."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from beside import V3, Beside, beside_a_synapse
from fake_synapse import DROP, Reply
from threepid.clock import HOUR
from world import PASSWORD, World

TROUBLES: dict[str, Reply] = {
    "500": (500, {"errcode": "M_UNKNOWN"}),
    "502": (502, b"<html>"),
    "dropped": DROP,
    "other server": (404, b""),
}


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Beside]:
    with beside_a_synapse(database_url, tmp_path) as made:
        yield made


@pytest.mark.parametrize("call", ["is_localpart_available", "provision_user", "upsert_device"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_registration_gives_no_token_and_can_be_repeated(both: Beside, call: str, trouble: str) -> None:
    world = both.world
    asked = world.post(f"{V3}/register", {"username": "alice", "password": PASSWORD})
    auth = {"type": "m.login.dummy", "session": asked.json()["session"]}
    both.synapse.replies[call] = TROUBLES[trouble]
    body = {"username": "alice", "password": PASSWORD, "auth": auth}
    refused = world.post(f"{V3}/register", body)
    assert (refused.status_code, "access_token" in refused.text) == (503, False)
    del both.synapse.replies[call]
    answer = world.post(f"{V3}/register", body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["device_id"] in both.synapse.users["alice"].devices


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_job_waits_and_is_done_afterwards(both: Beside, trouble: str) -> None:
    world, synapse = both.world, both.synapse
    first = world.register()
    second = both.log_in("LAPTOP").json()["access_token"]
    both.deliver()
    for call in ("sync_devices", "provision_user", "delete_user"):
        synapse.replies[call] = TROUBLES[trouble]
    both.log_out(second)
    world.run(world.homeserver.administration.lock("@alice:example.org"))
    both.deliver()
    assert sorted(both.jobs()) == ["provision", "sync_devices"]
    synapse.replies.clear()
    world.clock.advance(HOUR)
    both.deliver()
    assert (both.jobs(), synapse.users["alice"].locked) == ([], True)
    world.run(world.homeserver.administration.unlock("@alice:example.org"))
    assert list(synapse.users["alice"].devices) == both.device_ids(first)


def test_nobody_who_is_signed_in_notices(both: Beside) -> None:
    token = both.world.register()
    both.synapse.stop()
    assert both.world.get(f"{V3}/account/whoami", token=token).status_code == 200
    assert both.world.get(f"{V3}/account/3pid", token=token).status_code == 200


def test_a_homeserver_from_an_old_backup_gets_the_account_again(both: Beside) -> None:
    token = both.world.register()
    both.deliver()
    both.synapse.users.clear()
    assert both.log_in("LAPTOP").status_code == 200
    both.deliver()
    assert sorted(both.synapse.users["alice"].devices) == sorted(both.device_ids(token))
    both.synapse.users.clear()
    both.log_out(token)
    both.deliver()
    assert list(both.synapse.users["alice"].devices) == ["LAPTOP"]
    assert both.jobs(failed=True) == []


def test_accounts_that_were_here_first_are_told_at_the_start(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as alone:
        alone.register()
        alone.register("bob")
    with beside_a_synapse(database_url, tmp_path) as both:
        assert both.world.run(both.world.homeserver.provisioning.catch_up()) == 2
        assert both.world.run(both.world.homeserver.provisioning.catch_up()) == 0
        both.deliver()
        assert [len(both.synapse.users[name].devices) for name in ("alice", "bob")] == [1, 1]


def test_a_call_of_unknown_outcome_holds_the_next_one_back(both: Beside) -> None:
    """The homeserver may still be working on the list of devices: what follows must not overtake it."""
    both.world.register()
    second = both.log_in("LAPTOP").json()["access_token"]
    both.deliver()
    both.synapse.replies["sync_devices"] = DROP
    both.log_out(second)
    both.deliver()
    del both.synapse.replies["sync_devices"]
    both.world.clock.advance(5_000)
    before = len(both.synapse.calls)
    both.deliver()
    assert len(both.synapse.calls) == before
    both.world.clock.advance(HOUR)
    both.deliver()
    assert both.jobs() == []
