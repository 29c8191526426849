"""The login fallback: a page that performs the whole login, for a client that supports no login type of this server.

https://spec.matrix.org/latest/client-server-api/#login-fallback
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from threepid.config import Config
from threepid.domain.accounts import devices, login
from threepid.http.exchange import Answer, Request
from threepid.web.render import PageRoute, Pages

_PATHS: Final = ("/_matrix/static/client/login/", "/_matrix/static/client/login")
"""The specification's path, and the path as some clients have it."""
_SAID: Final = (login.WRONG, devices.FULL)
"""The answers of the API that the page says in its own language: the API answers in English."""


def routes(config: Config) -> list[PageRoute]:
    """The routes of the page."""
    # Only the script may send the login: without it, the browser would send the password to a page that ignores it. The policy
    # lets the browser send the page's other form, the switch of the language.
    base = urlsplit(config.server.public_base_url)
    switch = f"{base.scheme}://{base.netloc}/language"
    # Apps that embed the page, such as Element for Android and iOS, let it tell them the login by the address of a frame, which
    # they catch. Browsers know no such scheme.
    allow = {"connect-src": "'self'", "form-action": switch, "frame-src": "js:"}

    async def show(pages: Pages, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """Show the form; its script reads the query and sends the login."""
        sentences = {str(text): text.in_language(pages.language) for text in _SAID}
        return pages.page("login.html", allow=allow, sentences=sentences)

    return [PageRoute(path, {"GET": show}) for path in _PATHS]
