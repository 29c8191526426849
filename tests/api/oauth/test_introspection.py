"""What a homeserver beside this server learns of a token."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oauth_app import SECRET, App, about, introspect
from threepid.clock import SECOND
from threepid.storage import accounts
from world import PASSWORD, World

BOTH = "urn:matrix:client:api:* urn:matrix:org.matrix.msc2967.client:api:*"
DEVICES = "urn:matrix:client:device:ABCDEFGHIJ urn:matrix:org.matrix.msc2967.client:device:ABCDEFGHIJ"
ADMIN = "urn:synapse:admin:*"


@pytest.fixture
def beside(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A server that shares a secret with a homeserver."""
    with World(database_url, tmp_path, introspection_secret=SECRET) as world:
        yield world


@pytest.mark.parametrize("token", ["\0", "a\0b", "x" * 60_000, "\u202e", ""])
def test_a_token_that_nobody_can_have_is_not_active(beside: World, token: str) -> None:
    """A homeserver passes on what a client sent, and answers an error of ours to the client as an error of its own."""
    assert about(beside, token) == {"active": False}


def test_a_token_of_an_app_is_active_until_it_expires(beside: World) -> None:
    beside.register()
    app = App(beside)
    tokens = app.tokens()
    beside.clock.advance(10 * SECOND + 1)
    assert about(beside, tokens.access_token, **{"X-MAS-Supports-Device-Id": "1"}) == {
        "active": True,
        "username": "alice",
        "scope": f"{BOTH} {DEVICES}",
        "sub": "@alice:example.org",
        "client_id": app.client_id,
        "token_type": "access_token",
        "expires_in": 289,
    }
    beside.clock.advance(290 * SECOND)
    assert about(beside, tokens.access_token) == {"active": False}


def test_a_token_of_the_old_login_names_its_device_only_to_who_reads_it(beside: World) -> None:
    token = beside.register()
    found = about(beside, token, **{"X-MAS-Supports-Device-Id": "1"})
    assert len(found.pop("device_id")) == 10
    assert found == {
        "active": True,
        "username": "alice",
        "scope": BOTH,
        "sub": "@alice:example.org",
        "client_id": "legacy",
        "token_type": "access_token",
    }
    assert "device_id" not in about(beside, token)


def test_an_administrators_scope_lasts_as_long_as_the_account_is_one(beside: World) -> None:
    beside.register()

    def make(at: int | None) -> None:
        beside.run(beside.database.write(lambda tx: accounts.set_admin(tx, "@alice:example.org", at)))

    make(1)
    tokens = App(beside).tokens(scope=f"urn:matrix:client:api:* urn:matrix:client:device:ABCDEFGHIJ {ADMIN}")
    assert ADMIN in about(beside, tokens.access_token)["scope"]
    make(None)
    assert ADMIN not in about(beside, tokens.access_token)["scope"]


def test_everything_else_is_inactive_and_never_an_error(beside: World) -> None:
    token = beside.register()
    app = App(beside)
    tokens = app.tokens()
    identity = beside.identity_token(token)
    for other in (tokens.refresh_token, identity, "", " ", "unknown", "ä", "\n", "\uffff", "x" * 5_000):
        assert about(beside, other) == {"active": False}
    beside.post("/_matrix/client/v3/logout", token=tokens.access_token)
    assert about(beside, tokens.access_token) == {"active": False}
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    assert beside.post("/_matrix/client/v3/account/deactivate", {"auth": auth}, token=token).status_code == 200
    assert about(beside, token) == {"active": False}


def test_the_first_question_about_a_refreshed_token_is_its_first_use(beside: World) -> None:
    beside.register()
    app = App(beside)
    first = app.tokens()
    second = app.refresh(first.refresh_token).json()
    assert about(beside, first.access_token)["active"]
    assert about(beside, second["access_token"])["active"]
    assert about(beside, first.access_token) == {"active": False}


def test_without_a_homeserver_there_is_no_introspection(world: World) -> None:
    for secret in ("", "anything"):
        assert introspect(world, "x", secret=secret).status_code == 404
