"""The pages that no other story in a browser comes to; and no page is left out."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser.portal import Portal
from browser.served import PASSWORD, Site, toml
from browser.window import EXAMINED, NARROWEST, Window
from fake_synapse import FakeSynapse, fake_synapse
from rig import ServerProcess, identity_token
from threepid.i18n import Text
from threepid.i18n.catalogues import languages

TEMPLATES = Path(__file__).parents[2] / "src" / "threepid" / "web" / "templates"
TOO_LONG = """
(sentences) => {
  const heading = document.querySelector("h1");
  const button = document.querySelector("main button[type=submit]");
  const found = [];
  for (const place of [heading, button]) {
    place.style.hyphens = "manual";
    place.style.overflowWrap = "normal";
    for (const sentence of sentences) {
      place.textContent = sentence;
      if (place.scrollWidth > place.clientWidth) {
        found.push(`${sentence} in ${place.tagName}`);
      }
    }
  }
  return found;
}
"""
"""Sentences with a word that a narrow screen would break."""
TERMS = """
[[identity.terms]]
id = "terms"
version = "1"
[identity.terms.languages]
en = { name = "Terms of the identity server", url = "https://example.org/terms" }
"""
IN_BOTH_DIRECTIONS = pytest.mark.parametrize("window", EXAMINED, indirect=True)
NUMBERS = {"en": "+447400765431", "ar": "+447400765432"}


@pytest.fixture
def portal(window: Window, site: Site) -> Portal:
    return Portal(window, site)


def sign_in(portal: Portal, name: str) -> None:
    portal.open("/account/sign-in")
    portal.type("Username, email address or phone number", name)
    portal.type("Password", PASSWORD)
    portal.press("Sign in")


def doubt_everybody(site: Site) -> None:
    """Let every session be so old that the pages ask for the password again."""
    with closing(sqlite3.connect(site.process.directory / "data" / "threepid.db", timeout=20)) as database, database:
        database.execute("UPDATE web_sessions SET confirmed_at = 0")


def add_phone(portal: Portal, number: str) -> None:
    portal.open("/account/contacts")
    portal.follow("Add a phone number")
    portal.see("Add a phone number")
    portal.type("Phone number", number)
    portal.press("Send me a code")
    portal.see("Enter the code")
    portal.type("Code", "000000")
    portal.press("Continue")
    portal.see("Enter the code")
    portal.type("Code", portal.site.text_code(number))
    portal.press("Continue")
    portal.see("Contacts")


@IN_BOTH_DIRECTIONS
def test_an_app_and_a_phone_number_are_shown_and_let_go(portal: Portal) -> None:
    name = f"phone-owner-{portal.window.language}"
    portal.site.register(name)
    sign_in(portal, name)
    add_phone(portal, NUMBERS[portal.window.language])
    portal.follow("Let people find me")
    portal.press("Let people find me")
    portal.follow("Don't let people find me")
    portal.see("Stop people finding you?")
    portal.open("/account/sessions")
    portal.page.get_by_text(portal.window.say("Rename it")).click()
    portal.see("Where you're signed in")
    portal.open("/account/security")
    portal.see("Security log")
    portal.open("/account/")
    portal.see("Your account")


@IN_BOTH_DIRECTIONS
def test_a_person_proves_again_who_it_is(portal: Portal) -> None:
    name = f"doubted-{portal.window.language}"
    number = NUMBERS[portal.window.language].replace("76", "77")
    portal.site.register(name)
    sign_in(portal, name)
    add_phone(portal, number)
    doubt_everybody(portal.site)
    portal.open("/account/close")
    portal.see("Confirm that it is you")
    portal.type("Password", "wrong")
    portal.press("Continue")
    portal.see("Confirm that it is you")
    portal.follow("I can't remember it")
    portal.see("Confirm that it is you")
    portal.page.get_by_role("button", name=number).click()
    portal.see("Check your phone")


@IN_BOTH_DIRECTIONS
def test_an_invited_guest_stops_the_invitations(portal: Portal) -> None:
    site = portal.site
    name = f"host-{portal.window.language}"
    guest = f"guest-{portal.window.language}@example.com"
    identity = identity_token(site.http, site.register(name))
    body = {
        "medium": "email",
        "address": guest,
        "room_id": "!garden:example.org",
        "sender": f"@{name}:localhost:{site.process.port}",
    }
    answer = site.http.post(
        "/_matrix/identity/v2/store-invite", json=body, headers={"Authorization": f"Bearer {identity}"}
    )
    assert answer.status_code == 200, answer.text
    stop = re.search(r"/invitations/stop/[\w.-]+", site.mail(guest))
    assert stop
    portal.open(stop[0])
    portal.see("Stop all invitations?")
    portal.press("Yes, stop all invitations")
    expect(portal.page.locator("h1")).to_contain_text(portal.window.say("No more invitations"))
    portal.window.check_looks(portal.page)
    portal.open("/invitations/stop/nothing")
    portal.see("This link is incomplete")
    portal.open("/mailbox/")
    portal.page.get_by_text(guest).click()
    expect(portal.page.get_by_text(portal.window.say("The whole message as it would have been sent"))).to_be_visible()
    portal.window.check_looks(portal.page)


@IN_BOTH_DIRECTIONS
def test_mistakes_lead_to_pages_that_can_be_read(portal: Portal) -> None:
    portal.open("/")
    portal.see("Your development server runs")
    portal.open("/account/register")
    portal.type("Username", "a name with spaces")
    portal.type("Password", PASSWORD)
    portal.press("Continue")
    portal.see("Create an account")
    portal.window.context.clear_cookies()
    portal.type("Password", PASSWORD)
    portal.press("Continue")
    portal.see("This did not work")
    portal.open("/language")
    portal.see("This is not possible here")
    portal.open("/reset/nothing")
    portal.see("Start again")


@IN_BOTH_DIRECTIONS
def test_the_endpoints_can_be_read_on_a_phone(portal: Portal) -> None:
    portal.open("/docs/api")
    expect(portal.page.locator("h1")).to_have_text("API")
    portal.window.check_looks(portal.page)
    for name, heading in (("post_login", "Log in"), ("sync", "Return an empty sync")):
        portal.open(f"/docs/api/{name}")
        expect(portal.page.locator("h1")).to_contain_text(heading)
        portal.window.check_looks(portal.page)


@pytest.fixture(scope="module")
def identity_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An identity server alone, with terms, that sends its mails."""
    folder = tmp_path_factory.mktemp("identity")
    process = ServerProcess(folder, via=f'{{ transport = "file", directory = "{folder}/mails" }}', tables=TERMS)
    process.config.write_text(re.sub(r"\[accounts\]\nregistration = .*\n", "", process.config.read_text()))
    with Site(process) as made:
        yield made


@IN_BOTH_DIRECTIONS
def test_an_identity_server_says_what_it_is(window: Window, identity_server: Site) -> None:
    window.page.goto(identity_server.base)
    expect(window.page).to_have_title(re.compile(window.say("Matrix identity server")))
    expect(window.page.get_by_text(window.say("This is a Matrix identity server."))).to_be_visible()
    window.check_looks(window.page)


@pytest.fixture(scope="module")
def beside_synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, FakeSynapse]]:
    """A server beside a homeserver, which asks it for the reset of keys."""
    folder = tmp_path_factory.mktemp("beside")
    with fake_synapse() as synapse:
        tables = f"[homeserver]\n{toml(synapse.settings(folder)['homeserver'])}"
        with Site(ServerProcess(folder / "server", name="example.org", tables=tables)) as made:
            yield made, synapse


@IN_BOTH_DIRECTIONS
def test_a_person_lets_an_app_replace_lost_keys(window: Window, beside_synapse: tuple[Site, FakeSynapse]) -> None:
    site, synapse = beside_synapse
    portal = Portal(window, site)
    name = f"loser-{window.language}"
    site.register(name)
    sign_in(portal, name)
    portal.see("Your account")
    portal.open("/account/keys")
    portal.see("Reset your identity")
    assert not synapse.users[name].may_reset_keys
    portal.press("Allow the reset")
    portal.expect_said("Your app can reset your identity now, once, within ten minutes. Go back to it.")
    portal.see("Reset your identity")
    assert synapse.users[name].may_reset_keys


BUTTON = re.compile(r"<button[^>]*>(.*?)</button>")
SENTENCE = re.compile(r"{% trans[^%]*%}(.*?){% endtrans %}")


def headings(template: str) -> set[str]:
    """The sentences in the heading of a page, in English."""
    blocks = re.findall(r"{% block (?:title|heading) %}(.*?){% endblock %}|<h1>(.*?)</h1>", template)
    found = {sentence for block in blocks for sentence in SENTENCE.findall("".join(block))}
    return found - {"Problem:"}


def said(heading: str) -> str:
    """A pattern of the heading as a story has it, with values in place of the variables."""
    return '"' + ".+".join(map(re.escape, re.split(r"(?:<bdi>)?{{[^}]*}}(?:</bdi>)?", heading))) + '"'


@pytest.mark.parametrize(
    "template", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES))
)
def test_every_page_is_looked_at_in_a_browser(template: Path) -> None:
    stories = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    wanted = headings(template.read_text())
    assert not wanted or any(re.search(said(heading), stories) for heading in wanted), wanted


def test_no_word_of_a_heading_or_button_is_broken_in_any_language(window: Window, site: Site) -> None:
    templates = [path.read_text() for path in TEMPLATES.rglob("*.html")]
    buttons = {one for text in templates for button in BUTTON.findall(text) for one in SENTENCE.findall(button)}
    sentences = buttons.union(*map(headings, templates))
    assert len(sentences) > 60
    window.page.set_viewport_size({"width": NARROWEST, "height": 800})
    window.page.goto(f"{site.base}/account/sign-in")
    for language in languages():
        shown = [Text(sentence).in_language(language) for sentence in sentences]
        assert window.page.evaluate(TOO_LONG, shown) == [], language
