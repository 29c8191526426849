"""Registration of apps."""

from typing import Any

import pytest

from oauth_app import DEVICE_GRANT, METADATA, App, as_tokens, ask
from threepid.background import run_once
from threepid.clock import DAY
from world import World


def register(world: World, **changes: Any) -> Any:
    given = {name: value for name, value in {**METADATA, **changes}.items() if value is not None}
    return world.post("/oauth2/clients/register", given)


def error(world: World, **changes: Any) -> str:
    answer = register(world, **changes)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error_description"]
    return str(answer.json()["error"])


def test_an_app_gets_an_id_and_what_was_registered(world: World) -> None:
    answer = register(
        world,
        unknown="left out",
        grant_types=["implicit", "refresh_token", "authorization_code"],
        response_types=["token", "code"],
        **{"client_name#fr": "Élément", "tos_uri": "https://app.example.com/terms"},
    )
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert found.pop("client_id")
    assert found.pop("client_id_issued_at") == 1_800_000_000
    assert found == {**METADATA, "client_name#fr": "Élément", "tos_uri": "https://app.example.com/terms"}


def test_null_is_the_same_as_nothing(world: World) -> None:
    """Some apps write every member, whether they have a value for it or not."""
    absent = dict.fromkeys(["logo_uri", "tos_uri", "policy_uri", "client_name#de", "contacts"])
    answer = world.post("/oauth2/clients/register", {**METADATA, **absent, "application_type": None})
    assert (answer.status_code, answer.json()["client_id"]) == (201, register(world).json()["client_id"])
    assert absent.keys().isdisjoint(answer.json())
    missing = world.post("/oauth2/clients/register", {**METADATA, "client_uri": None})
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_client_metadata")


def test_equal_metadata_is_the_same_app_whatever_its_order(world: World) -> None:
    first = register(world).json()["client_id"]
    backwards = world.post("/oauth2/clients/register", dict(reversed(METADATA.items()))).json()["client_id"]
    assert first == backwards == register(world, unknown=1, application_type=None).json()["client_id"]
    assert register(world, client_name="Other").json()["client_id"] != first


@pytest.mark.parametrize(
    "changes",
    [
        {"client_uri": None},
        {"client_uri": "http://app.example.com/"},
        {"client_uri": "https://user:secret@app.example.com/"},
        {"client_uri": "https://github.io/"},
        {"client_uri": "https://com/"},
        {"client_uri": 1},
        {"client_name": ""},
        {"client_name": "x" * 257},
        {"client_name": "two\nlines"},
        {"client_name#fr": 1},
        {"logo_uri": "http://app.example.com/logo"},
        {"logo_uri": "https://other.example.com/logo"},
        {"tos_uri": "https://app.example.com.evil.org/"},
        {"policy_uri": "https://evilapp.example.com/"},
        {"policy_uri#de": "javascript:alert(1)"},
        {"application_type": "desktop"},
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"grant_types": "authorization_code"},
        {"grant_types": [1]},
        {"response_types": ["token"]},
    ],
)
def test_metadata_that_breaks_a_rule_is_rejected(world: World, changes: dict[str, Any]) -> None:
    assert error(world, **changes) == "invalid_client_metadata"


@pytest.mark.parametrize(
    "uris",
    [
        None,
        [],
        "https://app.example.com/",
        [1],
        ["https://app.example.com/#fragment"],
        ["https://other.example.com/"],
        ["http://app.example.com/"],
        ["http://localhost/"],
        ["com.example.app:/"],
        ["https://app.example.com/"] * 21,
    ],
)
def test_a_web_app_is_answered_only_at_its_own_host(world: World, uris: Any) -> None:
    assert error(world, redirect_uris=uris) == "invalid_redirect_uri"


def test_links_and_redirects_may_be_below_the_host(world: World) -> None:
    assert (
        register(
            world,
            client_uri="https://example.com:8443/app?x=1",
            logo_uri="https://cdn.example.com/logo.png",
            redirect_uris=["https://app.example.com:444/cb?x=1"],
        ).status_code
        == 201
    )


def test_an_app_may_be_translated_as_widely_as_big_ones_are(world: World) -> None:
    """The libraries of apps write all members in every language of the app."""
    members = ("client_name", "logo_uri", "tos_uri", "policy_uri")
    tags = [f"{first}{second}" for first in "abcde" for second in "abcdefghijklmnopqrst"]
    words = {f"{member}#{tag}": f"https://app.example.com/{tag}" for member in members for tag in tags}
    answer = register(world, **words)
    assert answer.status_code == 201
    assert words.items() <= answer.json().items()
    assert error(world, **words, **{"client_name#zz": "one too many"}) == "invalid_client_metadata"


def test_an_app_for_devices_alone_needs_no_redirect_uri(world: World) -> None:
    assert register(world, redirect_uris=None, response_types=None, grant_types=[DEVICE_GRANT]).status_code == 201


@pytest.mark.parametrize(("language", "name"), [("fr-CA, en", "Élément"), ("de", "Element"), ("pt-BR", "Elemento")])
def test_people_read_the_name_in_their_language(world: World, language: str, name: str) -> None:
    world.register()
    app = App(world, **{"client_name#fr": "Élément", "client_name#pt-br": "Elemento"})
    browser = app.opened()
    browser._headers["Accept-Language"] = f"{language};q=0.9"
    browser.sign_in()
    assert name in browser.page.heading


def test_apps_without_sessions_are_deleted_after_a_week_and_others_are_not(world: World) -> None:
    world.register()
    used, unused = App(world), App(world, client_name="Unused")
    used.tokens()
    world.clock.advance(8 * DAY)
    world.run(run_once(world.server.context))
    assert world.run(world.server.services.require_oauth().clients.get(unused.client_id)) is None
    assert world.run(world.server.services.require_oauth().clients.get(used.client_id)) is not None


def test_an_app_that_signs_out_after_a_long_session_can_sign_in_again(world: World) -> None:
    """Apps store their ID and use it for all later requests. https://spec.matrix.org/latest/client-server-api/#client-registration."""
    world.register()
    app = App(world)
    tokens = app.tokens()
    for _ in range(30):
        world.clock.advance(DAY)
        world.run(run_once(world.server.context))
        tokens = as_tokens(app.refresh(tokens.refresh_token))
    assert ask(world, "/oauth2/revoke", {"token": tokens.refresh_token}).status_code == 200
    world.clock.advance(5 * DAY)
    world.run(run_once(world.server.context))
    assert app.opened().page.heading == "Sign in"
    world.clock.advance(3 * DAY)
    world.run(run_once(world.server.context))
    assert world.run(world.server.services.require_oauth().clients.get(app.client_id)) is None


def test_registering_again_keeps_an_app(world: World) -> None:
    app = App(world)
    world.clock.advance(6 * DAY)
    App(world)
    world.clock.advance(6 * DAY)
    world.run(run_once(world.server.context))
    assert world.run(world.server.services.require_oauth().clients.get(app.client_id)) is not None
