"""A130: a session of the console is not fixed, tossed, kept after its token, or good for anything but the console."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from operators import operator_token, root, world_of_operators
from threepid.storage import accounts, operator_tokens
from threepid.web.page import Access
from web.console_pages import COOKIE, GETS, POSTS, operator_browser
from web.portal_browser import Browser
from world import World

SESSION = "__Host-threepid-session"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path) as made:
        made.register()
        yield made


@pytest.fixture
def desk(world: World) -> Browser:
    return operator_browser(world)


def opened(world: World, cookie: str, path: str = "/admin/") -> httpx.Response:
    answer = world.get(path, headers={"Cookie": cookie})
    world.http.cookies.clear()
    return answer


def test_a_revoked_token_ends_its_sessions_at_the_next_request(world: World, desk: Browser) -> None:
    stolen, token = desk.cookies[COOKIE], desk.page.fields["form_token"]
    assert opened(world, f"{COOKIE}={stolen}").status_code == 200
    world.run(world.server.services.operator_tokens.revoke("helpdesk", root(world)))
    for page in GETS:
        if page.access is Access.OPERATOR:
            answer = opened(world, f"{COOKIE}={stolen}", page.path)
            assert (answer.status_code, answer.content) == (303, b""), page
            assert f"{COOKIE}=; Path=/; Max-Age=0" in answer.headers["set-cookie"], page
    thief = Browser(world, "/admin/sign-in")
    for page in POSTS:
        if page.access is Access.OPERATOR:
            before = world.database.writes
            thief.cookies = {COOKIE: stolen}
            thief.submit({"form_token": token, "user": "alice", "understood": "yes"}, page.path)
            assert thief.page.heading == "Console", page
            assert world.database.writes == before, page


def test_a_new_token_of_the_same_name_does_not_open_the_old_session(world: World, desk: Browser) -> None:
    stolen = desk.cookies[COOKIE]
    world.run(world.server.services.operator_tokens.revoke("helpdesk", root(world)))
    operator_token(world, name="helpdesk")
    assert opened(world, f"{COOKIE}={stolen}").status_code == 303


def test_fewer_scopes_count_at_the_next_request(world: World, desk: Browser) -> None:
    """Tokens do not change; a session reads the scopes of its token each time, and keeps no copy."""
    stored = world.run(world.database.read(operator_tokens.all_tokens))
    assert stored[0].name == "helpdesk"
    world.run(world.database.write(lambda tx: operator_tokens.delete(tx, "helpdesk")))
    assert opened(world, f"{COOKIE}={desk.cookies[COOKIE]}").status_code == 303


def test_a_session_of_the_portal_opens_nothing_of_the_console_and_the_reverse(world: World, desk: Browser) -> None:
    portal = Browser(world)
    portal.sign_in()
    portal_secret, secret = portal.cookies[SESSION], desk.cookies[COOKIE]
    for cookie in (f"{SESSION}={portal_secret}", f"{COOKIE}={portal_secret}", f"{SESSION}={secret}"):
        for page in GETS:
            if page.access is Access.OPERATOR:
                assert opened(world, cookie, page.path).status_code == 303, page
    for cookie in (f"{COOKIE}={secret}", f"{SESSION}={secret}", f"{COOKIE}={portal_secret}"):
        assert opened(world, cookie, "/account/").status_code == 303
    for token in (secret, portal_secret):
        assert world.get("/_threepid/admin/v1/accounts", token=token).status_code == 401
        assert world.get("/_matrix/client/v3/account/whoami", token=token).status_code == 401
    headers = {"Cookie": f"{COOKIE}={secret}"}
    assert world.get("/_threepid/admin/v1/accounts", headers=headers).status_code == 401


def test_an_operator_token_is_no_cookie(world: World) -> None:
    token = operator_token(world)
    assert opened(world, f"{COOKIE}={token}").status_code == 303


def test_cookies_from_elsewhere_do_not_count(world: World, desk: Browser) -> None:
    secret = desk.cookies[COOKIE]
    for cookie in (
        f"{COOKIE}=x; {COOKIE}={secret}",
        f"{COOKIE}={secret}; {COOKIE}=x",
        f"threepid-operator={secret}",
        f"{COOKIE}={secret}x",
        f"{COOKIE}={secret.upper()}",
        f"{COOKIE.lower()}={secret}",
    ):
        assert opened(world, cookie).status_code == 303, cookie


def test_every_sign_in_has_a_new_secret_and_ends_the_session_before(world: World, desk: Browser) -> None:
    planted = Browser(world, "/admin/sign-in")
    planted.cookies[COOKIE] = "tpx_planted-by-a-stranger"
    planted.open("/admin/sign-in")
    planted.press("Sign in", operator_token=operator_token(world, name="second"))
    assert planted.page.heading == "Accounts"
    secrets = {desk.cookies[COOKIE], planted.cookies[COOKIE]}
    assert len(secrets) == 2
    assert "tpx_planted-by-a-stranger" not in secrets
    assert all(len(secret) >= len("tpx_") + 22 for secret in secrets)


def test_a_sign_in_by_an_account_ends_the_sessions_before(world: World, desk: Browser) -> None:
    world.run(world.database.write(lambda tx: accounts.set_admin(tx, "@alice:example.org", world.clock.now())))
    first = desk.cookies[COOKIE]
    desk.open("/admin/by-account")
    desk.sign_in()
    secrets = [first]
    for _ in range(3):
        desk.open("/admin/by-account")
        desk.press("Continue")
        assert desk.page.heading == "Accounts"
        secrets.append(desk.cookies[COOKIE])
    assert len(set(secrets)) == 4
    assert [opened(world, f"{COOKIE}={secret}").status_code for secret in secrets] == [303, 303, 303, 200]


def test_a_token_has_a_bounded_number_of_sessions(world: World) -> None:
    token = operator_token(world)
    browsers = []
    for _ in range(21):
        world.clock.advance(1)
        browsers.append(Browser(world, "/admin/sign-in"))
        browsers[-1].press("Sign in", operator_token=token)
    assert opened(world, f"{COOKIE}={browsers[0].cookies[COOKIE]}").status_code == 303
    assert all(opened(world, f"{COOKIE}={one.cookies[COOKIE]}").status_code == 200 for one in browsers[1:])


def test_nobody_is_led_to_another_place_after_the_sign_in(world: World) -> None:
    token = operator_token(world)
    for place in (
        "https://evil.example/",
        "//evil.example/",
        "/admin//evil.example",
        "/account/close",
        "/admin/\\e",
        "x",
    ):
        browser = Browser(world, "/admin/sign-in?next=" + Browser.escaped(place))
        browser.press("Sign in", operator_token=token)
        assert browser.trail[-1] == "GET /admin/", place
        assert browser.page.heading == "Accounts", place


def test_the_secret_is_in_no_page_log_or_row(world: World, desk: Browser, capfd: pytest.CaptureFixture[str]) -> None:
    secret = desk.cookies[COOKIE]
    for page in GETS:
        desk.open(f"{page.path}?user=alice")
        assert secret not in desk.page.html
    assert secret not in "".join(capfd.readouterr())
    found = world.run(world.server.services.console.of(secret, client="127.0.0.1"))
    assert found is not None
    assert secret not in repr(found)
