"""The login fallback: a page that performs the whole login, for a client that supports no login type of this server.

https://spec.matrix.org/latest/client-server-api/#login-fallback
"""

from collections.abc import Mapping

from threepid.http.exchange import Answer, Request, Route
from threepid.web.render import SCRIPT, Pages


def routes(pages: Pages) -> list[Route]:
    """The route of the page."""

    async def show(_request: Request, _variables: Mapping[str, str]) -> Answer:
        """Show the form; its script reads the query and sends the login."""
        # Only the script may send the form: without it, the browser would send the password to a page that ignores it.
        allow = {**SCRIPT, "connect-src": "'self'", "form-action": "'none'"}
        return pages.page("login.html", allow=allow)

    return [Route("/_matrix/static/client/login/", {"GET": show})]
