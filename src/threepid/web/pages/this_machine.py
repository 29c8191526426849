"""Pages of a development server that need no sign-in: they open under the names of this machine only.

Otherwise a page on the web that a developer visits could point its own name at this machine and read them (DNS rebinding): the
browser then takes both for one site. The `Host` header still has that name.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from threepid.config import Config
from threepid.config.problem import is_loopback
from threepid.http.exchange import Answer, Request
from threepid.i18n import Text
from threepid.web.render import PageHandle, PageRoute, Pages


def guarded(config: Config, found: Iterable[PageRoute]) -> list[PageRoute]:
    """`found`, for requests to `localhost`, a loopback address or the host of `server.public_base_url`."""
    return [
        PageRoute(route.template, {method: _guarded(config, handle) for method, handle in route.handlers.items()})
        for route in found
    ]


def _guarded(config: Config, handle: PageHandle) -> PageHandle:
    base = config.server.public_base_url.rstrip("/")
    here, ours = f"{base}/mailbox/", _host(urlsplit(base).netloc)

    async def answer(pages: Pages, request: Request, variables: Mapping[str, str]) -> Answer:
        host = _host(request.header("host") or "")
        if host and (host == ours or is_loopback(host)):
            return await handle(pages, request, variables)
        return pages.message(
            Text("This is not possible here"),
            Text("These pages open at %(url)s only.", url=here),
            status=403,
        )

    return answer


def _host(authority: str) -> str:
    """The host of a `Host` header, in lower case; '' if it is malformed."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").removesuffix(".")
    except ValueError:
        return ""
