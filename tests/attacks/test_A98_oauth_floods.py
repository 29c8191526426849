"""A98: registrations without end and huge bodies fill neither the database nor the memory, and delay nobody else."""

from pathlib import Path
from typing import Any

import pytest

from oauth_app import METADATA, App
from threepid.background import run_once
from threepid.clock import DAY
from world import World


def test_new_apps_from_one_network_are_limited_and_known_ones_are_not(database_url: str, tmp_path: Path) -> None:
    limits: dict[str, Any] = {"limits__all": "on", "limits__oauth_from_client": {"burst": 3, "per_hour": 1}}
    with World(database_url, tmp_path, **limits) as world:
        for number in range(3):
            App(world, client_name=f"App {number}")
        answer = world.post("/oauth2/clients/register", {**METADATA, "client_name": "One more"})
        assert (answer.status_code, [*answer.json()]) == (429, ["error_description"])
        assert int(answer.headers["retry-after"]) > 0
        for _ in range(10):
            App(world, client_name="App 0")
        elsewhere = {"X-Forwarded-For": "192.0.2.1"}
        again = world.post("/oauth2/clients/register", {**METADATA, "client_name": "One more"}, headers=elsewhere)
        assert again.status_code == 201


def test_what_a_flood_registered_is_gone_after_a_week(world: World) -> None:
    apps = [App(world, client_name=f"App {number}") for number in range(30)]
    world.clock.advance(8 * DAY)
    world.run(run_once(world.server.context))
    get = world.server.services.require_oauth().clients.get
    assert [app for app in apps if world.run(get(app.client_id)) is not None] == []


@pytest.mark.parametrize("path", ["token", "revoke", "device", "introspect"])
def test_a_huge_form_is_rejected(database_url: str, tmp_path: Path, path: str) -> None:
    with World(database_url, tmp_path, introspection_secret="secret") as world:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Bearer secret"}
        answer = world.call("POST", f"/oauth2/{path}", b"token=" + b"x" * 2**20, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")


def test_huge_or_nested_metadata_is_rejected(world: World) -> None:
    huge = world.post("/oauth2/clients/register", {**METADATA, "client_name": "x" * 2**20})
    assert (huge.status_code, huge.json()["error"]) == (413, "invalid_request")
    deep = world.post("/oauth2/clients/register", b'{"a":' * 10_000 + b"1" + b"}" * 10_000)
    assert (deep.status_code, deep.json()["error"]) == (400, "invalid_request")
    many = {**METADATA, **{f"client_name#{one}{two}": "x" for one in "abcdefghijkl" for two in "abcdefghijkl"}}
    assert world.post("/oauth2/clients/register", many).json()["error"] == "invalid_client_metadata"
    for body in (b"", b"[]", b"null", b"\xff", b'{"client_uri": "\\ud800"}', b'{"client_uri": 1e999}'):
        assert world.post("/oauth2/clients/register", body).status_code == 400


def test_what_is_unknown_in_the_metadata_is_not_stored(world: World) -> None:
    app = App(world, software_statement="x" * 10_000, jwks={"keys": [1]})
    client = world.run(world.server.services.require_oauth().clients.get(app.client_id))
    assert client is not None
    assert set(client.metadata) == set(METADATA)
