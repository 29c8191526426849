"""Phone numbers as people dial them at home, where no page asks for a country: at the sign-in and for a forgotten password."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from web.portal_browser import Browser
from world import BASE, PASSWORD, World

AT_HOME = "01512 3456789"


@pytest.fixture
def german(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A server that texts to Germany and Austria. Alice has a German number."""
    with World(database_url, tmp_path, sms__countries=["AT", "DE"]) as world:
        token = world.register()
        asked = {"client_secret": "s", "country": "DE", "phone_number": AT_HOME, "send_attempt": 1}
        answer = world.post("/_matrix/client/v3/account/3pid/msisdn/requestToken", asked, token=token).json()
        code = {"sid": answer["sid"], "client_secret": "s", "token": world.text().code}
        world.post(answer["submit_url"].removeprefix(BASE), code)
        assert world.add(token, answer["sid"], secret="s").status_code == 200
        yield world


LANGUAGES = ("de-DE,de;q=0.9", "de", "de,en-US;q=0.7,en;q=0.3", "en-DE")


@pytest.mark.parametrize("languages", LANGUAGES)
def test_people_sign_in_with_a_number_of_the_country_that_they_likely_live_in(german: World, languages: str) -> None:
    browser = Browser(german, "/account/", **{"Accept-Language": languages})
    browser.submit({**browser.page.fields, "name": AT_HOME, "password": PASSWORD}, browser.path)
    assert browser.path == "/account/", browser.page.problem


@pytest.mark.parametrize("languages", LANGUAGES)
def test_a_forgotten_password_takes_a_number_of_the_same_country(german: World, languages: str) -> None:
    browser = Browser(german, "/account/forgot", **{"Accept-Language": languages})
    browser.submit({**browser.page.fields, "address": AT_HOME}, browser.path)
    assert browser.path == "/account/forgot/code", browser.page.problem


def test_the_only_country_that_is_texted_is_meant_whatever_the_language(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["DE"]) as world:
        browser = Browser(world, "/account/forgot", **{"Accept-Language": "en-US,en;q=0.9"})
        browser.press("Send me a code", address=AT_HOME)
        assert browser.page.heading == "Check your phone", browser.page.problem


def test_a_number_with_its_calling_code_is_of_any_country(german: World) -> None:
    browser = Browser(german, "/account/forgot", **{"Accept-Language": "de"})
    browser.press("Code schicken", address="+43 664 1234567")
    assert browser.path == "/account/forgot/code", browser.page.problem
