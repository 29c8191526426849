"""How often one account has other identity servers called, whatever it does with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fake_identity_server import V2, FakeIdentityServer
from world import World

C = "/_matrix/client/v3/account/3pid"
ADDRESS = {"medium": "email", "address": "alice@example.com"}
OURS = "matrix.example.org"


@pytest.fixture
def other(other: FakeIdentityServer) -> FakeIdentityServer:
    other.replies[f"{V2}/3pid/getValidated3pid"] = 200, {**ADDRESS, "validated_at": 1_700_000_000_000}
    return other


@pytest.fixture
def home(database_url: str, tmp_path: Path, other: FakeIdentityServer) -> Iterator[World]:
    plenty = {"burst": 1_000, "per_hour": 1_000}
    limits = {
        "all": "on",
        "outbound_from_account": {"burst": 2, "per_hour": 2},
        "registration_from_client": plenty,
        "message_to_address": plenty,
    }
    trusted: dict[str, Any] = {"accounts__trusted_identity_servers": ["localhost:*"]}
    with World(database_url, tmp_path, **other.settings, **trusted, limits=limits) as made:
        yield made


def creds(name: str, **changes: Any) -> dict[str, Any]:
    return {"sid": "1", "client_secret": "secret", "id_server": name, "id_access_token": "token", **changes}


def bind(home: World, name: str, token: str, **changes: Any) -> httpx.Response:
    return home.post(f"{C}/bind", creds(name, **changes), token=token)


def unbind(home: World, name: str, token: str) -> httpx.Response:
    return home.post(f"{C}/unbind", {**ADDRESS, "id_server": name}, token=token)


def add(home: World, name: str, token: str) -> httpx.Response:
    return home.post(C, {"three_pid_creds": creds(name)}, token=token)


@pytest.mark.parametrize("last", [bind, unbind, add])
def test_what_an_account_has_others_asked_is_counted_together(
    home: World, other: FakeIdentityServer, last: Any
) -> None:
    alice, bob = home.register("alice"), home.register("bob")
    assert bind(home, other.name, alice).status_code == 200
    assert unbind(home, other.name, alice).status_code == 200
    count = len(other.asked)
    with home.again() as process:
        for server in (home, process):
            refused = last(server, other.name, alice)
            assert (refused.status_code, refused.json()["errcode"]) == (429, "M_LIMIT_EXCEEDED")
            assert refused.json()["retry_after_ms"] == 30 * 60_000
    assert len(other.asked) == count
    assert last(home, other.name, bob).status_code == 200
    home.clock.advance(30 * 60_000)
    assert last(home, other.name, alice).status_code != 429


def test_our_own_identity_server_is_not_another(home: World) -> None:
    token = home.register()
    identity = home.identity_token(token)
    for number in range(4):
        home.clock.advance(1)
        secret = f"secret{number}"
        sid = home.validated(identity, secret=secret)
        assert bind(home, OURS, token, sid=sid, client_secret=secret).status_code == 200
        assert unbind(home, OURS, token).json() == {"id_server_unbind_result": "success"}


def test_an_unbind_request_that_is_too_many_changes_nothing_and_a_removal_is_never_too_many(
    home: World, other: FakeIdentityServer
) -> None:
    token = home.register()
    assert add(home, other.name, token).status_code == 200
    assert bind(home, other.name, token).status_code == 200
    assert unbind(home, other.name, token).status_code == 429
    count = len(other.asked)
    removed = home.post(f"{C}/delete", ADDRESS, token=token)
    assert removed.json() == {"id_server_unbind_result": "success"}
    assert len(other.asked) == count + 1
    assert home.contacts(token) == []


def test_an_addition_is_not_undone_because_its_binding_is_too_many(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    assert bind(home, other.name, token).status_code == 200
    body = {"three_pid_creds": creds(other.name), "bind": True}
    assert home.post(C, body, token=token).json() == {}
    assert home.contacts(token) == ["alice@example.com"]
    assert other.paths().count(f"{V2}/3pid/bind") == 1
