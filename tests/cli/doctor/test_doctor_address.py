"""The public URL: DNS, the way to this server, and the clocks."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from examined import Examined
from fake_synapse import DROP, HANG, Reply
from rig import free_port
from threepid.cli.doctor.check import OK, State
from threepid.cli.doctor.checks import address

LIVE = "/_threepid/health/live"
READY = "/_threepid/health/ready"


def test_a_url_that_leads_here_is_in_order(place: Examined) -> None:
    place.public.replies = {LIVE: (200, {}), READY: (200, {})}
    for check in (
        address.name_resolves,
        address.addresses_accept,
        address.url_leads_here,
        address.server_is_ready,
        address.public_clock_agrees,
        address.homeserver_clock_agrees,
    ):
        assert place.ask(check) == OK, check.name


@pytest.mark.parametrize("name", ["nosuch.invalid", f"{'a' * 64}.example"])
def test_a_name_that_does_not_resolve_is_told(place: Examined, name: str) -> None:
    place.changes["server__public_base_url"] = f"https://{name}"
    found = place.ask(address.name_resolves)
    assert found.state is State.FAILURE
    assert name in found.change


def test_a_port_that_nothing_listens_at_is_told(place: Examined) -> None:
    port = free_port()
    place.changes["server__public_base_url"] = f"http://127.0.0.1:{port}"
    found = place.ask(address.addresses_accept)
    assert (found.state, f"127.0.0.1 (port {port})" in found.change) == (State.FAILURE, True)


@pytest.mark.parametrize(
    ("reply", "why"),
    [((200, b"<html>"), "status 200"), ((502, b""), "status 502"), (DROP, "broke off"), (HANG, "more than")],
)
def test_a_url_that_leads_elsewhere_is_told(place: Examined, reply: Reply, why: str) -> None:
    place.seconds = 0.3
    place.public.headers = {}
    place.public.replies[LIVE] = reply
    found = place.ask(address.url_leads_here)
    assert found.state is State.FAILURE
    assert why in found.change


def test_a_server_that_cannot_read_its_database_is_told(place: Examined) -> None:
    place.public.replies[READY] = (503, {"errcode": "M_UNKNOWN"})
    assert place.ask(address.server_is_ready).state is State.FAILURE


def test_an_identity_server_with_a_name_that_leads_nowhere_is_told(place: Examined) -> None:
    place.changes["identity__name"] = f"localhost:{free_port()}"
    settings = place.scene().settings
    assert address.identity_name_leads_here.where(settings)
    found = place.ask(address.identity_name_leads_here)
    assert found.state is State.FAILURE
    assert settings.identity is not None
    assert f"https://{settings.identity.name}/_matrix/identity/v2" in found.change


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(0, State.OK), (-20, State.WARNING), (20, State.WARNING), (-600, State.FAILURE), (600, State.FAILURE)],
)
def test_clocks_that_are_apart_are_told(place: Examined, seconds: int, state: State) -> None:
    dated = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    place.synapse.headers["Date"] = dated
    assert place.ask(address.homeserver_clock_agrees).state is state


def test_a_date_that_is_none_is_told_without_its_control_characters(place: Examined) -> None:
    place.synapse.headers["Date"] = "yesterday \x1b[31m"
    found = place.ask(address.homeserver_clock_agrees)
    assert found.state is State.WARNING
    assert "\x1b" not in found.change
