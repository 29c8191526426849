"""A112: a locked account finds another door."""

import re
from pathlib import Path
from typing import Any

import pytest

from oauth_app import App, as_tokens
from threepid.api.endpoints import served
from threepid.clock import HOUR
from threepid.spec.endpoint import Auth
from world import PASSWORD, World

ALICE = "@alice:example.org"


def lock(world: World) -> None:
    assert world.run(world.homeserver.administration.lock(ALICE))


def test_every_endpoint_for_accounts_says_so_but_logout(world: World) -> None:
    token = world.register()
    lock(world)
    answers: dict[str, Any] = {}
    for endpoint in served(world.config):
        if endpoint.auth is Auth.ACCESS_TOKEN and not endpoint.while_locked:
            path = re.sub(r"\{[a-z_]+\}", "x", endpoint.paths[-1].template)
            answer = world.call(endpoint.method, path, None if endpoint.method == "GET" else {}, token=token)
            answers[str(endpoint)] = answer.status_code, answer.json()["errcode"], answer.json().get("soft_logout")
    assert len(answers) > 20
    assert {*answers.values()} == {(401, "M_USER_LOCKED", True)}
    assert {endpoint.name for endpoint in served(world.config) if endpoint.while_locked} == {"logout", "logout_all"}


def test_no_token_is_exchanged_for_another(world: World) -> None:
    token = world.register()
    body = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
    refreshing = world.post("/_matrix/client/v3/login", {**body, "refresh_token": True}).json()["refresh_token"]
    login_token = world.post("/_matrix/client/v1/login/get_token", {"auth": body}, token=token).json()["login_token"]
    lock(world)
    for path, sent in (
        ("refresh", {"refresh_token": refreshing}),
        ("login", body),
        ("login", {"type": "m.login.token", "token": login_token}),
    ):
        answer = world.post(f"/_matrix/client/v3/{path}", sent)
        assert answer.status_code in (401, 403), path
        assert "access_token" not in answer.text


def test_an_app_gets_no_tokens_meanwhile_and_goes_on_with_its_keys_afterwards(world: World) -> None:
    """`invalid_grant` would make it log out, and delete the keys of somebody who may be unlocked tomorrow."""
    world.register()
    app = App(world)
    tokens = app.tokens()
    lock(world)
    for _ in range(2):
        answer = app.refresh(tokens.refresh_token)
        assert (answer.status_code, [*answer.json()]) == (503, ["error_description"])
        world.clock.advance(HOUR)
    assert world.run(world.homeserver.administration.unlock(ALICE))
    again = as_tokens(app.refresh(tokens.refresh_token))
    assert world.get("/_matrix/client/v3/account/whoami", token=again.access_token).status_code == 200


def test_a_contact_does_not_open_it(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__deactivate_without_token=True) as world:
        token = world.register()
        identity = world.identity_token(token)
        assert world.add(token, world.validated(identity)).status_code == 200
        lock(world)
        for path in ("account/password", "account/deactivate"):
            secret = f"secret-{path[8:]}"
            asked = world.post(
                "/_matrix/client/v3/account/password/email/requestToken",
                {"client_secret": secret, "email": "alice@example.com", "send_attempt": 1},
            )
            sid = asked.json()["sid"]
            mail = world.mail()
            world.post(
                "/_matrix/client/v3/account/password/email/submitToken",
                {"sid": sid, "client_secret": secret, "token": mail.code},
            )
            auth = {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": secret}}
            answer = world.post(f"/_matrix/client/v3/{path}", {"auth": auth, "new_password": "another battery staple"})
            assert answer.status_code == 401, answer.text
        account = world.run(world.homeserver.accounts.get(ALICE))
        assert account is not None
        assert account.deactivated_at is None


def test_a_right_password_alone_shows_the_lock(world: World) -> None:
    world.register()
    lock(world)
    wrong = {"type": "m.login.password", "user": "alice", "password": "wrong"}
    nobody = {"type": "m.login.password", "user": "nobody", "password": "wrong"}
    assert world.post("/_matrix/client/v3/login", wrong).json() == world.post("/_matrix/client/v3/login", nobody).json()


@pytest.mark.parametrize("path", ["/account/", "/account/keys", "/account/contacts"])
def test_a_browser_that_was_signed_in_is_not(world: World, path: str) -> None:
    from web.portal_browser import Browser

    world.register()
    browser = Browser(world)
    browser.sign_in()
    lock(world)
    browser.open(path)
    assert "/account/sign-in" in browser.path
