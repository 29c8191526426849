"""A90: every parameter of the OAuth 2.0 API missing, doubled, wrong or of another app: no code, no token, no redirect elsewhere."""

from typing import Any, Final

import pytest

from oauth_app import CALLBACK, CHALLENGE, SCOPE, VERIFIER, App, Consenting, Television, ask
from world import World

AUTHORIZATION: Final = {
    "response_type": ["", "token", "code token", "id_token", "CODE"],
    "response_mode": ["form_post", "Query", "web_message"],
    "scope": ["", "openid", SCOPE.upper(), SCOPE.replace(" ", ","), f"{SCOPE}\n"],
    "code_challenge": ["", VERIFIER + "!", CHALLENGE[:-1], CHALLENGE + "A", "é" * 43],
    "code_challenge_method": ["", "plain", "s256", "S512"],
}
NAMES: Final = ("response_type", "scope", "code_challenge", "code_challenge_method")


def error_of(browser: Consenting) -> str:
    assert browser.left.startswith(f"{CALLBACK}?")
    told = browser.told()
    assert "code" not in told
    assert (told["state"], told["iss"]) == ("the state", "https://matrix.example.org/")
    return told["error"]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in AUTHORIZATION.items() for value in values]
)
def test_the_app_is_told_of_a_wrong_parameter(world: World, name: str, value: str) -> None:
    known = {"invalid_request", "unsupported_response_type", "invalid_scope"}
    assert error_of(App(world).opened(**{name: value})) in known


@pytest.mark.parametrize("name", NAMES)
def test_the_app_is_told_of_a_missing_parameter(world: World, name: str) -> None:
    assert error_of(App(world).opened(**{name: None})) in {"invalid_request", "invalid_scope"}


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
@pytest.mark.parametrize("value", [None, "", "unknown", "https://evil.example/", "\x00", "a" * 3000])
def test_without_a_known_app_and_address_nobody_is_sent_anywhere(world: World, name: str, value: str | None) -> None:
    browser = App(world).opened(**{name: value})
    assert (browser.left, browser.page.status) == ("", 400)


@pytest.mark.parametrize("name", [*NAMES, "client_id", "redirect_uri", "state", "prompt"])
def test_a_doubled_parameter_sends_nobody_anywhere(world: World, name: str) -> None:
    app = App(world)
    browser = Consenting(world, f"{app.url()}&{name}=x&{name}=y")
    assert (browser.left, browser.page.status) == ("", 400)


def test_the_form_of_the_consent_cannot_ask_for_something_else(world: World) -> None:
    """What is allowed is read from the address again, and from nothing in the form."""
    world.register()
    app, other = App(world), App(world, client_name="Other", redirect_uris=["https://app.example.com/other"])
    browser = app.opened()
    browser.sign_in()
    forged = {"client_id": other.client_id, "redirect_uri": "https://app.example.com/other", "scope": "x"}
    token = browser.page.fields["form_token"]
    browser.send({"form_token": token, "decision": "allow", **forged})
    code = browser.told()["code"]
    assert browser.left.startswith(f"{CALLBACK}?")
    assert other.exchange(code, redirect_uri="https://app.example.com/other").json()["error"] == "invalid_grant"
    assert app.exchange(code).status_code == 200


@pytest.mark.parametrize("name", ["grant_type", "code", "redirect_uri", "code_verifier", "client_id"])
@pytest.mark.parametrize("value", [None, "", "wrong", "ä", "x" * 4097])
def test_the_token_endpoint_rejects_a_wrong_parameter(world: World, name: str, value: str | None) -> None:
    world.register()
    app = App(world)
    code = app.code()
    answer = app.exchange(code, **{name: value})
    known = {"invalid_request", "invalid_grant", "invalid_client", "unsupported_grant_type"}
    assert answer.status_code == (401 if answer.json()["error"] == "invalid_client" else 400)
    assert answer.json()["error"] in known
    assert answer.headers["cache-control"] == "no-store"
    assert app.exchange(code).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"grant_type=authorization_code&grant_type=refresh_token&client_id=x",
        b"grant_type=refresh_token&client_id=x&refresh_token=a&refresh_token=b",
        b"grant_type=%ff&client_id=x",
        b"grant_type=\xff&client_id=x",
        b"&".join(b"x%d=1" % number for number in range(101)),
        b"",
    ],
)
@pytest.mark.parametrize("path", ["token", "revoke", "device"])
def test_doubled_or_malformed_forms_are_the_callers_error(world: World, path: str, body: bytes) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = world.call("POST", f"/oauth2/{path}", body, headers=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", None])
def test_only_forms_are_read(world: World, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    for path in ("token", "revoke", "device"):
        answer = world.call("POST", f"/oauth2/{path}", b"grant_type=refresh_token", headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_parameters_in_the_query_are_not_read(world: World) -> None:
    world.register()
    app = App(world)
    tokens = app.tokens()
    query = f"?grant_type=refresh_token&client_id={app.client_id}&refresh_token={tokens.refresh_token}"
    assert ask(world, f"/oauth2/token{query}", {}).json()["error"] == "invalid_request"
    assert ask(world, f"/oauth2/revoke?token={tokens.access_token}", {}).status_code == 400
    assert app.refresh(tokens.refresh_token).status_code == 200


def test_codes_and_tokens_of_one_app_are_nothing_to_another(world: World) -> None:
    world.register()
    app, other = App(world), App(world, client_name="Other")
    code = app.code()
    assert other.exchange(code).json()["error"] == "invalid_grant"
    tokens = app.exchange(code).json()
    assert other.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert app.refresh(tokens["refresh_token"]).status_code == 200
    unknown: dict[str, Any] = app.refresh(tokens["refresh_token"], client_id="unknown").json()
    assert unknown["error"] == "invalid_client"


def test_one_kind_of_secret_is_not_taken_for_another(world: World) -> None:
    world.register()
    app, device = App(world), Television(world)
    tokens, begun = app.tokens(), device.begin()
    for secret in (tokens.access_token, tokens.refresh_token, begun["device_code"], begun["user_code"]):
        assert app.exchange(secret).json()["error"] == "invalid_grant"
        assert device.error(f"x{secret}") == "invalid_grant"
    assert app.refresh(tokens.access_token).json()["error"] == "invalid_grant"
