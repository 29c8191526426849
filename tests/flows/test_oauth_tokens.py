"""What an app does with its tokens: refresh them, end them; and what it may not do with them."""

from typing import Any
from urllib.parse import quote

import pytest

from oauth_app import METADATA, SCOPE, App, as_tokens, ask, whoami
from threepid.clock import MINUTE, SECOND
from world import PASSWORD, World


def test_tokens_are_refreshed_and_the_old_ones_die_with_the_first_use(world: World) -> None:
    world.register()
    app = App(world)
    first = app.tokens()
    second = as_tokens(app.refresh(first.refresh_token))
    assert (second.expires_in, second.scope) == (300, first.scope)
    assert whoami(world, first.access_token).status_code == 200
    assert whoami(world, second.access_token).status_code == 200
    assert whoami(world, first.access_token).status_code == 401
    third = as_tokens(app.refresh(second.refresh_token))
    assert whoami(world, third.access_token).status_code == 200


def test_an_access_token_lives_as_long_as_the_setting_says(world: World) -> None:
    world.register()
    tokens = App(world).tokens()
    world.clock.advance(299 * SECOND)
    assert whoami(world, tokens.access_token).status_code == 200
    world.clock.advance(2 * SECOND)
    assert whoami(world, tokens.access_token).status_code == 401


def test_an_app_whose_answer_was_lost_repeats_the_refresh(world: World) -> None:
    world.register()
    app = App(world)
    first = app.tokens()
    lost = as_tokens(app.refresh(first.refresh_token))
    world.clock.advance(10 * MINUTE)
    again = as_tokens(app.refresh(first.refresh_token))
    assert again.refresh_token != lost.refresh_token
    assert whoami(world, again.access_token).status_code == 200


def test_the_old_refresh_endpoint_and_the_new_one_do_not_take_each_others_tokens(world: World) -> None:
    world.register()
    app = App(world)
    tokens = app.tokens()
    old = world.post("/_matrix/client/v3/refresh", {"refresh_token": tokens.refresh_token})
    assert (old.status_code, old.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
        "refresh_token": True,
    }
    of_login = world.post("/_matrix/client/v3/login", login).json()["refresh_token"]
    assert app.refresh(of_login).json()["error"] == "invalid_grant"
    assert world.post("/_matrix/client/v3/refresh", {"refresh_token": of_login}).status_code == 200
    assert app.refresh(tokens.refresh_token).status_code == 200


@pytest.mark.parametrize("name", ["grant_type", "client_id", "code", "redirect_uri", "code_verifier"])
def test_a_parameter_without_a_value_counts_as_left_out(world: World, name: str) -> None:
    """https://www.rfc-editor.org/rfc/rfc6749#section-3.2."""
    world.register()
    app = App(world)
    code = app.code()
    answer = app.exchange(code, **{name: ""})
    assert answer.status_code == 400
    assert answer.json() == app.exchange(code, **{name: None}).json()
    assert answer.json()["error"] == "invalid_request"
    assert app.exchange(code, scope="").status_code == 200


@pytest.mark.parametrize("grant", ["refresh_token", "urn:ietf:params:oauth:grant-type:device_code"])
def test_an_empty_secret_is_a_missing_parameter(world: World, grant: str) -> None:
    answer = App(world).token(grant_type=grant, refresh_token="", device_code="")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_device_that_names_no_client_is_told_so(world: World) -> None:
    answer = ask(world, "/oauth2/device", {"client_id": "", "scope": SCOPE})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_no_cache_keeps_what_the_endpoints_answer(world: World) -> None:
    """https://www.rfc-editor.org/rfc/rfc6749#section-5.1."""
    world.register()
    app = App(world)
    tokens = app.exchange(app.code())
    answers = [
        tokens,
        app.refresh("wrong"),
        ask(world, "/oauth2/revoke", {"token": "wrong"}),
        world.post("/oauth2/clients/register", METADATA),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 200, 201]
    for answer in answers:
        assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")


@pytest.mark.parametrize("token", ["\0", "a\0b", "x" * 60_000, "unknown", ""])
def test_revoking_a_token_that_nobody_can_have_is_no_error(world: World, token: str) -> None:
    """https://www.rfc-editor.org/rfc/rfc7009#section-2.2."""
    answer = ask(world, "/oauth2/revoke", {"token": token, "token_type_hint": "x\0"})
    assert (answer.status_code, answer.json()) == (200, {})


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("client_id", ["", "of another app"])
def test_revoking_either_token_ends_the_session(world: World, kind: str, client_id: str) -> None:
    token = world.register()
    app = App(world)
    tokens = app.tokens()
    form = {"token": getattr(tokens, kind), "token_type_hint": kind} | ({"client_id": client_id} if client_id else {})
    answer = ask(world, "/oauth2/revoke", form)
    assert (answer.status_code, answer.json()) == (200, {})
    assert whoami(world, tokens.access_token).status_code == 401
    assert app.refresh(tokens.refresh_token).json()["error"] == "invalid_grant"
    devices = world.get("/_matrix/client/v3/devices", token=token).json()["devices"]
    assert "ABCDEFGHIJ" not in [device["device_id"] for device in devices]
    assert ask(world, "/oauth2/revoke", form).status_code == 200


def test_logging_out_by_the_old_endpoint_ends_the_session(world: World) -> None:
    world.register()
    app = App(world)
    tokens = app.tokens()
    assert world.post("/_matrix/client/v3/logout", token=tokens.access_token).status_code == 200
    assert app.refresh(tokens.refresh_token).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/account/password", {"new_password": "another password 1"}),
        ("POST", "/account/deactivate", {}),
        ("POST", "/delete_devices", {"devices": ["ABCDEFGHIJ"]}),
        ("DELETE", "/devices/ABCDEFGHIJ", {}),
        ("POST", "/account/3pid", {"three_pid_creds": {"sid": "x", "client_secret": "y"}}),
        ("POST", "/account/3pid/add", {"sid": "x", "client_secret": "y"}),
        ("POST", "/account/3pid/delete", {"medium": "email", "address": "a@example.com"}),
        (
            "POST",
            "/account/3pid/email/requestToken",
            {"email": "a@example.com", "client_secret": "y", "send_attempt": 1},
        ),
    ],
)
def test_what_needs_a_proof_of_ownership_is_done_on_the_account_pages(
    world: World, method: str, path: str, body: dict[str, Any]
) -> None:
    world.register()
    tokens = App(world).tokens()
    answer = world.call(method, f"/_matrix/client/v3{path}", body, token=tokens.access_token)
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert "https://matrix.example.org/account/" in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/account/3pid",
        "/devices",
        "/capabilities",
        "/profile/@alice:example.org",
        "/pushrules/",
        "/sync",
        f"/admin/whois/{quote('@alice:example.org')}",
    ],
)
def test_everything_else_takes_the_token(world: World, path: str) -> None:
    world.register()
    tokens = App(world).tokens()
    answer = world.get(f"/_matrix/client/v3{path}", token=tokens.access_token)
    assert answer.status_code in (200, 404), answer.text


def test_a_new_password_that_logs_out_devices_ends_the_sessions_of_apps(world: World) -> None:
    token = world.register()
    app = App(world)
    tokens = app.tokens()
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    body = {"new_password": "another password 1", "auth": auth}
    assert world.post("/_matrix/client/v3/account/password", body, token=token).status_code == 200
    assert app.refresh(tokens.refresh_token).json()["error"] == "invalid_grant"
