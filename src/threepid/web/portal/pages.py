"""All pages of the portal."""

from typing import Final

from threepid.web.page import collect
from threepid.web.portal import contacts, home, sign_in

PAGES: Final = collect(sign_in.PAGES, home.PAGES, contacts.PAGES)
