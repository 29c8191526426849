"""All pages of the portal."""

from typing import Final

from threepid.web.page import collect
from threepid.web.portal import contacts, forgot, home, password, register, sign_in

PAGES: Final = collect(sign_in.PAGES, forgot.PAGES, register.PAGES, home.PAGES, contacts.PAGES, password.PAGES)
