"""A40: a browser session is not fixed, reused, ridden, tossed or found in an address, and opens nothing but its own account.

What is tried at one page of the portal is tried at every declared page. The pages outside the portal keep no session at all.
"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from threepid.clock import DAY, MINUTE
from threepid.domain.origin import Origin
from threepid.spec.errors import Forbidden
from threepid.web.page import Access
from threepid.web.page import Page as Declared
from web.portal_browser import Browser
from web.portal_pages import GETS, POSTS, of, path_of
from world import BASE, PASSWORD, World

C = "/_matrix/client/v3"
SESSION: Final = "__Host-threepid-session"
VISITOR: Final = "__Host-threepid-visitor"
ALICE: Final = "@alice:example.org"
AUTH: Final = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": PASSWORD,
}
OF_SESSION: Final = (Access.SIGNED_IN, Access.CONFIRMED)


@pytest.fixture
def token(world: World) -> str:
    """The access token of Alice's app."""
    return world.register()


@pytest.fixture
def alice(world: World, token: str) -> Browser:
    """Alice's browser, signed in."""
    assert token
    browser = Browser(world)
    browser.sign_in()
    return browser


def signed_in(world: World, user: str) -> Browser:
    """A browser of somebody else, signed in to a new account."""
    world.register(user)
    browser = Browser(world)
    browser.sign_in(user)
    return browser


def with_cookies(world: World, header: str, path: str = "/account/") -> httpx.Response:
    """The answer to a browser that sends this Cookie header."""
    answer = world.get(path, headers={"Cookie": header})
    world.http.cookies.clear()
    return answer


def is_signed_in(world: World, secret: str) -> bool:
    return with_cookies(world, f"{SESSION}={secret}").status_code == 200


# -- fixation


def test_a_session_from_before_the_sign_in_is_worth_nothing_after_it(world: World, token: str) -> None:
    assert token
    victim = Browser(world, "/account/sign-in")
    planted = victim.cookies[VISITOR]
    victim.cookies[SESSION] = "tpw_planted-by-a-stranger"
    victim.sign_in()
    assert victim.cookies[SESSION] not in ("tpw_planted-by-a-stranger", planted)
    assert VISITOR not in victim.cookies
    assert not is_signed_in(world, "tpw_planted-by-a-stranger")
    assert not is_signed_in(world, planted)


def test_a_strangers_session_in_the_browser_does_not_become_the_persons(world: World, token: str) -> None:
    """A stranger plants the cookie of an own session, and waits that the person signs in over it."""
    assert token
    stranger = signed_in(world, "mallory")
    planted = stranger.cookies[SESSION]
    victim = Browser(world, "/account/sign-in")
    form = dict(victim.page.fields)
    victim.cookies[SESSION] = planted
    victim.submit({**form, "name": "alice", "password": PASSWORD}, "/account/sign-in")
    assert victim.page.status == 403  # the form belongs to the visitor that the browser was
    victim.open("/account/")
    victim.press("Sign out")
    victim.open("/account/sign-in")
    victim.sign_in()
    assert ALICE in victim.page.text
    assert not is_signed_in(world, planted)


def test_every_sign_in_and_every_proof_has_a_new_secret(world: World, alice: Browser) -> None:
    secrets = [alice.cookies[SESSION]]
    for _ in range(2):
        world.clock.advance(11 * MINUTE)
        alice.open("/account/confirm")
        alice.press("Continue", password=PASSWORD)
        secrets.append(alice.cookies[SESSION])
    alice.press("Sign out")
    alice.sign_in()
    secrets.append(alice.cookies[SESSION])
    assert len(set(secrets)) == 4
    assert [is_signed_in(world, secret) for secret in secrets] == [False, False, False, True]
    assert all(len(secret) >= len("tpw_") + 22 for secret in secrets)


# -- the end of a session


def by_button(world: World, alice: Browser, token: str) -> None:
    alice.press("Sign out")


def by_closing(world: World, alice: Browser, token: str) -> None:
    alice.open("/account/close")
    alice.press("Close my account for good", check=("understood",))


def by_api(path: str, **body: Any) -> Callable[[World, Browser, str], None]:
    def end(world: World, alice: Browser, token: str) -> None:
        assert world.post(f"{C}{path}", {"auth": AUTH, **body}, token=token).status_code == 200

    return end


def by_another_browser(world: World, alice: Browser, token: str) -> None:
    other = Browser(world, "/account/sessions")
    other.sign_in()
    other.press("Sign out everything but this browser")


def by_time(world: World, alice: Browser, token: str) -> None:
    world.clock.advance(DAY + MINUTE)


ENDS: Final[dict[str, Callable[[World, Browser, str], None]]] = {
    "sign out": by_button,
    "close": by_closing,
    "another browser": by_another_browser,
    "logout of all": by_api("/logout/all"),
    "new password": by_api("/account/password", new_password="another good one"),
    "deactivation": by_api("/account/deactivate"),
    "time": by_time,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_ended_session_opens_no_page_and_takes_no_form(
    world: World, alice: Browser, token: str, end: Callable[[World, Browser, str], None]
) -> None:
    stolen, form_token = alice.cookies[SESSION], alice.page.fields["form_token"]
    end(world, alice, token)
    thief = Browser(world, "/account/sign-in")
    for page in of(GETS, *OF_SESSION):
        answer = with_cookies(world, f"{SESSION}={stolen}", path_of(page))
        assert (answer.status_code, answer.content) == (303, b""), page
        assert answer.headers["location"].startswith("/account/sign-in?next="), page
        assert f"{SESSION}=; Path=/; Max-Age=0" in answer.headers["set-cookie"], page
    for page in of(POSTS, *OF_SESSION):
        before = world.database.writes
        thief.cookies = {SESSION: stolen}
        thief.submit({"form_token": form_token, "kind": "others", "understood": "yes"}, path_of(page))
        assert thief.page.heading == "Sign in", page
        assert world.database.writes == before, page


@pytest.mark.parametrize("page", of(GETS, *OF_SESSION), ids=repr)
def test_the_back_button_shows_nothing_after_signing_out(world: World, alice: Browser, page: Declared) -> None:
    """The browser may keep no copy, and the server shows the page to nobody any more."""
    shown = with_cookies(world, f"{SESSION}={alice.cookies[SESSION]}", path_of(page))
    assert shown.headers["cache-control"] == "no-store"
    alice.press("Sign out")
    alice.open(path_of(page))
    assert alice.page.heading == "Sign in"
    assert alice.page.headers["cache-control"] == "no-store"
    assert ALICE not in alice.page.html


# -- pages that take a fresh proof


@pytest.mark.parametrize("page", of((*GETS, *POSTS), Access.CONFIRMED), ids=repr)
def test_a_sensitive_page_asks_again_after_a_quarter_of_an_hour(world: World, alice: Browser, page: Declared) -> None:
    form_token = alice.page.fields["form_token"]
    world.clock.advance(15 * MINUTE)
    alice.open("/account/")  # writes that the session was seen
    before = world.database.writes
    if page.method == "GET":
        alice.open(path_of(page))
    else:
        alice.submit({"form_token": form_token, "kind": "others", "understood": "yes"}, path_of(page))
    assert alice.path.startswith("/account/confirm?next="), page
    assert alice.page.heading == "Confirm that it is you"
    assert world.database.writes == before


def test_a_wrong_password_does_not_confirm(world: World, alice: Browser) -> None:
    world.clock.advance(15 * MINUTE)
    alice.open("/account/close")
    alice.press("Continue", password="wrong")
    assert alice.page.status == 403
    alice.open("/account/close")
    assert alice.page.heading == "Confirm that it is you"


def test_a_proof_of_one_browser_is_none_of_another(world: World, alice: Browser) -> None:
    world.clock.advance(15 * MINUTE)
    other = Browser(world)
    other.sign_in()
    alice.open("/account/close")
    assert alice.page.heading == "Confirm that it is you"


# -- cookies


@pytest.mark.parametrize(
    "header",
    [
        f"{SESSION}=own; {SESSION}=other",
        f"{SESSION}=other; {SESSION}=own",
        f"{SESSION}=own, {SESSION}=other",
        f"{SESSION}=; {SESSION}=own",
        "threepid-session=own",
        f"{SESSION.lower()}=own",
        f"{SESSION}=own\x00",
        f'{SESSION}="own"',
        f"{SESSION}=OWN",
        f"{SESSION}=own.",
        f"{SESSION}={'x' * 4000}",
        f"{SESSION}=tpw_",
    ],
)
def test_a_cookie_that_is_not_surely_ours_signs_nobody_in(world: World, alice: Browser, header: str) -> None:
    """Another host of the site, or plain HTTP, can set a second cookie of the name, or one without the prefix."""
    own, other = alice.cookies[SESSION], signed_in(world, "mallory").cookies[SESSION]
    sent = header.replace("other", other).replace("own", own).replace("OWN", own.upper())
    answer = with_cookies(world, sent)
    assert answer.status_code in (303, 400)
    assert ALICE not in answer.text


def test_tossed_cookies_do_not_end_the_session_that_they_hide(world: World, alice: Browser) -> None:
    own = alice.cookies[SESSION]
    with_cookies(world, f"{SESSION}={own}; {SESSION}=tossed")
    assert is_signed_in(world, own)


def test_a_tossed_visitor_makes_no_form_of_a_stranger_valid(world: World, token: str) -> None:
    assert token
    stranger, victim = Browser(world, "/account/sign-in"), Browser(world, "/account/sign-in")
    cookies = f"{VISITOR}={victim.cookies[VISITOR]}; {VISITOR}={stranger.cookies[VISITOR]}"
    form = {"form_token": stranger.page.fields["form_token"], "name": "alice", "password": PASSWORD}
    answer = world.run(
        world.http.request("POST", "/account/sign-in", data=form, headers={"Cookie": cookies, "Origin": BASE})
    )
    world.http.cookies.clear()
    assert answer.status_code == 403
    assert SESSION not in answer.headers.get("set-cookie", "")


def test_the_cookie_of_a_session_is_for_this_host_and_for_no_script(alice: Browser) -> None:
    given = {one.strip().lower() for one in alice.attributes[SESSION].split(";")[1:]}
    assert {"path=/", "secure", "httponly", "samesite=lax"} <= given
    assert not [one for one in given if one.startswith("domain")]


@pytest.mark.parametrize("page", GETS, ids=repr)
def test_no_page_and_no_address_has_the_secret_of_a_session(world: World, alice: Browser, page: Declared) -> None:
    secret = alice.cookies[SESSION]
    session_id = world.run(world.homeserver.web_sessions.list_of(ALICE))[0].session_id
    alice.open(path_of(page))
    assert secret not in alice.page.html
    for path in alice.trail:
        assert secret not in path
        assert quote(session_id, safe="") not in path
    assert alice.page.headers["referrer-policy"] in ("same-origin", "no-referrer")


def test_no_secret_in_an_address_signs_anybody_in(world: World, alice: Browser) -> None:
    secret = alice.cookies[SESSION]
    for query in (f"?{SESSION}={secret}", f"?session={secret}", f"?token={secret}", f"?access_token={secret}"):
        assert world.get(f"/account/{query}").status_code == 303
    answer = world.get("/account/", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 303


# -- other accounts


def test_nobody_signs_out_or_sees_the_session_of_another(world: World, alice: Browser, token: str) -> None:
    bob = signed_in(world, "bob")
    session_id = world.run(world.homeserver.web_sessions.list_of(ALICE))[0].session_id
    device_id = world.get(f"{C}/account/whoami", token=token).json()["device_id"]
    form_token = bob.page.fields["form_token"]
    for kind, one in (("browser", session_id), ("device", device_id)):
        bob.submit({"form_token": form_token, "kind": kind, "id": one}, "/account/sessions")
    bob.press("Sign out everything but this browser")
    assert world.get(f"{C}/account/whoami", token=token).status_code == 200
    alice.open("/account/")
    assert ALICE in alice.page.text
    for page in GETS:
        bob.open(path_of(page))
        assert ALICE not in bob.page.html, page
        assert session_id not in bob.page.html, page
        assert device_id not in bob.page.html, page


def test_a_session_is_no_permission_for_another_account(world: World, alice: Browser) -> None:
    """The permission of a session is checked in the transaction of the change, together with its account."""
    bob = signed_in(world, "bob")
    grant = world.homeserver.web_sessions.grant(bob.cookies[SESSION], ALICE, Origin())
    with pytest.raises(Forbidden):
        world.run(world.homeserver.closing.close(ALICE, grant, id_server=None, erase=True))
    alice.open("/account/")
    assert ALICE in alice.page.text


# -- the pages outside the portal


def test_no_answer_sets_a_cookie_and_no_cookie_is_looked_at(world: World) -> None:
    token = world.register()
    link_session = world.request_token(world.identity_token(token))
    assert link_session
    link = world.mail().link
    session = world.post(f"{C}/register", {}).json()["session"]
    pages = [
        link,
        "/mailbox/",
        "/_matrix/static/client/login/",
        f"{C}/auth/m.login.dummy/fallback/web?session={session}",
        "/nothing",
    ]
    for page in pages:
        answer = world.get(page, headers={"Cookie": f"access_token={token}; session={session}"})
        assert "set-cookie" not in answer.headers, page
    answer = world.get(f"{C}/account/whoami", headers={"Cookie": f"access_token={token}"})
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_MISSING_TOKEN")


def test_confirming_a_link_logs_nobody_in(world: World) -> None:
    world.request_token(world.identity_token(world.register()))
    answer = world.post(world.mail().link)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert "access_token" not in answer.text
