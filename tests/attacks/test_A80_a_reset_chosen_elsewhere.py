"""A80: a new password is chosen only in the browser where the code was typed or the mailed link was opened."""

import functools
import re

import pytest

from threepid.domain.lifecycle.recovery import ResetCode, ResetLink
from threepid.domain.lifecycle.sign_ups import SignUp
from threepid.spec.errors import NoValidSession
from web.portal_browser import Browser
from world import BASE, PASSWORD, World

NEW = "a strangers long password"
SCANNER = {"User-Agent": "Mozilla/5.0 (compatible; MailScanner)"}
SESSION = "__Host-threepid-session"
RESET = "__Host-threepid-reset"
C = "/_matrix/client/v3"


def log_in(world: World, password: str) -> int:
    identifier = {"type": "m.id.user", "user": "alice"}
    return world.post(
        f"{C}/login", {"type": "m.login.password", "identifier": identifier, "password": password}
    ).status_code


@pytest.fixture
def stranger(world: World) -> Browser:
    """The browser of a stranger who has asked for a code to Alice's address."""
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.mails()
    world.clock.advance(1)
    browser = Browser(world, "/account/forgot")
    browser.press("Send me a code", address="alice@example.com")
    return browser


def creds(stranger: Browser) -> dict[str, str]:
    """The validation session of a stranger who reads their own cookies."""
    sid, _, secret = stranger.cookies[RESET].partition(".")
    return {"sid": sid, "client_secret": secret}


def test_a_scanner_that_opens_the_link_changes_nothing(world: World, stranger: Browser) -> None:
    link = world.mail().link
    for path in (link, link.replace("/reset/", "/confirm/")):
        for _ in range(5):
            assert world.get(path, headers=SCANNER).status_code in (200, 303)
            assert world.call("HEAD", path, headers=SCANNER).status_code in (200, 303)
    page = world.get(link).text
    # Neither of them sends anything.
    assert re.findall('<script src="([^"]*)" defer>', page) == ["/static/once.js", "/static/show_password.js"]
    assert page.count("<script") == 2
    assert "http-equiv" not in page
    assert log_in(world, PASSWORD) == 200
    stranger.open("/account/forgot/password")
    assert stranger.path == "/account/forgot/code"
    owner = Browser(world, link)
    owner.press("Save and sign in", password="the owners new password")
    assert owner.path == "/account/"


@pytest.mark.parametrize("setting", ["button", "get"])
def test_the_page_that_asked_never_goes_on_by_the_link(world: World, stranger: Browser, setting: str) -> None:
    link = world.mail().link
    confirm = link.replace("/reset/", "/confirm/")
    with world.again(web__link_confirms=setting) as other:
        assert other.get(confirm).headers["Location"] == link
        assert other.post(confirm).headers["Location"] == link
    owner = Browser(world, link)
    stranger.open("/account/forgot/password")
    assert stranger.path == "/account/forgot/code"
    owner.press("Save and sign in", password="the owners new password")
    form = {"form_token": stranger.page.fields["form_token"], "password": NEW}
    stranger.submit(form, "/account/forgot/password")
    assert stranger.page.status == 404
    assert SESSION not in stranger.cookies
    assert log_in(world, "the owners new password") == 200


def test_no_api_takes_the_code_or_the_link_of_a_page(world: World, stranger: Browser) -> None:
    mail = world.mail()
    identity = world.identity_token(world.register("mallory"), "mallory")
    submit = [
        ("/_threepid/client/v1/submit_token", None),
        ("/_matrix/identity/v2/validate/email/submitToken", identity),
    ]
    for path, token in submit:
        for secret in (mail.code, mail.link.rpartition("/")[2]):
            answer = world.post(path, {**creds(stranger), "token": secret}, token=token)
            assert answer.json()["errcode"] == "M_NO_VALID_SESSION", path
    stranger.open("/account/forgot/password")
    assert stranger.path == "/account/forgot/code"


def test_no_api_uses_up_a_session_of_a_page(world: World, stranger: Browser) -> None:
    code = world.mail().code
    stranger.press("Continue", code=code)
    assert stranger.path == "/account/forgot/password"
    mallory = world.register("mallory")
    stage = {"type": "m.login.email.identity", "threepid_creds": creds(stranger)}
    for path, body in (("/account/password", {"new_password": NEW}), ("/register", {"username": "eve"})):
        answer = world.post(f"{C}{path}", {**body, "auth": stage})
        assert answer.status_code == 401, path
    added = world.add(mallory, creds(stranger)["sid"], secret=creds(stranger)["client_secret"])
    assert added.json()["errcode"] == "M_THREEPID_AUTH_FAILED"
    identity = world.identity_token(mallory, "mallory")
    query = "&".join(f"{name}={value}" for name, value in creds(stranger).items())
    validated = world.get(f"/_matrix/identity/v2/3pid/getValidated3pid?{query}", token=identity)
    assert validated.json()["errcode"] == "M_NO_VALID_SESSION"
    assert log_in(world, PASSWORD) == 200


def test_a_session_of_a_client_resets_nothing_on_a_page(world: World, stranger: Browser) -> None:
    body = {"client_secret": "s", "email": "alice@example.com", "send_attempt": 1}
    world.clock.advance(1)
    asked = world.post(f"{C}/account/password/email/requestToken", body).json()
    mail = world.mail()
    link = mail.link.replace("/confirm/", "/reset/")
    assert Browser(world, link).page.status == 404
    code = {"sid": asked["sid"], "client_secret": "s", "token": mail.code}
    assert world.post(asked["submit_url"].removeprefix(BASE), code).json() == {"success": True}
    assert Browser(world, link).page.status == 404
    stranger.cookies[RESET] = f"{asked['sid']}.s"
    stranger.open("/account/forgot/password")
    assert stranger.page.status == 404


def test_a_stranger_without_the_secret_goes_nowhere(world: World, stranger: Browser) -> None:
    code = world.mail().code
    other = Browser(world, "/account/forgot")
    other.cookies[RESET] = f"{creds(stranger)['sid']}.guessed"
    other.submit({"form_token": other.page.fields["form_token"], "code": code}, "/account/forgot/code")
    assert other.page.status == 404
    stranger.press("Continue", code=code)
    other.open("/account/forgot/password")
    assert other.page.status == 404


def test_the_pages_say_the_same_whether_an_account_exists(world: World, stranger: Browser) -> None:
    other = Browser(world, "/account/forgot")
    other.press("Send me a code", address="nobody@example.com")
    for _ in range(6):
        known = stranger.page.text.replace("alice@example.com", "X")
        assert (stranger.page.status, known) == (other.page.status, other.page.text.replace("nobody@example.com", "X"))
        assert stranger.page.structure == other.page.structure
        if "Continue" in other.page.buttons:
            stranger.press("Continue", code="12345")
            other.press("Continue", code="12345")
    assert "No account" in world.mail().message["Subject"]


def test_a_link_in_another_browser_is_no_sign_in_of_a_stranger(world: World, stranger: Browser) -> None:
    """Login CSRF: a page of another site sends the form of the stranger's own link."""
    link = world.mail().link
    victim = Browser(world, "/account/sign-in")
    for fields in ({"password": NEW}, {"password": NEW, "form_token": stranger.page.fields["form_token"]}):
        for headers in ({}, {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}):
            victim.submit(fields, link, **headers)
            assert victim.page.status == 403
            assert SESSION not in victim.cookies
    assert log_in(world, PASSWORD) == 200


@pytest.mark.parametrize("path", ["/account/forgot", "/account/forgot/code", "/account/forgot/again"])
def test_another_sites_form_asks_for_no_code(world: World, stranger: Browser, path: str) -> None:
    before = len(world.mails())
    token = stranger.page.fields["form_token"]
    fields = {"form_token": token, "address": "alice@example.com", "code": "1"}
    stranger.submit(fields, path, Origin="https://evil.example")
    assert stranger.page.status == 403
    stranger.submit({**fields, "form_token": "guessed"}, path)
    assert stranger.page.status == 403
    assert len(world.mails()) == before


def test_the_session_after_a_reset_is_a_new_one(world: World, stranger: Browser) -> None:
    victim = Browser(world, world.mail().link)
    victim.cookies[SESSION] = "tpw_chosen-by-a-stranger"
    victim.open(victim.path)
    victim.press("Save and sign in", password="the owners new password")
    assert victim.cookies[SESSION] != "tpw_chosen-by-a-stranger"
    assert victim.path == "/account/"


def test_a_link_and_its_code_set_one_password_between_them(world: World, stranger: Browser) -> None:
    mail = world.mail()
    stranger.press("Continue", code=mail.code)
    proofs: list[ResetCode | ResetLink] = [ResetCode(creds(stranger)["sid"], creds(stranger)["client_secret"])]
    proofs += [ResetLink(mail.link.rpartition("/")[2])] * 3

    async def choose(number: int) -> int | None:
        try:
            await world.homeserver.recovery.choose(
                proofs[number],
                f"password number {number}",
                log_out_devices=True,
                client="192.0.2.7",
                user_agent="",
            )
        except NoValidSession:
            return None
        return number

    chosen = world.together(*(functools.partial(choose, number) for number in range(4)))
    (winner,) = [number for number in chosen if number is not None]
    assert [number for number in range(4) if log_in(world, f"password number {number}") == 200] == [winner]
    assert len(world.run(world.homeserver.web_sessions.list_of("@alice:example.org"))) == 1


def test_secrets_of_a_reset_stay_out_of_logs() -> None:
    assert "secret" not in f"{ResetCode('sid', 'secret')} {ResetLink('secret')} {SignUp('secret', 'secret')}"
