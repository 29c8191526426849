"""`/.well-known/matrix/`: where this server is."""

from pathlib import Path

import pytest

from world import World

CLIENT = "/.well-known/matrix/client"
SERVER = "/.well-known/matrix/server"


def test_clients_find_both_roles(world: World) -> None:
    assert world.get(CLIENT).json() == {
        "m.homeserver": {"base_url": "https://matrix.example.org"},
        "m.identity_server": {"base_url": "https://matrix.example.org"},
        "org.matrix.msc2965.authentication": {
            "issuer": "https://matrix.example.org/",
            "account": "https://matrix.example.org/account/",
        },
    }


def test_without_the_identity_role_none_is_named(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity=None) as world:
        found = world.get(CLIENT).json()
        assert found["m.homeserver"] == {"base_url": "https://matrix.example.org"}
        assert "m.identity_server" not in found


def test_a_mere_identity_server_does_not_speak_for_a_homeserver(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts=None) as world:
        assert world.get(CLIENT).status_code == 404
        assert world.get(SERVER).status_code == 404


@pytest.mark.parametrize(
    ("base", "client", "server"),
    [
        ("https://matrix.example.org/", "https://matrix.example.org", "matrix.example.org:443"),
        ("https://Matrix.Example.org:8448", "https://Matrix.Example.org:8448", "matrix.example.org:8448"),
        ("https://example.org/there/", "https://example.org/there", "example.org:443"),
        ("http://localhost:8008", "http://localhost:8008", "localhost:8008"),
        ("http://localhost", "http://localhost", "localhost:80"),
        ("https://[::1]:8448", "https://[::1]:8448", "[::1]:8448"),
    ],
)
def test_both_are_told_the_public_address(
    database_url: str, tmp_path: Path, base: str, client: str, server: str
) -> None:
    with World(database_url, tmp_path, server__public_base_url=base) as world:
        assert world.get(CLIENT).json()["m.homeserver"] == {"base_url": client}
        assert world.get(SERVER).json() == {"m.server": server}


@pytest.mark.parametrize("path", [CLIENT, SERVER])
def test_pages_of_every_origin_may_ask(world: World, path: str) -> None:
    answer = world.get(path, headers={"Origin": "https://app.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["content-type"] == "application/json"
    preflight = world.call("OPTIONS", path, headers={"Origin": "https://app.example"})
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "*")


def test_what_else_is_well_known_is_json_too(world: World) -> None:
    answer = world.get("/.well-known/matrix/nothing")
    assert (answer.status_code, answer.json()["errcode"]) == (404, "M_UNRECOGNIZED")


@pytest.mark.parametrize(
    ("contact", "support"),
    [
        ("help@example.org", {"contacts": [{"email_address": "help@example.org", "role": "m.role.admin"}]}),
        ("mailto:help@example.org", {"contacts": [{"email_address": "help@example.org", "role": "m.role.admin"}]}),
        ("https://example.org/help", {"support_page": "https://example.org/help"}),
    ],
)
def test_the_contact_is_told_by_servers_of_either_role(
    database_url: str, tmp_path: Path, contact: str, support: object
) -> None:
    with World(database_url, tmp_path, accounts=None, web__contact=contact) as world:
        assert world.get("/.well-known/matrix/support").json() == support


def test_a_server_without_a_contact_has_no_support(world: World) -> None:
    answer = world.get("/.well-known/matrix/support")
    assert (answer.status_code, answer.json()["errcode"]) == (404, "M_NOT_FOUND")
