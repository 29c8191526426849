"""The declared pages of the portal, for tests of what holds for all of them: a new page is among them by itself."""

import re
from typing import Final

from threepid.web.oauth.pages import PAGES as OAUTH
from threepid.web.page import Access
from threepid.web.page import Page as Declared
from threepid.web.portal.pages import PAGES as PORTAL

PAGES: Final = (*PORTAL, *OAUTH)
GETS: Final = tuple(page for page in PAGES if page.method == "GET")
POSTS: Final = tuple(page for page in PAGES if page.method == "POST")


def path_of(page: Declared) -> str:
    """A path of the page, with something in place of its variables."""
    return re.sub(r"\{\w+\}", "nothing", page.path)


def of(pages: tuple[Declared, ...], *access: Access) -> list[Declared]:
    """Those of `pages` that are declared for one of `access`."""
    return [page for page in pages if page.access in access]
