"""The switch of the language, in the footer of every page."""

import re
from typing import Final

from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam
from threepid.web.page import Access, Form, page
from threepid.web.visit import Visit, language_cookie

_HERE: Final = re.compile(r"/(?!/)[!-\[\]-~]{0,2000}")
"""A path on this server: browsers take two slashes, or a slash and a backslash, for the beginning of another server's name."""


class LanguageForm(Form, frozen=True):
    """The language that a person chooses, and the page that it was chosen on."""

    language: str
    next: str = "/"


# Pages of all kinds have this form, also those without a form token; only `Origin` and `Sec-Fetch-Site` protect it.
@page("POST", "/language", access=Access.ANYONE, csrf=False)
async def choose_language(visit: Visit, form: LanguageForm) -> Answer:
    """Keep the language for this browser and, if it is signed in, for the account; then go back."""
    if form.language not in visit.offered_languages:
        raise InvalidParam(Text("This language is not offered here."))
    if visit.session is not None:
        await visit.homeserver.languages.choose(visit.session.user_id, form.language, visit.origin)
    target = form.next if _HERE.fullmatch(form.next) else "/"
    return visit.redirect(target, set_cookies=(language_cookie(form.language),))


PAGES: Final = (choose_language,)
