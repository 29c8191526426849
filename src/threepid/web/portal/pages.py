"""All pages of the portal."""

from typing import Final

from threepid.web.page import collect
from threepid.web.portal import close, contacts, home, security, sessions, sign_in

PAGES: Final = collect(sign_in.PAGES, home.PAGES, contacts.PAGES, sessions.PAGES, security.PAGES, close.PAGES)
