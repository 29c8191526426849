"""The files by which others find this server."""

from typing import Any

import pytest

from examined import Examined
from threepid.cli.doctor.check import OK, State
from threepid.cli.doctor.checks import wellknown

CLIENT = "/.well-known/matrix/client"
SERVER = "/.well-known/matrix/server"
MSC2965 = "org.matrix.msc2965.authentication"


@pytest.fixture
def named(place: Examined) -> Examined:
    """A server whose name is the host of its URL."""
    place.changes["server__name"] = "localhost"
    place.public.headers = {"Access-Control-Allow-Origin": "*"}
    return place


def file(base: str, **changes: Any) -> dict[str, Any]:
    return {
        "m.homeserver": {"base_url": base},
        "m.identity_server": {"base_url": f"{base}/"},
        MSC2965: {"issuer": f"{base}/", "account": f"{base}/account/"},
        **changes,
    }


def test_files_that_agree_are_in_order(named: Examined) -> None:
    port = named.public.port
    named.public.replies = {CLIENT: (200, file(named.base)), SERVER: (200, {"m.server": f"localhost:{port}"})}
    assert named.ask(wellknown.clients_find_us) == OK
    assert named.ask(wellknown.servers_find_us) == OK


@pytest.mark.parametrize(
    ("changes", "state", "change"),
    [
        ({"m.homeserver": {"base_url": "https://old.example"}}, State.FAILURE, "https://old.example"),
        ({"m.homeserver": "https://old.example"}, State.FAILURE, "m.homeserver"),
        ({"m.identity_server": {"base_url": "https://vector.im"}}, State.FAILURE, "m.identity_server"),
        ({"m.identity_server": None}, State.WARNING, "m.identity_server"),
        ({MSC2965: {"issuer": "https://old.example/"}}, State.FAILURE, "issuer"),
        ({MSC2965: {}}, State.WARNING, MSC2965),
    ],
)
def test_a_client_file_that_disagrees_is_told(
    named: Examined, changes: dict[str, Any], state: State, change: str
) -> None:
    named.public.replies[CLIENT] = (200, file(named.base, **changes))
    found = named.ask(wellknown.clients_find_us)
    assert found.state is state
    assert change in found.change


def test_a_client_file_that_browsers_cannot_read_is_told(named: Examined) -> None:
    named.public.headers = {}
    named.public.replies[CLIENT] = (200, file(named.base))
    assert "Access-Control-Allow-Origin" in named.ask(wellknown.clients_find_us).change


@pytest.mark.parametrize("reply", [(404, b"<html>"), (200, b"[]"), (500, {"errcode": "M_UNKNOWN"})])
def test_a_missing_client_file_is_a_warning(named: Examined, reply: Any) -> None:
    named.public.replies[CLIENT] = reply
    found = named.ask(wellknown.clients_find_us)
    assert (found.state, CLIENT in found.change) == (State.WARNING, True)


@pytest.mark.parametrize(
    "reply", [(404, b"<html>"), (200, {"m.server": 1}), (200, {"m.server": "elsewhere.example:443"})]
)
def test_a_server_file_that_leads_elsewhere_or_nowhere_is_a_warning(named: Examined, reply: Any) -> None:
    named.public.replies[SERVER] = reply
    assert named.ask(wellknown.servers_find_us).state is State.WARNING


def test_no_file_is_looked_for_where_the_name_has_a_port(named: Examined) -> None:
    named.changes["server__name"] = "localhost:8448"
    assert named.ask(wellknown.servers_find_us) == OK
    assert named.public.calls == []


def test_a_redirect_that_leaves_https_is_told(named: Examined) -> None:
    named.public.headers |= {"Location": "http://localhost:1/"}
    named.public.replies[CLIENT] = (302, b"")
    assert "without https" in named.ask(wellknown.clients_find_us).change


def test_files_are_looked_for_at_the_name_and_by_https(named: Examined) -> None:
    named.changes["server__name"] = "example.org"
    assert wellknown.url_of(named.scene(), "client") == "https://example.org/.well-known/matrix/client"
    named.changes["server__name"] = "[::1]:8448"
    assert wellknown.url_of(named.scene(), "client") == "https://[::1]/.well-known/matrix/client"
