"""The declared pages of the console, and an operator's browser, for tests of what holds for all of them."""

from typing import Final

from operators import operator_token
from threepid.spec.operator_scopes import Scope
from threepid.web.console.pages import PAGES
from web.portal_browser import Browser
from world import World

__all__ = ["ALICE", "COOKIE", "GETS", "PAGES", "POSTS", "operator_browser"]

ALICE: Final = "@alice:example.org"
COOKIE: Final = "__Host-threepid-operator"
GETS: Final = tuple(page for page in PAGES if page.method == "GET")
POSTS: Final = tuple(page for page in PAGES if page.method == "POST")


def operator_browser(world: World, *scopes: Scope, name: str = "helpdesk", path: str = "/admin/") -> Browser:
    """A browser that is signed in to the console with a new token, by default with all scopes but `admins:write`."""
    browser = Browser(world, path)
    browser.press("Sign in", operator_token=operator_token(world, *scopes, name=name))
    return browser
