"""The page that stops invitations to an address: GET shows a button, because mail scanners open links; POST stops them.

Mail programs send the POST themselves when a person unsubscribes: https://www.rfc-editor.org/rfc/rfc8058
"""

from collections.abc import Mapping

from threepid.domain.identity.opt_outs import OptOuts
from threepid.domain.services import Services
from threepid.http import forms
from threepid.http.exchange import Answer, Request
from threepid.i18n import Text
from threepid.web.render import PageRoute, Pages


def routes(services: Services) -> list[PageRoute]:
    """The route of the page, if there is an identity server."""
    if services.identity is None:
        return []
    page = _StopInvites(services, services.identity.opt_outs)
    return [PageRoute("/invitations/stop/{token}", {"GET": page.show, "POST": page.stop})]


class _StopInvites:
    def __init__(self, services: Services, opt_outs: OptOuts) -> None:
        self._config = services.context.config
        self._opt_outs = opt_outs

    async def show(self, pages: Pages, _request: Request, variables: Mapping[str, str]) -> Answer:
        """Show what the link stops."""
        return self._page(pages, done=False) if self._opt_outs.can_stop(variables["token"]) else self._gone(pages)

    async def stop(self, pages: Pages, request: Request, variables: Mapping[str, str]) -> Answer:
        """Stop invitations to the address. Doing it again is not an error."""
        # Webmail may send a one-click POST cross-site: it knows the link, and the link is the authorization.
        if not await forms.is_one_click(request):
            forms.refuse_foreign(request, self._config)
        return self._page(pages, done=True) if await self._opt_outs.stop(variables["token"]) else self._gone(pages)

    @staticmethod
    def _page(pages: Pages, *, done: bool) -> Answer:
        return pages.page("stop_invites.html", done=done)

    @staticmethod
    def _gone(pages: Pages) -> Answer:
        return pages.message(
            Text("This link is incomplete"),
            Text("Open the whole link from the mail, from beginning to end."),
            status=404,
        )
