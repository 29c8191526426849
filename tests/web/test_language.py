"""The language of pages and messages: the account's choice, the switch in the footer, the browser, the server's default, English."""

from pathlib import Path
from typing import Any

import pytest

from threepid.storage import preferences
from web.portal_browser import Browser
from web.visitor import Page, Visitor, begin
from world import PASSWORD, World

GERMAN = {"Accept-Language": "de-AT,de;q=0.9"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "null", "Sec-Fetch-Site": "same-origin"}
COOKIE = "__Host-threepid-language"


def language_of(page: Page) -> str:
    return page.html.partition('<html lang="')[2].partition('"')[0]


@pytest.fixture
def browser(world: World) -> Browser:
    world.register()
    return Browser(world)


def test_a_page_is_in_the_language_of_the_browser(world: World) -> None:
    for path, heading in (
        ("/account/sign-in", "Anmelden"),
        ("/confirm/nothing", "Dieser Link geht nicht mehr"),
        ("/nothing", "Seite nicht gefunden"),
        ("/_matrix/static/client/login/", "Bei example.org anmelden"),
    ):
        page = Visitor(world, path, **GERMAN).page
        assert (page.heading, language_of(page)) == (heading, "de")
        assert language_of(Visitor(world, path, **{"Accept-Language": "xx"}).page) == "en"


def test_errors_and_pages_of_apps_are_in_the_language_of_the_browser(world: World) -> None:
    session = begin(world, body={"username": "bob"})["session"]
    visitor = Visitor.at_stage(world, "m.login.email.identity", session, **GERMAN)
    assert visitor.page.heading == "Deine E-Mail-Adresse"
    assert "Bitte prüfe sie" in visitor.send({"action": "send", "address": "nobody"}).problem
    assert Page(world.post("/", headers=GERMAN)).heading == "Das geht hier nicht"


def test_the_switch_keeps_the_language_and_leads_back(browser: Browser) -> None:
    browser.open("/nothing/here?a=b&c=%22")
    browser.speak("de")
    assert browser.trail[-1] == "GET /nothing/here?a=b&c=%22"
    assert browser.page.heading == "Seite nicht gefunden"
    assert "HttpOnly" in browser.attributes[COOKIE]
    browser.open("/account/")
    assert browser.page.heading == "Anmelden"


def test_the_switch_names_each_language_in_itself(browser: Browser) -> None:
    assert '<option value="de" lang="de">Deutsch</option>' in browser.page.html
    assert '<option value="en" lang="en" selected>English</option>' in browser.page.html


def test_the_choice_of_an_account_follows_it_to_other_browsers(browser: Browser, world: World) -> None:
    browser.sign_in()
    browser.speak("de")
    assert browser.page.heading == "Dein Konto"
    other = Browser(world)
    other.sign_in()
    assert other.page.heading == "Dein Konto"
    other.open("/nothing")
    assert other.page.heading == "Seite nicht gefunden"


def test_the_choice_of_an_account_wins_over_cookie_and_browser(browser: Browser, world: World) -> None:
    browser.sign_in()
    browser.speak("en")
    german = Browser(world, **GERMAN)
    assert german.page.heading == "Anmelden"
    german.press("Anmelden", name="alice", password=PASSWORD)
    assert (german.page.heading, german.cookies[COOKIE]) == ("Your account", "en")


def test_a_browser_that_is_signed_out_changes_no_account(browser: Browser, world: World) -> None:
    browser.speak("de")
    other = Browser(world)
    other.sign_in()
    assert other.page.heading == "Your account"


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "x", "/\n", "/" * 2, ""]
)
def test_the_switch_leads_to_no_other_site(world: World, target: str) -> None:
    answer = world.post("/language", f"language=de&next={Visitor.escaped(target)}", headers=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize("language", ["xx", "", "de\r\nSet-Cookie: x=y", "../de"])
def test_only_languages_that_are_offered_can_be_chosen(world: World, language: str) -> None:
    answer = world.post("/language", f"language={Visitor.escaped(language)}", headers=FORM)
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


def test_a_strange_cookie_is_no_language(world: World) -> None:
    assert language_of(Visitor(world, "/nothing", Cookie=f"{COOKIE}=../de").page) == "en"


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_site_cannot_change_the_language(browser: Browser, headers: dict[str, str]) -> None:
    browser.sign_in()
    browser.speak("de", **headers)
    assert browser.page.status == 403
    browser.open("/account/")
    assert browser.page.heading == "Your account"


def test_an_identity_server_has_the_switch_too(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts=None) as world:
        browser = Browser(world, "/")
        browser.speak("de")
        assert "Das ist ein Matrix-Identitätsserver." in browser.page.text
        assert "threepid-visitor" not in " ".join(browser.cookies)


def test_a_server_with_one_language_speaks_it_and_has_no_switch(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, web__languages=["de"]) as world:
        page = Visitor(world, "/nothing", **{"Accept-Language": "en"}).page
        assert page.heading == "Seite nicht gefunden"
        assert "/language" not in page.html


@pytest.mark.parametrize(
    ("wish", "language"), [("xx", "de"), ("", "de"), ("en", "en"), ("fr;q=0.9,xx", "fr"), ("de-AT", "de")]
)
def test_a_page_is_in_the_servers_default_if_the_browser_asks_for_nothing_that_there_is(
    database_url: str, tmp_path: Path, wish: str, language: str
) -> None:
    with World(database_url, tmp_path, web__default_language="de") as world:
        assert language_of(Visitor(world, "/nothing", **{"Accept-Language": wish}).page) == language


def test_the_documents_of_a_page_are_in_the_servers_default_too(database_url: str, tmp_path: Path) -> None:
    texts = {tag: {"name": tag, "url": f"https://example.org/{tag}"} for tag in ("en", "de", "it")}
    documents = [{"id": "terms", "version": "1", "languages": texts}]
    settings: dict[str, Any] = {"web__default_language": "de", "accounts": None, "identity__terms": documents}
    with World(database_url, tmp_path, **settings) as world:
        for wish, language in (("xx", "de"), ("fr", "de"), ("en", "en"), ("it", "it")):
            page = Visitor(world, "/", **{"Accept-Language": wish}).page
            assert page.links[language]["href"] == f"https://example.org/{language}"


# -- messages


def test_a_code_is_in_the_language_of_the_app_that_asks(world: World) -> None:
    identity = world.identity_token(world.register())
    body = {"client_secret": "s", "email": "a@example.com", "send_attempt": 1}
    world.post("/_matrix/identity/v2/validate/email/requestToken", body, token=identity, headers=GERMAN)
    assert str(world.mail().message["Subject"]) == "Bestätige deine E-Mail-Adresse für example.org"


def test_a_code_that_a_page_asks_for_is_in_the_language_of_the_page(world: World) -> None:
    session = begin(world, body={"username": "bob"})["session"]
    visitor = Visitor.at_stage(world, "m.login.email.identity", session, Cookie=f"{COOKIE}=de")
    visitor.send({"action": "send", "address": "bob@example.com"})
    assert str(world.mail().message["Subject"]) == "Willkommen bei example.org: bestätige deine E-Mail-Adresse"


def test_an_accounts_language_wins_for_codes_and_notices(world: World) -> None:
    token = world.register()
    browser = Browser(world)
    browser.sign_in()
    browser.speak("de")
    body = {"client_secret": "s", "email": "a@example.com", "send_attempt": 1}
    path = "/_matrix/client/v3/account/3pid/email/requestToken"
    world.post(path, body, token=token, headers={"Accept-Language": "en"})
    assert str(world.mail().message["Subject"]).startswith("Bestätige")
    identity = world.identity_token(token)
    for number in (1, 2):
        address = f"alice{number}@example.com"
        world.add(token, world.validated(identity, address, secret=f"s{number}"), secret=f"s{number}")
    assert "Ein Kontakt wurde zu @alice:example.org hinzugefügt" in [
        str(mail.message["Subject"]) for mail in world.mails()
    ]


def notice_of_a_contact(world: World, token: str) -> str:
    """The subject of the notice that the account of `token` gets when it adds its second contact."""
    identity = world.identity_token(token)
    for number in (1, 2):
        address = f"alice{number}@example.com"
        world.add(token, world.validated(identity, address, secret=f"s{number}"), secret=f"s{number}")
    return next(subject for mail in world.mails() if "@alice:example.org" in (subject := str(mail.message["Subject"])))


def test_notices_are_in_the_language_of_the_page_where_the_account_was_created(world: World) -> None:
    browser = Browser(world, "/account/register", **GERMAN)
    browser.press("Weiter", username="alice", password=PASSWORD)
    browser.press("Konto ohne Kontakt anlegen")
    assert browser.page.heading == "Dein Konto"
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    token = world.post("/_matrix/client/v3/login", login).json()["access_token"]
    assert notice_of_a_contact(world, token) == "Ein Kontakt wurde zu @alice:example.org hinzugefügt"


@pytest.mark.parametrize(
    ("wish", "subject"),
    [
        ("de-AT,de;q=0.9", "Ein Kontakt wurde zu @alice:example.org hinzugefügt"),
        ("xx", "A contact was added to @alice:example.org"),
    ],
)
def test_notices_are_in_the_language_of_the_app_that_registered_the_account(
    world: World, wish: str, subject: str
) -> None:
    body = {"username": "alice", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    answer = world.post("/_matrix/client/v3/register", body, headers={"Accept-Language": wish})
    assert notice_of_a_contact(world, answer.json()["access_token"]) == subject


def without_a_language(world: World) -> str:
    """The token of an account that has chosen no language, as imported ones have."""
    token = world.register()
    world.run(world.database.write(lambda tx: preferences.set_language(tx, "@alice:example.org", "")))
    return token


@pytest.mark.parametrize(
    ("settings", "subject"),
    [
        ({}, "A contact was added to @alice:example.org"),
        ({"web__default_language": "de"}, "Ein Kontakt wurde zu @alice:example.org hinzugefügt"),
        ({"web__languages": ["de", "en"]}, "A contact was added to @alice:example.org"),
        ({"web__languages": ["fr", "de"]}, "Un moyen de contact a été ajouté à @alice:example.org"),
        (
            {"web__languages": ["fr", "de"], "web__default_language": "de"},
            "Ein Kontakt wurde zu @alice:example.org hinzugefügt",
        ),
    ],
)
def test_notices_to_an_account_without_a_language_are_in_the_servers_default(
    database_url: str, tmp_path: Path, settings: dict[str, Any], subject: str
) -> None:
    with World(database_url, tmp_path, **settings) as world:
        assert notice_of_a_contact(world, without_a_language(world)) == subject


def test_an_accounts_language_wins_over_the_servers_default(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, web__default_language="de") as world:
        token = world.register()
        world.run(world.database.write(lambda tx: preferences.set_language(tx, "@alice:example.org", "en")))
        assert notice_of_a_contact(world, token) == "A contact was added to @alice:example.org"


def test_an_app_that_accepts_no_language_chooses_none_for_the_account(browser: Browser) -> None:
    browser.sign_in()
    browser.open("/account/data")
    assert browser.download("Download")["preferences"]["language"] == ""


def test_a_program_is_named_in_the_nominative_in_german(world: World) -> None:
    world.register()
    browser = Browser(world, **GERMAN, **{"User-Agent": "App/1.0 (Linux)"})
    browser.press("Anmelden", name="alice", password=PASSWORD)
    browser.open("/account/sessions")
    assert "Unbekannte App auf Linux" in browser.page.strong


def test_a_forgotten_password_is_answered_in_the_language_of_the_page(world: World) -> None:
    token = world.register()
    identity = world.identity_token(token)
    world.add(token, world.validated(identity))
    browser = Browser(world, "/account/forgot", **GERMAN)
    browser.press("Code schicken", address="alice@example.com")
    assert str(world.mail().message["Subject"]) == "Wähle ein neues Passwort für @alice:example.org"


def test_the_security_log_notes_a_new_language(browser: Browser) -> None:
    browser.sign_in()
    browser.speak("de")
    browser.speak("de")
    browser.open("/account/security")
    assert browser.page.text.count("Die Sprache wurde geändert") == 1


def test_the_plus_of_a_calling_code_stands_before_its_digits_in_every_direction(
    database_url: str, tmp_path: Path
) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"]) as world:
        session = begin(world, body={"username": "bob"})["session"]
        path = Visitor.at_stage(world, "m.login.msisdn", session).path
        html = Visitor(world, path, **{"Accept-Language": "ar"}).page.html
        assert 'dir="rtl"' in html
        # After Arabic letters, "+44" alone would be shown as "44+": https://www.unicode.org/reports/tr9/#W2.
        assert "(\u200e+44)</option>" in html
