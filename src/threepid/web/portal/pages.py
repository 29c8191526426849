"""All pages of the portal."""

from typing import Final

from threepid.web.page import collect
from threepid.web.portal import (
    close,
    confirm_by_code,
    contacts,
    forgot,
    home,
    keys,
    notices,
    password,
    register,
    security,
    sessions,
    sign_in,
)

PAGES: Final = collect(
    sign_in.PAGES,
    confirm_by_code.PAGES,
    forgot.PAGES,
    register.PAGES,
    home.PAGES,
    keys.PAGES,
    contacts.PAGES,
    notices.PAGES,
    password.PAGES,
    sessions.PAGES,
    security.PAGES,
    close.PAGES,
)
