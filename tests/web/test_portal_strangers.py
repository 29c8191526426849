"""What people and strangers type into the portal stays text, whatever page shows it again."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from web.portal_browser import Browser
from web.portal_pages import GETS, POSTS, path_of
from web.test_every_page import HOSTILE, check_headers
from world import World

BAD = ("<script>alert", "<img src=x", "<svg", "onerror=alert(1)>", "<iframe", "<b>")
QUERY = ("next", "sid", "n", "contact", "before", "after", "sent", "medium", "page")


@pytest.fixture
def browser(database_url: str, tmp_path: Path) -> Iterator[Browser]:
    """Alice's browser, signed in; her device has a hostile name."""
    with World(database_url, tmp_path, sms__countries=["GB"]) as world:
        token = world.register()
        world.add(token, world.validated(world.identity_token(token)))
        device = world.get("/_matrix/client/v3/account/whoami", token=token).json()["device_id"]
        name = {"display_name": HOSTILE[1]}
        assert world.call("PUT", f"/_matrix/client/v3/devices/{device}", name, token=token).status_code == 200
        browser = Browser(world)
        browser.sign_in()
        yield browser


def harmless(browser: Browser) -> None:
    """The page that is shown has none of the tags that the hostile texts want, and the headers of every page."""
    for bad in BAD:
        assert bad not in browser.page.html, browser.path
    if browser.page.html:
        check_headers(browser.path.partition("?")[0], browser.page)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_query_becomes_part_of_a_page(browser: Browser, text: str) -> None:
    query = "&".join(f"{name}={Browser.escaped(text)}" for name in QUERY)
    for page in GETS:
        browser.open(f"{path_of(page)}?{query}")
        harmless(browser)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_field_becomes_part_of_a_page(browser: Browser, text: str) -> None:
    for page in POSTS:
        if "close" in page.path or "sign-out" in page.path:
            continue  # they end the session, and show nothing of the form
        browser.open("/account/")
        names = [field.encode_name for field in msgspec.structs.fields(page.form_type)] if page.form_type else ["any"]
        browser.submit({"form_token": browser.page.fields["form_token"], **dict.fromkeys(names, text)}, path_of(page))
        harmless(browser)


def test_the_name_of_a_device_is_shown_as_text(browser: Browser) -> None:
    browser.open("/account/sessions")
    assert HOSTILE[1] in browser.page.strong
    harmless(browser)
