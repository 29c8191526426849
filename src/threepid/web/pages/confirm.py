"""The page behind the link in a mail: GET shows what is confirmed and a button, POST confirms.

Mail scanners open links, so opening one changes nothing, unless the operator sets `web.link_confirms = "get"`.
"""

from collections.abc import Mapping

from threepid.domain.policy import closes_without_token
from threepid.domain.services import Services
from threepid.domain.validation.links import Confirmation, LinkView
from threepid.domain.validation.proofs import CLOSES
from threepid.domain.validation.purposes import Purpose
from threepid.http import forms
from threepid.http.exchange import Answer, Request
from threepid.web.next_link import source, target
from threepid.web.portal.forgot import reset_path
from threepid.web.render import PageRoute, Pages, redirect


def routes(services: Services) -> list[PageRoute]:
    """The route of the page."""
    confirm = _Confirm(services)
    return [PageRoute("/confirm/{link}", {"GET": confirm.show, "POST": confirm.confirm})]


class _Confirm:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._config = services.context.config
        self._web = self._config.web

    async def show(self, pages: Pages, request: Request, variables: Mapping[str, str]) -> Answer:
        """Show what the link confirms. HEAD requests and mail scanners get here, too."""
        view = await self._services.validation.links.view(variables["link"])
        if view.session is not None and view.session.purpose == Purpose.WEB_RESET:
            return redirect(reset_path(variables["link"]))
        if view.confirmation is not Confirmation.READY or view.session is None:
            return self._done(pages, view)
        # A password reset always takes a button: the requester chooses the new password, so a person must read what it does.
        if self._web.link_confirms == "get" and view.session.purpose != Purpose.RESET:
            return self._done(pages, await self._services.validation.links.confirm(variables["link"]))
        return pages.page(
            "confirm.html",
            allow=self._sent_on(view.session.next_link, view.session.sid),
            view=view,
            can_close=CLOSES in request.query_string.split("&") or closes_without_token(self._config),
        )

    async def confirm(self, pages: Pages, request: Request, variables: Mapping[str, str]) -> Answer:
        """Confirm the address: the button was pressed."""
        forms.refuse_foreign(request, self._config)
        view = await self._services.validation.links.confirm(variables["link"])
        if view.session is not None and view.session.purpose == Purpose.WEB_RESET:
            return redirect(reset_path(variables["link"]))
        return self._done(pages, view)

    def _sent_on(self, next_link: str | None, sid: str) -> Mapping[str, str]:
        """The directive that allows the form's answer to redirect to the `next_link` of a session.

        Chromium applies `form-action` to redirects, too: without the directive, it blocks the redirect silently.
        """
        destination = None if next_link is None else target(self._web, next_link, sid)
        return {} if destination is None else {"form-action": f"'self' {source(destination)}"}

    def _done(self, pages: Pages, view: LinkView) -> Answer:
        if view.confirmation is not Confirmation.DONE or view.session is None:
            return pages.page("link_gone.html", status=404)
        next_link = view.session.next_link
        if next_link is None:
            return pages.page("confirmed.html", address=view.session.address, next_link=None)
        destination = target(self._web, next_link, view.session.sid)
        if destination is not None:
            return redirect(destination)
        return pages.page("confirmed.html", address=view.session.address, next_link=next_link)
