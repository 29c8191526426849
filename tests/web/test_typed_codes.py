"""Codes as telephones type and paste them: in digits of other scripts, with marks that nobody sees."""

from collections.abc import Callable, Mapping

import pytest

from threepid.clock import MINUTE
from web.portal_browser import Browser
from web.visitor import DONE, Visitor, begin
from world import PASSWORD, World

ALICE = "alice@example.com"


def in_script(zero: str) -> Callable[[str], str]:
    """Writes digits in the script with this zero."""
    return lambda code: "".join(chr(ord(zero) + int(digit)) for digit in code)


WRITTEN: Mapping[str, Callable[[str], str]] = {
    "Arabic-Indic": in_script("\u0660"),
    "Persian": in_script("\u06f0"),
    "Devanagari": in_script("\u0966"),
    "full-width": in_script("\uff10"),
    "isolated": "\u2068{}\u2069".format,
    "embedded": "\u202a{}\u202c".format,
    "zero-width": lambda code: f"{code[:3]}\u200b{code[3:]}\ufeff",
    "no-break": lambda code: f"{code[:3]}\u00a0{code[3:]}",
}


@pytest.fixture(params=WRITTEN, ids=str)
def written(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """How the person's telephone writes a code."""
    return WRITTEN[request.param]


def signed_in(world: World, path: str) -> Browser:
    browser = Browser(world, path)
    browser.sign_in()
    return browser


def test_a_contact_is_added_by_a_code_in_any_script(world: World, written: Callable[[str], str]) -> None:
    token = world.register()
    browser = signed_in(world, "/account/contacts")
    browser.follow("Add an email address")
    browser.press("Send me a code", address=ALICE)
    browser.press("Continue", code=written(world.mail().code))
    assert world.contacts(token) == [ALICE], browser.page.problem


def test_a_stage_is_completed_by_a_code_in_any_script(world: World, written: Callable[[str], str]) -> None:
    session = begin(world, body={"username": "bob", "password": PASSWORD})["session"]
    visitor = Visitor.at_stage(world, "m.login.email.identity", session)
    visitor.press("Send me a code", address="bob@example.com")
    assert visitor.press("Continue", code=written(world.mail().code)).heading == DONE, visitor.page.problem


def test_a_password_is_recovered_by_a_code_in_any_script(world: World, written: Callable[[str], str]) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    browser = Browser(world, "/account/forgot")
    browser.press("Send me a code", address=ALICE)
    browser.press("Continue", code=written(world.mail().code))
    assert browser.page.heading == "Choose a new password", browser.page.problem


def test_a_person_is_confirmed_by_a_code_in_any_script(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    browser = signed_in(world, "/account/")
    world.clock.advance(11 * MINUTE)
    browser.open("/account/password")
    browser.follow("I can't remember it")
    browser.press(ALICE)
    browser.press("Continue", code=WRITTEN["Persian"](world.mail().code))
    assert browser.page.heading == "Change your password", browser.page.problem


@pytest.mark.parametrize("code", ["\u00b2\u00b3\u00b9\u00b2\u00b3\u00b9", "\u4e00\u4e8c\u4e09", "12345", "", "\u200b"])
def test_what_is_no_code_stays_wrong(world: World, code: str) -> None:
    world.register()
    browser = signed_in(world, "/account/contacts")
    browser.follow("Add an email address")
    browser.press("Send me a code", address=ALICE)
    assert browser.press("Continue", code=code).problem == "This code is wrong."
