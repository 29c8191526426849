"""A133: somebody opens the admin API with an access token that nobody allowed to, or is allowed without knowing it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from oauth_app import SCOPE, App
from operators import ADMIN, get, operator_token, post, world_of_operators
from threepid.api.endpoints import ADMIN as ENDPOINTS
from threepid.clock import MINUTE
from threepid.domain.audit import Event
from threepid.spec.oauth.scopes import parse_scope
from threepid.storage import accounts, audit
from web.portal_browser import Browser
from world import PASSWORD, World

ALICE: Final = "@alice:example.org"
BOB: Final = "@bob:example.org"
OPERATOR: Final = "urn:threepid:admin:*"
SYNAPSE: Final = "urn:synapse:admin:*"
C: Final = "/_matrix/client/v3"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path, oauth__enabled=True) as made:
        made.register()
        made.register("bob")
        set_admin(made)
        yield made


def set_admin(world: World, user_id: str = ALICE, *, is_admin: bool = True) -> None:
    now = world.clock.now() if is_admin else None
    assert world.run(world.database.write(lambda tx: accounts.set_admin(tx, user_id, now)))


def granted(world: World, scope: str = OPERATOR) -> str:
    """An access token that Alice has allowed."""
    return App(world).tokens(scope=f"{SCOPE} {scope}").access_token


def test_an_administrator_reads_it_in_large_words_and_confirms_it(world: World) -> None:
    browser = App(world).opened(scope=f"{SCOPE} {OPERATOR}")
    browser.sign_in()
    assert browser.page.strong[0].startswith("This app wants to see and change the accounts of all people")
    world.clock.advance(11 * MINUTE)
    browser.press("Allow")
    assert browser.page.heading == "Confirm that it is you"
    browser.press("Continue", password=PASSWORD)
    assert browser.page.strong[0].startswith("This app wants to see and change the accounts of all people")
    assert "code" in browser.allow()


def test_the_token_helps_people_and_the_log_names_its_owner(world: World) -> None:
    token = granted(world)
    assert get(world, "/accounts/bob", token).json()["user_id"] == BOB
    assert get(world, "/audit", token).status_code == 200
    assert post(world, "/accounts/bob/log_out", token, {}).status_code == 200
    found = world.run(world.database.read(lambda tx: audit.recent(tx, audit.Which(user_id=BOB), before=None, count=1)))
    assert [(one.kind, one.caller_kind, one.caller) for one in found] == [
        (Event.SIGNED_OUT_EVERYWHERE, "operator", ALICE)
    ]


def ordinary(world: World) -> str:
    return App(world).tokens().access_token


def of_synapse(world: World) -> str:
    return granted(world, SYNAPSE)


def of_the_old_login(world: World) -> str:
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    return str(world.post(f"{C}/login", login).json()["access_token"])


def of_one_who_is_no_administrator_any_more(world: World) -> str:
    token = granted(world)
    set_admin(world, is_admin=False)
    return token


def of_a_locked_account(world: World) -> str:
    token = granted(world)
    world.run(world.homeserver.administration.lock(ALICE))
    return token


def of_a_closed_account(world: World) -> str:
    token = granted(world)
    world.run(world.homeserver.closing.close_by_operator(ALICE, erase=False))
    return token


def of_a_device_that_is_logged_out(world: World) -> str:
    token = granted(world)
    assert world.post(f"{C}/logout", token=token).status_code == 200
    return token


def expired(world: World) -> str:
    token = granted(world)
    world.clock.advance(world.config.oauth.access_token_seconds * 1000)
    return token


def refresh_token(world: World) -> str:
    return App(world).tokens(scope=f"{SCOPE} {OPERATOR}").refresh_token


WRONG: Final[tuple[Callable[[World], str], ...]] = (
    ordinary,
    of_synapse,
    of_the_old_login,
    of_one_who_is_no_administrator_any_more,
    of_a_locked_account,
    of_a_closed_account,
    of_a_device_that_is_logged_out,
    expired,
    refresh_token,
)


@pytest.mark.parametrize("make", WRONG)
def test_any_other_token_is_unknown(world: World, make: Callable[[World], str]) -> None:
    token = make(world)
    unknown = get(world, "/accounts", "tpo_nosuch")
    for endpoint in ENDPOINTS:
        path = endpoint.paths[0].template.replace("{account}", "bob").replace("{", "").replace("}", "")
        body: dict[str, str] | None = None if endpoint.method in ("GET", "DELETE") else {}
        answer = world.call(endpoint.method, path, body, token=token)
        assert (answer.status_code, answer.json()) == (401, unknown.json()), endpoint


def test_the_networks_count_for_access_tokens_too(world: World) -> None:
    token = granted(world)
    headers = {"X-Forwarded-For": "203.0.113.7"}
    outside, unknown = get(world, "/accounts", token, headers=headers), get(world, "/nosuch", token, headers=headers)
    assert (outside.status_code, outside.json()) == (404, unknown.json())


def test_an_administrator_changes_no_administrators_account(world: World) -> None:
    token = granted(world)
    set_admin(world, BOB)
    before = world.run(world.homeserver.directory.show(BOB))
    for account in ("alice", "bob"):
        for path, body in (("log_out", {}), ("contacts/add", {"medium": "email", "address": "evil@example.com"})):
            assert post(world, f"/accounts/{account}/{path}", token, body).status_code == 403
        assert (
            world.call(
                "PUT", f"{ADMIN}/accounts/{account}/password", {"password": "the evil password"}, token=token
            ).status_code
            == 403
        )
    assert world.run(world.homeserver.directory.show(BOB)) == before


def test_an_ordinary_account_is_not_asked(world: World) -> None:
    browser = App(world).opened(scope=f"{SCOPE} {OPERATOR}")
    browser.sign_in("bob")
    assert browser.page.problem == "This account may not administer the server."
    assert "Allow" not in browser.page.buttons
    token = browser.page.fields["form_token"]
    browser.submit({"form_token": token, "decision": "allow"}, browser.path)
    assert browser.page.status == 403
    assert browser.left == ""


@pytest.mark.parametrize(
    "scope", [SYNAPSE, "urn:threepid:admin", "urn:threepid:admin:accounts", "URN:THREEPID:ADMIN:*", "*"]
)
def test_no_other_scope_is_taken_for_it(scope: str) -> None:
    assert not parse_scope(f"{SCOPE} {scope}").is_operator
    assert OPERATOR not in str(parse_scope(f"{SCOPE} {scope}"))


def test_the_scope_is_none_of_the_homeservers_business() -> None:
    scope = parse_scope(f"{SCOPE} {OPERATOR}")
    assert (scope.is_operator, scope.is_admin) == (True, False)
    assert str(scope) == f"{SCOPE} {OPERATOR}"
    assert "admin" not in scope.for_homeserver()
    assert SYNAPSE in parse_scope(f"{SCOPE} {OPERATOR} {SYNAPSE}").for_homeserver()


def test_a_refresh_after_the_end_of_the_right_has_no_such_scope(world: World) -> None:
    app = App(world)
    tokens = app.tokens(scope=f"{SCOPE} {OPERATOR}")
    set_admin(world, is_admin=False)
    assert app.refresh(tokens.refresh_token).json()["scope"] == SCOPE


def test_neither_kind_of_token_opens_the_other_door(world: World) -> None:
    access, operator = granted(world), operator_token(world)
    assert world.get(f"{C}/account/whoami", token=operator).status_code == 401
    browser = Browser(world, "/admin/sign-in")
    browser.press("Sign in", operator_token=access)
    assert browser.page.problem == "This token is unknown, expired or revoked."
