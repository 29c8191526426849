"""A61: what a stranger began, its owner does not finish unknowingly."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from web.visitor import DONE, Page, Visitor, begin
from world import BASE, PASSWORD, World

C = "/_matrix/client/v3"
EMAIL = "m.login.email.identity"
PHONE = "m.login.msisdn"
ADDRESS = "alice@example.com"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
STAGE = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
RESET = {"client_secret": "s", "email": ADDRESS, "send_attempt": 1}
WHEN = "15 January 2027 08:00 UTC"


def owner(world: World) -> str:
    """Alice with her address; returns her access token."""
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.mails()
    world.clock.advance(1)
    return token


def log_in(world: World, password: str) -> int:
    return world.post(f"{C}/login", {**STAGE, "password": password}).status_code


def words(text: str) -> str:
    return " ".join(text.split())


def is_done(page: Page) -> bool:
    return page.heading == DONE or "auth_done" in page.html or "onAuthDone" in page.html


# -- no page for what a stranger can begin


@pytest.mark.parametrize("version", ["r0", "v3", "unstable"])
@pytest.mark.parametrize("stage", [EMAIL, PHONE])
@pytest.mark.parametrize(
    ("path", "body"), [("/account/password", {"new_password": "a strangers one"}), ("/account/deactivate", {})]
)
def test_a_reset_without_a_token_has_no_page(
    database_url: str, tmp_path: Path, path: str, body: dict[str, Any], stage: str, version: str
) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"], accounts__deactivate_without_token=True) as world:
        owner(world)
        before = len(world.mails())
        session = begin(world, path, body)["session"]
        visitor = Visitor.at_stage(world, stage, session, version=version)
        forms: tuple[dict[str, str], ...] = (
            {"action": "send", "address": ADDRESS},
            {"action": "look", "sid": "x", "client_secret": "y"},
            {"action": "again", "sent_to": ADDRESS, "sid": "x", "client_secret": "y", "attempt": "1"},
            {"action": "code", "sid": "x", "client_secret": "y", "code": "000000"},
            {},
        )
        for page in (visitor.page, *(visitor.send(form) for form in forms)):
            assert (page.status, page.heading) == (403, "There is no page for this step")
            assert "Did somebody else send you here?" in page.text
            assert not page.fields
            # Our own reset is no part of the stranger's: whoever goes there chooses the password.
            assert {link["href"] for link in page.links.values()} == (
                {"/account/forgot"} if "new_password" in body else set()
            )
            assert not is_done(page)
        assert len(world.mails()) == before
        assert world.post(f"{C}{path}", {**body, "auth": {"session": session}}).status_code == 401


def test_the_page_is_refused_also_when_the_stage_is_done(world: World) -> None:
    # With two required stages a session can be half done; with one it is finished in the same request. So the stage is done
    # by hand, as an older version would have left it behind.
    owner(world)
    session = begin(world, "/account/password", {"new_password": "a strangers one"})["session"]
    from threepid.storage import uia

    id_hash = world.server.context.vault.hash_token(session)
    world.run(
        world.server.context.database.write(
            lambda tx: uia.complete(tx, id_hash, before="{}", completed=f'{{"{EMAIL}": {{}}}}', now=world.clock.now())
        )
    )
    visitor = Visitor.at_stage(world, EMAIL, session)
    for page in (visitor.page, visitor.send({"action": "look"})):
        assert page.status == 403
        assert not is_done(page)


def test_a_client_of_ones_own_resets_as_before(world: World) -> None:
    owner(world)
    session = begin(world, "/account/password", {"new_password": "my own new one"})["session"]
    sid = world.post(f"{C}/account/password/email/requestToken", RESET).json()["sid"]
    assert world.post(world.mail().link).status_code == 200
    auth = {"type": EMAIL, "session": session, "threepid_creds": {"sid": sid, "client_secret": "s"}}
    assert world.post(f"{C}/account/password", {"auth": auth}).status_code == 200
    assert log_in(world, "my own new one") == 200


def test_the_page_of_somebody_logged_in_names_the_account_and_who_asked(world: World) -> None:
    token = owner(world)
    answer = world.post(
        f"{C}/account/password", {"new_password": "x" * 9}, token=token, headers={"User-Agent": FIREFOX}
    )
    visitor = Visitor.at_stage(world, EMAIL, answer.json()["session"], **{"User-Agent": "curl/8"})
    for text in ("@alice:example.org", WHEN, "127.0.0.1", "Firefox on Windows", "Whoever made this request chooses"):
        assert text in visitor.page.text
    world.clock.advance(60_000)
    visitor.press("Send me a code", address=ADDRESS)
    # The mail speaks of who began it, not of who happens to look at the page.
    assert "Firefox on Windows" in words(world.mail().text)
    assert WHEN in words(world.mail().text)


def test_the_page_of_a_stranger_who_is_logged_in_takes_over_nobody(world: World) -> None:
    owner(world)
    mallory = world.register("mallory")
    body = {"new_password": "a strangers one"}
    session = begin(world, "/account/password", body, access_token=mallory)["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    assert "@mallory:example.org" in visitor.page.text
    visitor.press("Send me a code", address=ADDRESS)
    visitor.press("Continue", code=world.mail().code)
    answer = world.post(f"{C}/account/password", {**body, "auth": {"session": session}}, token=mallory)
    assert answer.status_code == 403
    assert world.post(f"{C}/account/password", {**body, "auth": {"session": session}}).status_code == 403
    assert log_in(world, PASSWORD) == 200


# -- a registration names the account


@pytest.mark.parametrize("body", [{}, {"password": PASSWORD}, {"device_id": "D"}, {"unknown": "@bob:example.org"}])
@pytest.mark.parametrize("stage", [EMAIL, PHONE])
def test_no_address_is_proven_for_an_account_without_a_name(
    database_url: str, tmp_path: Path, body: dict[str, Any], stage: str
) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"]) as world:
        session = begin(world, body=body)["session"]
        for version in ("r0", "v3", "unstable"):
            visitor = Visitor.at_stage(world, stage, session, version=version)
            for page in (visitor.page, visitor.send({"action": "send", "address": ADDRESS})):
                assert (page.status, page.heading) == (403, "Choose a username first")
                assert not page.fields
                assert not is_done(page)
        assert world.mails() == []
        assert world.texts() == []


@pytest.mark.parametrize("first", [{}, {"username": "Mallory"}])
def test_the_page_of_a_registration_names_the_account_and_the_name_stays(world: World, first: dict[str, Any]) -> None:
    register = f"{C}/register"
    session = begin(world, body=first)["session"]
    if not first:  # begun with nothing, it is filled in once
        named = {"username": "mallory", "password": PASSWORD, "auth": {"session": session}}
        assert world.post(register, named).status_code == 401
    visitor = Visitor.at_stage(world, EMAIL, session)
    assert "create an account. @mallory:example.org" in visitor.page.text
    visitor.press("Send me a code", address=ADDRESS)
    assert "@mallory:example.org" in visitor.page.text
    assert "mallory" not in world.mail().text  # it is the caller's
    assert visitor.press("Continue", code=world.mail().code).heading == DONE
    other = {"username": "alice", "password": PASSWORD, "auth": {"session": session}}
    assert world.post(register, other).status_code == 403
    assert world.get(f"{C}/register/available?username=alice").status_code == 200


# -- pages and mails say who asked


AGENTS = {
    FIREFOX: "Firefox on Windows",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36": "Chrome on Linux",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML) Chrome/126.0 Safari/537.36 Edg/126.0": "Edge on Windows",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15": (
        "Safari on macOS"
    ),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605 Version/17.5 Mobile/15E148 Safari/604.1": (
        "Safari on iOS"
    ),
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 SamsungBrowser/25.0 Chrome/121.0 Mobile Safari/537.36": (
        "Samsung Internet on Android"
    ),
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Element/1.11 Chrome/126 Electron/31 Safari/537.36": (
        "an unknown app on Linux"
    ),
    "Element/1.6.18 (Google Pixel 8; Android 14; MatrixAndroidSdk2 1.6.18)": "an unknown app on Android",
    "curl/8.5.0": "an unknown app",
    "": "an unknown app",
    "Your bank: call 0900 123456 or open https://evil.example/": "an unknown app",
    "x" * 5000 + " Firefox/1": "an unknown app",
}


@pytest.mark.parametrize("agent", AGENTS, ids=range(len(AGENTS)))
def test_the_mail_and_the_page_of_a_reset_say_who_asked(world: World, agent: str) -> None:
    owner(world)
    world.post(f"{C}/account/password/email/requestToken", RESET, headers={"User-Agent": agent})
    mail = world.mail()
    world.clock.advance(60_000)
    page = Page(world.get(mail.link))
    html = mail.message.get_body(("html",))
    assert html is not None
    for text in (words(mail.text), page.text, words(re.sub("<[^>]*>", "", html.get_content()))):
        assert f"Requested on {WHEN} by {AGENTS[agent]}. Network address: 127.0.0.1." in text
        assert "Whoever made this request chooses the new password." in text
        assert "evil" not in text
        assert "close" not in text.replace("close this page", "")
    assert "@alice:example.org" in page.text


def test_an_ipv6_caller_is_told_as_a_network(world: World) -> None:
    owner(world)
    headers = {"X-Forwarded-For": "2001:db8:1:2:3:4:5:6"}
    world.post(f"{C}/account/password/email/requestToken", RESET, headers=headers)
    assert "Network address: 2001:db8:1:2::/64." in words(world.mail().text)


def test_each_message_tells_of_its_own_request(world: World) -> None:
    owner(world)
    path = f"{C}/account/password/email/requestToken"
    world.post(path, RESET, headers={"User-Agent": FIREFOX, "X-Forwarded-For": "192.0.2.1"})
    world.clock.advance(60_000)
    world.post(path, {**RESET, "send_attempt": 2}, headers={"X-Forwarded-For": "192.0.2.2"})
    first, second = world.mails()[-2:]
    assert "192.0.2.1" in first.text
    assert "192.0.2.2" in second.text
    assert "192.0.2.1" in Page(world.get(first.link)).text
    page = Page(world.get(second.link))
    assert "192.0.2.2" in page.text
    assert "15 January 2027 08:01 UTC" in page.text


def test_a_mailbox_that_no_account_has_is_told_who_asked_too(world: World) -> None:
    body = {**RESET, "email": "nobody@example.com"}
    world.post(f"{C}/account/password/email/requestToken", body, headers={"User-Agent": FIREFOX})
    assert f"Requested on {WHEN} by Firefox on Windows. Network address: 127.0.0.1." in words(world.mail().text)


@pytest.mark.parametrize("path", ["register/email/requestToken", "account/3pid/email/requestToken"])
def test_every_page_behind_a_mailed_link_says_who_asked(world: World, path: str) -> None:
    token = world.register("mallory")
    answer = world.post(f"{C}/{path}", RESET, token=token, headers={"User-Agent": FIREFOX})
    assert answer.status_code == 200
    mail = world.mail()
    page = Page(world.get(mail.link))
    assert "Firefox on Windows" in words(mail.text)
    assert "Firefox on Windows" in page.text
    assert "mallory" not in mail.text
    if "3pid" in path:
        assert "the Matrix account @mallory:example.org" in page.text


def test_the_homeserver_is_told_of_that_asks_for_its_people(database_url: str, tmp_path: Path) -> None:
    v1 = {"validate": True, "validate_from": ["192.0.2.0/24"]}
    with World(database_url, tmp_path, identity__v1=v1) as world:
        headers = {"X-Forwarded-For": "192.0.2.7", "User-Agent": "Synapse/1.110.0 Firefox/128"}
        path = "/_matrix/identity/api/v1/validate/email/requestToken"
        assert world.post(path, RESET, headers=headers).status_code == 200
        mail = world.mail()
        page = Page(world.get(mail.link))
        for text in (words(mail.text), page.text):
            assert "by a homeserver. Network address: 192.0.2.7." in text
            # It may be a reset there, which it does not tell us.
            assert "set a new password" in text
            assert "whoever made the request chooses the password" in text
            assert "Firefox" not in text


def test_the_homeserver_of_a_user_of_another_one_is_named_without_a_link() -> None:
    from threepid.domain.origin import from_text, of_caller

    origin = of_caller(0, "192.0.2.7", FIREFOX, homeserver="login.evil.example")
    assert from_text(origin.in_message()).homeserver == "login. evil. example"


def test_a_caller_without_an_address_is_not_given_one() -> None:
    from threepid.domain.origin import of_caller

    assert of_caller(1, "", "").network == ""
    assert of_caller(1, "not an address", "").network == ""


def test_who_asked_is_not_told_of_links_of_before(world: World) -> None:
    owner(world)
    world.post(f"{C}/account/password/email/requestToken", RESET)
    mail = world.mail()
    from threepid.storage.engine.queries import Query

    forget = "UPDATE validation_sessions SET origin = ''"
    query = Query("test", forget, forget)
    world.run(world.server.context.database.write(lambda tx: tx.run(query, range(1, 99))))
    page = Page(world.get(mail.link))
    assert page.status == 200
    assert "Requested on" not in page.text
    assert world.post(mail.link).status_code == 200


def test_a_get_never_confirms_a_reset(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, web__link_confirms="get") as world:
        owner(world)
        sid = world.post(f"{C}/account/password/email/requestToken", RESET).json()["sid"]
        page = Page(world.get(world.mail().link))
        assert "Yes, I asked for a new password" in page.buttons
        auth = {"type": EMAIL, "threepid_creds": {"sid": sid, "client_secret": "s"}}
        body = {"new_password": "a strangers one", "auth": auth}
        assert world.post(f"{C}/account/password", body).status_code == 401
        assert world.post(world.mail().link).status_code == 200
        assert world.post(f"{C}/account/password", body).status_code == 200


# -- closing an account


def close(world: World, auth: dict[str, Any], **more: Any) -> httpx.Response:
    return world.post(f"{C}/account/deactivate", {"auth": auth} if auth else {}, **more)


def test_nobody_closes_an_account_without_a_token(world: World) -> None:
    token = owner(world)
    answer = world.post(f"{C}/account/password/email/requestToken", RESET).json()
    submit = {"sid": answer["sid"], "client_secret": "s", "token": world.mail().code}
    assert world.post(answer["submit_url"].removeprefix(BASE), submit).status_code == 200
    creds = {"type": EMAIL, "threepid_creds": {"sid": answer["sid"], "client_secret": "s"}}
    for version in ("r0", "v3", "unstable"):
        for auth in ({}, creds, STAGE, {"session": "x"}, {**creds, "session": "x"}):
            body = {"auth": auth} if auth else {}
            refused = world.post(f"/_matrix/client/{version}/account/deactivate", body)
            assert (refused.status_code, refused.json()["errcode"]) == (401, "M_MISSING_TOKEN")
            assert "flows" not in refused.json()
    assert world.get(f"{C}/account/whoami", token=token).status_code == 200
    assert close(world, STAGE, token=token).status_code == 200


def test_a_session_of_before_it_was_turned_off_closes_nothing(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__deactivate_without_token=True) as world:
        owner(world)
        session = begin(world, "/account/deactivate", {})["session"]
        with world.again(accounts__deactivate_without_token=False) as now:
            assert close(now, {"session": session}).status_code == 401
            assert close(now, {"session": session}).json()["errcode"] == "M_MISSING_TOKEN"


def test_where_it_is_allowed_mail_page_and_button_say_so(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__deactivate_without_token=True) as world:
        token = owner(world)
        sid = world.post(f"{C}/account/password/email/requestToken", RESET).json()["sid"]
        mail = world.mail()
        html = mail.message.get_body(("html",))
        assert html is not None
        page = Page(world.get(mail.link))
        for text in (words(mail.text), words(re.sub("<[^>]*>", "", html.get_content())), page.text):
            assert "set a new password for, or close, the" in text
            assert "chooses the new password, or closes the account for good" in text
        assert "Set a new password or close the account" in html.get_content()
        assert "or close it?" in str(mail.message["Subject"])
        assert list(page.buttons) == ["Yes, set a new password or close the account"]
        assert world.post(mail.link).status_code == 200
        auth = {"type": EMAIL, "threepid_creds": {"sid": sid, "client_secret": "s"}}
        assert close(world, auth).status_code == 200
        assert world.get(f"{C}/account/whoami", token=token).status_code == 401


def test_the_page_on_which_an_account_is_closed_sends_a_mail_that_says_so(world: World) -> None:
    token = owner(world)
    session = begin(world, "/account/deactivate", {}, access_token=token)["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    assert "close your account for good. @alice:example.org" in visitor.page.text
    visitor.press("Send me a code", address=ADDRESS)
    assert "or closes the account for good" in words(world.mail().text)


def test_the_page_behind_that_mail_says_so_too(world: World) -> None:
    token = owner(world)
    session = begin(world, "/account/deactivate", {}, access_token=token)["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    visitor.press("Send me a code", address=ADDRESS)
    page = Visitor(world, world.mail().link)
    assert "set a new password for, or close, the" in page.page.text
    assert "chooses the new password, or closes the account for good" in page.page.text
    assert page.press("Yes, set a new password or close the account").status == 200
    assert visitor.press("I pressed the button").heading == DONE
    assert close(world, {"session": session}, token=token).status_code == 200


@pytest.mark.parametrize("version", ["api/v1", "v2"])
def test_the_get_of_the_identity_server_confirms_no_reset(database_url: str, tmp_path: Path, version: str) -> None:
    with World(database_url, tmp_path, identity__v1__validate=True) as world:
        owner = world.register()
        assert world.add(owner, world.validated(world.identity_token(owner))).status_code == 200
        mallory = world.identity_token(world.register("mallory"), "mallory")
        request = {"client_secret": "reset", "email": "alice@example.com", "send_attempt": 1}
        sid = world.post(f"{C}/account/password/email/requestToken", request).json()["sid"]
        query = {"sid": sid, "client_secret": "reset", "token": world.mail().code}
        token = mallory if version == "v2" else None
        path = f"/_matrix/identity/{version}/validate/email/submitToken"
        assert world.get(path, params=query, token=token).status_code == 404
        stage = {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": "reset"}}
        reset = world.post(f"{C}/account/password", {"new_password": "another password", "auth": stage})
        assert reset.status_code == 401
