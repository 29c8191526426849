"""The page that stops invitations to an address: GET shows a button, because mail scanners open links; POST stops them.

Mail programs send the POST themselves when a person unsubscribes: https://www.rfc-editor.org/rfc/rfc8058
"""

from collections.abc import Mapping

from threepid.domain.identity.invites import Invites
from threepid.domain.services import Services
from threepid.http import forms
from threepid.http.exchange import Answer, Request, Route
from threepid.i18n import Text
from threepid.web.render import Pages


def routes(services: Services, pages: Pages) -> list[Route]:
    """The route of the page, if there is an identity server."""
    if services.identity is None:
        return []
    page = _StopInvites(services, services.identity.invites, pages)
    return [Route("/invitations/stop/{token}", {"GET": page.show, "POST": page.stop})]


class _StopInvites:
    def __init__(self, services: Services, invites: Invites, pages: Pages) -> None:
        self._config = services.context.config
        self._invites = invites
        self._pages = pages

    async def show(self, _request: Request, variables: Mapping[str, str]) -> Answer:
        """Show what the link stops."""
        return self._page(done=False) if self._invites.can_stop(variables["token"]) else self._gone()

    async def stop(self, request: Request, variables: Mapping[str, str]) -> Answer:
        """Stop invitations to the address. Doing it again is not an error."""
        # Webmail may send a one-click POST cross-site: it knows the link, and the link is the authorization.
        if not await forms.is_one_click(request):
            forms.refuse_foreign(request, self._config)
        return self._page(done=True) if await self._invites.stop(variables["token"]) else self._gone()

    def _page(self, *, done: bool) -> Answer:
        return self._pages.page("stop_invites.html", done=done)

    def _gone(self) -> Answer:
        return self._pages.message(
            Text("This link is incomplete"),
            Text("Open the whole link from the mail, from beginning to end."),
            status=404,
        )
