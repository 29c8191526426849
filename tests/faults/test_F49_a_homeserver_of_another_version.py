"""F49: the homeserver beside us is restarted with another version, which lacks calls, wants more, or answers more.

The fake stands for the versions: a second real one would be another environment of 300 MB, and those that have the interface do not
differ in it in a way that we could wait for.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beside import V3, Beside, beside_a_synapse
from fake_synapse import Called
from threepid.clock import HOUR
from world import PASSWORD

ALICE = "@alice:example.org"
CALLS = {"is_localpart_available", "query_user", "provision_user", "upsert_device", "sync_devices", "delete_user"}


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Beside]:
    with beside_a_synapse(database_url, tmp_path) as made:
        yield made


def restart(both: Beside, change: Callable[[], None]) -> None:
    both.synapse.stop()
    change()
    both.synapse.start()


def later(both: Beside) -> None:
    both.world.clock.advance(HOUR)
    both.deliver()


def register(both: Beside, username: str) -> int:
    body = {"username": username, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    return both.world.post(f"{V3}/register", body).status_code


def test_F49_a_version_without_the_interface_keeps_everything_waiting(both: Beside) -> None:
    """Before 1.136, or without `matrix_authentication_service`: every call is unknown."""
    world, synapse = both.world, both.synapse
    first = world.register()
    second = both.log_in("LAPTOP").json()["access_token"]
    closing = world.register("closing")
    both.deliver()
    restart(both, lambda: synapse.lacks.update(CALLS))
    assert (register(both, "bob"), both.log_in("TABLET").status_code) == (503, 503)
    both.log_out(second)
    world.run(world.homeserver.administration.lock(ALICE))
    auth = {"type": "m.login.password", "user": "closing", "password": PASSWORD}
    assert world.post(f"{V3}/account/deactivate", {"auth": auth}, token=closing).status_code == 200
    both.deliver()
    assert (sorted(both.jobs()), both.jobs(failed=True)) == (["delete_user", "provision", "sync_devices"], [])
    assert (synapse.users["alice"].locked, synapse.users["closing"].deactivated) == (False, False)

    restart(both, synapse.lacks.clear)
    later(both)
    assert (both.jobs(), both.jobs(failed=True)) == ([], [])
    assert (synapse.users["alice"].locked, synapse.users["closing"].deactivated) == (True, True)
    world.run(world.homeserver.administration.unlock(ALICE))
    assert list(synapse.users["alice"].devices) == both.device_ids(first)
    assert (register(both, "bob"), both.log_in("TABLET").status_code) == (200, 200)


@pytest.mark.parametrize("call", ["upsert_device", "provision_user"])
def test_F49_a_version_without_one_call_gives_no_token_and_takes_no_device(both: Beside, call: str) -> None:
    token = both.world.register()
    both.deliver()
    restart(both, lambda: both.synapse.lacks.add(call))
    assert register(both, "bob") == 503
    assert both.world.get(f"{V3}/account/whoami", token=token).status_code == 200
    assert list(both.synapse.users["alice"].devices) == both.device_ids(token)
    restart(both, both.synapse.lacks.clear)
    assert both.log_in(user="bob").status_code == 200


def test_F49_what_a_version_rejects_is_told_after_an_upgrade(both: Beside) -> None:
    """It wants a member that we do not send: the operator upgrades, and runs `threepid homeserver resync`."""
    world, synapse = both.world, both.synapse
    world.register()
    both.deliver()
    synapse.replies["provision_user"] = 400, {"errcode": "M_MISSING_PARAM"}
    world.run(world.homeserver.administration.lock(ALICE))
    both.deliver()
    assert (both.jobs(), both.jobs(failed=True)) == ([], ["provision"])
    restart(both, synapse.replies.clear)
    assert world.run(world.homeserver.provisioning.tell_again(lambda _: None)) == 1
    later(both)
    assert (both.jobs(), synapse.users["alice"].locked) == ([], True)


def test_F49_a_version_that_answers_more_is_understood(both: Beside) -> None:
    def more(called: Called) -> tuple[int, dict[str, object]]:
        return 200, {"user_id": ALICE, "display_name": None, "is_deactivated": False, "is_new": True, "of": {"x": [1]}}

    both.synapse.replies["query_user"] = more
    synapse = both.world.homeserver.provisioning.synapse
    assert synapse is not None
    found = both.world.run(synapse.query_user("alice"))
    assert found is not None
    assert (found.user_id, found.is_suspended) == (ALICE, False)
    for call in ("is_localpart_available", "upsert_device", "sync_devices"):
        both.synapse.replies[call] = 200, {"done": "entirely"}
    assert register(both, "bob") == 200
    both.deliver()
    assert (both.jobs(), both.jobs(failed=True)) == ([], [])
