"""The page behind the link in an invitation that ends them: GET shows a button, POST stops. Mail scanners open links.

Mail programs send the POST by themselves when a person unsubscribes there: https://www.rfc-editor.org/rfc/rfc8058
"""

from collections.abc import Mapping

from threepid.domain.identity.invites import Invites
from threepid.domain.services import Services
from threepid.http import forms
from threepid.http.exchange import Answer, Request, Route
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
        """What the link is for."""
        return self._page(done=False) if self._invites.can_stop(variables["token"]) else self._gone()

    async def stop(self, request: Request, variables: Mapping[str, str]) -> Answer:
        """The button was pressed; pressing it again is no error."""
        # A mail program on the web is another site, and may do it: it knows the link, which is all that anybody needs.
        if not await forms.is_one_click(request):
            forms.refuse_foreign(request, self._config)
        return self._page(done=True) if await self._invites.stop(variables["token"]) else self._gone()

    def _page(self, *, done: bool) -> Answer:
        return self._pages.page("stop_invites.html", done=done)

    def _gone(self) -> Answer:
        return self._pages.message(
            "This link is not complete",
            "Please open the whole link of the mail, from its beginning to its end.",
            status=404,
        )
