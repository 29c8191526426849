"""What a homeserver beside us keeps and learns that our list of devices does not say: bridged users, names, late devices."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from beside import V3, Beside, beside_a_synapse
from fake_synapse import Called, User
from importers.synapse.importing import bring
from synapse_database import SynapseDatabase, synapse_hash
from threepid.clock import HOUR
from threepid.domain.origin import Origin
from web.portal_browser import Browser
from world import PASSWORD

ALICE = "@alice:example.org"
BRIDGED = "@irc_bob:example.org"
AUTH = {"type": "m.login.password", "user": "alice", "password": PASSWORD}


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Beside]:
    with beside_a_synapse(database_url, tmp_path) as made:
        yield made


@pytest.fixture
def bridged(both: Beside, tmp_path: Path) -> Beside:
    """An application service has made the device BRIDGE of its user, who was imported with a password."""
    theirs = SynapseDatabase(f"sqlite:{tmp_path}/theirs.db")
    theirs.user(BRIDGED, appservice_id="irc", password_hash=synapse_hash(PASSWORD))
    theirs.device(BRIDGED, "BRIDGE")
    bring(both.world, theirs)
    both.synapse.users["irc_bob"] = User()
    both.synapse.users["irc_bob"].devices["BRIDGE"] = "Bridge"
    return both


def log_in_as_the_bridged(both: Beside, device_id: str) -> str:
    answer = both.log_in(device_id, user="irc_bob")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def test_signing_a_bridged_user_out_everywhere_spares_the_devices_of_the_bridge(bridged: Beside) -> None:
    log_in_as_the_bridged(bridged, "MINE")
    bridged.world.run(bridged.world.homeserver.devices.log_out_everywhere(BRIDGED, Origin()))
    bridged.deliver()
    assert "BRIDGE" in bridged.synapse.users["irc_bob"].devices
    assert bridged.jobs() == bridged.jobs(failed=True) == []


def test_a_device_that_its_owner_renames_on_the_pages_is_renamed_there(both: Beside) -> None:
    both.world.register()
    both.log_in("LAPTOP", initial_device_display_name="Laptop")
    browser = Browser(both.world)
    browser.sign_in()
    browser.open("/account/sessions?device=LAPTOP")
    browser.submit(
        {"form_token": browser.page.fields["form_token"], "id": "LAPTOP", "name": "In the kitchen"},
        "/account/sessions/rename",
    )
    both.deliver()
    assert both.synapse.users["alice"].devices["LAPTOP"] == "In the kitchen"


def test_the_names_of_two_devices_and_none_are_told(both: Beside) -> None:
    token = both.world.register()
    both.log_in("LAPTOP", initial_device_display_name="Laptop")
    both.log_in("TABLET", initial_device_display_name="Tablet")
    devices = both.world.homeserver.devices
    for device_id, name in (("LAPTOP", "First"), ("TABLET", None), ("LAPTOP", "Second")):
        assert both.world.run(devices.rename(ALICE, device_id, name))
    assert both.jobs().count("rename_device") == 2
    both.deliver()
    kept = both.synapse.users["alice"].devices
    assert (kept["LAPTOP"], kept["TABLET"]) == ("Second", "")
    assert len(both.device_ids(token)) == 3


def test_a_rename_of_a_device_that_is_gone_there_is_no_failure(both: Beside) -> None:
    both.world.register()
    both.log_in("LAPTOP")
    both.deliver()
    del both.synapse.users["alice"].devices["LAPTOP"]
    both.world.run(both.world.homeserver.devices.rename(ALICE, "LAPTOP", "Late"))
    both.deliver()
    assert both.jobs() == both.jobs(failed=True) == []
    assert "LAPTOP" not in both.synapse.users["alice"].devices


def test_an_account_that_is_closed_during_a_sign_in_keeps_no_device_there(both: Beside) -> None:
    """Synapse makes devices of deactivated users, too."""
    token = both.world.register()
    both.deliver()
    world, made = both.world, threading.Event()

    def slowly(_: Called) -> None:
        made.wait(60)

    both.synapse.replies["upsert_device"] = slowly

    async def sign_in() -> None:
        await world.acall("POST", f"{V3}/login", {**AUTH, "device_id": "LATE"})

    async def close() -> None:
        while both.synapse.names()[-1] != "upsert_device":
            await asyncio.sleep(0.01)
        answer = await world.acall("POST", f"{V3}/account/deactivate", {"auth": AUTH}, token=token)
        assert answer.status_code == 200, answer.text
        await world.server.worker.run_once()
        assert both.synapse.users["alice"].deactivated
        made.set()

    world.together(sign_in, close)
    assert list(both.synapse.users["alice"].devices) == ["LATE"]
    both.deliver()
    assert both.synapse.users["alice"].devices == {}


def test_a_deactivation_is_repeated_while_an_identity_server_of_the_homeserver_is_away(both: Beside) -> None:
    """Synapse says 400 M_UNKNOWN if it cannot unbind an address, and leaves the user active with all devices."""
    token = both.world.register()
    both.deliver()
    both.synapse.replies["delete_user"] = (
        400,
        {"errcode": "M_UNKNOWN", "error": "Failed to remove threepid from ID server"},
    )
    assert both.world.post(f"{V3}/account/deactivate", {"auth": AUTH}, token=token).status_code == 200
    both.deliver()
    assert both.jobs(failed=True) == []
    both.synapse.replies.clear()
    both.world.clock.advance(HOUR)
    both.deliver()
    assert both.synapse.users["alice"].deactivated
