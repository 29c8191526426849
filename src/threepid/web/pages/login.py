"""The login fallback: a page that performs the whole login for a client that knows none of its ways.

https://spec.matrix.org/latest/client-server-api/#login-fallback
"""

from collections.abc import Mapping

from threepid.http.exchange import Answer, Request, Route
from threepid.web.render import SCRIPT, Pages


def routes(pages: Pages) -> list[Route]:
    """The route of the page."""

    async def show(_request: Request, _variables: Mapping[str, str]) -> Answer:
        """The form; its script reads the query and hands in the login."""
        # The script sends the form, never the browser: without it, the password would go where nobody reads it.
        allow = {**SCRIPT, "connect-src": "'self'", "form-action": "'none'"}
        return pages.page("login.html", allow=allow)

    return [Route("/_matrix/static/client/login/", {"GET": show})]
