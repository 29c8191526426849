"""All pages of the OAuth 2.0 API."""

from typing import Final

from threepid.web.oauth import authorize, link, sso
from threepid.web.page import collect

PAGES: Final = collect(authorize.PAGES, link.PAGES, sso.PAGES)
