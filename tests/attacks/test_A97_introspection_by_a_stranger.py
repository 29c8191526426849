"""A97: without the shared secret nobody learns anything about a token, not even whether there is one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oauth_app import SECRET, App, about, ask, introspect
from world import World


@pytest.fixture
def beside(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A server that shares a secret with a homeserver."""
    with World(database_url, tmp_path, introspection_secret=SECRET) as world:
        yield world


WRONG = ["", " ", "x", SECRET[:-1], SECRET + "x", SECRET.upper(), "ä", "x" * 7_000]


@pytest.mark.parametrize("secret", WRONG)
def test_a_wrong_secret_is_rejected_alike_for_every_token(beside: World, secret: str) -> None:
    living = beside.register()
    headers = {"Authorization": f"Bearer {secret}".encode()}
    found = []
    for token in (living, "unknown", ""):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = beside.call("POST", "/oauth2/introspect", f"token={token}", headers={**form, **headers})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        found.append(answer.content)
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": SECRET}, {"Authorization": f"Basic {SECRET}"}, {"Authorization": f"MAC {SECRET}"}],
)
def test_no_other_scheme_is_taken(beside: World, headers: dict[str, str]) -> None:
    assert ask(beside, "/oauth2/introspect", {"token": "x"}, **headers).status_code == 401


def test_the_secret_is_not_taken_from_the_query_or_the_form(beside: World) -> None:
    assert ask(beside, f"/oauth2/introspect?access_token={SECRET}", {"token": "x"}).status_code == 401
    assert ask(beside, "/oauth2/introspect", {"token": "x", "access_token": SECRET}).status_code == 401


def test_the_secret_opens_nothing_else_and_no_token_opens_this(beside: World) -> None:
    token = beside.register()
    tokens = App(beside).tokens()
    assert beside.get("/_matrix/client/v3/account/whoami", token=SECRET).status_code == 401
    for other in (token, tokens.access_token, tokens.refresh_token):
        assert introspect(beside, token, secret=other).status_code == 401
    assert about(beside, SECRET) == {"active": False}


def test_a_wrong_secret_does_not_use_a_refreshed_token(beside: World) -> None:
    """The first use of a new pair spends the old refresh token: a stranger must not cause it."""
    beside.register()
    app = App(beside)
    first = app.tokens()
    second = app.refresh(first.refresh_token).json()
    assert introspect(beside, second["access_token"], secret="wrong").status_code == 401
    assert about(beside, first.access_token)["active"]
