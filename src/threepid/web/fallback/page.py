"""The fallback pages: complete a stage of User-Interactive Authentication in a browser, for apps that do not support it.

https://spec.matrix.org/latest/client-server-api/#fallback
"""

from collections.abc import Mapping
from typing import Final

from threepid.clock import MINUTE
from threepid.domain.authentication.stages import MEDIA
from threepid.domain.authentication.uia import IDLE
from threepid.domain.authentication.views import Page
from threepid.domain.services import Homeserver, Services
from threepid.http import forms
from threepid.http.exchange import Answer, Request, Route
from threepid.http.parameters import parse_parameters
from threepid.i18n import Text, negotiation
from threepid.spec.errors import NotFound, Unrecognized
from threepid.web.fallback.contact import ContactStage
from threepid.web.fallback.forms import FormStage, form_stages
from threepid.web.fallback.visit import Visit
from threepid.web.render import SCRIPT, Pages

_PATH: Final = "/_matrix/client/{version}/auth/{{stage}}/fallback/web"
_VERSIONS: Final = ("r0", "v3", "unstable")


def routes(services: Services, homeserver: Homeserver, pages: Pages) -> list[Route]:
    """The routes of the pages, one for each version of the API."""
    fallback = _Fallback(services, homeserver, pages)
    handlers = {"GET": fallback.show, "POST": fallback.submit}
    return [Route(_PATH.format(version=version), handlers) for version in _VERSIONS]


class _Fallback:
    def __init__(self, services: Services, homeserver: Homeserver, pages: Pages) -> None:
        self._config = services.context.config
        self._uia = homeserver.uia
        self._pages = pages
        self._stages: dict[str, FormStage | ContactStage] = {
            **form_stages(homeserver, pages),
            **{stage: ContactStage(services, homeserver.uia, pages, medium) for stage, medium in MEDIA.items()},
        }

    async def show(self, request: Request, variables: Mapping[str, str]) -> Answer:
        """Show the page of the stage, or, if the stage is complete, the page that notifies the app."""
        try:
            visit = await self._visit(request, variables["stage"])
            if (instead := self._instead(visit)) is not None:
                return instead
            return self._done() if visit.done else await self._stage(visit).show(visit)
        except (NotFound, Unrecognized) as error:
            return self._refusal(error)

    async def submit(self, request: Request, variables: Mapping[str, str]) -> Answer:
        """Handle a submitted form of the stage."""
        form = await forms.read(request, self._config)
        try:
            visit = await self._visit(request, variables["stage"])
            if (instead := self._instead(visit)) is not None:
                return instead
            if visit.done:
                return self._done()
            # A stage returns a page until it is complete.
            return await self._stage(visit).submit(visit, form) or self._done()
        except (NotFound, Unrecognized) as error:
            return self._refusal(error)

    async def _visit(self, request: Request, stage: str) -> Visit:
        session = parse_parameters(request.query_string).get("session", "")
        view = await self._uia.view(session) if session else None
        if view is None:
            raise NotFound
        return Visit(
            session=session,
            stage=stage,
            view=view,
            client=request.client,
            languages=negotiation.wanted(request.header("accept-language")),
        )

    def _instead(self, visit: Visit) -> Answer | None:
        """The page that says why the stage has no page here, complete or not; None if it has one."""
        page = visit.view.page_of(visit.stage)
        if page is Page.OPEN:
            return None
        if page is Page.NONE:
            return self._pages.page("auth_none.html", status=403, visit=visit)
        return self._pages.page("auth_unnamed.html", status=403)

    def _stage(self, visit: Visit) -> "FormStage | ContactStage":
        """The handler of the stage. Raises Unrecognized for a stage that is not next in any flow."""
        stage = self._stages.get(visit.stage)
        if stage is None or not visit.is_next:
            raise Unrecognized
        return stage

    def _done(self) -> Answer:
        return self._pages.page("auth_done.html", allow=SCRIPT)

    def _refusal(self, error: NotFound | Unrecognized) -> Answer:
        if isinstance(error, NotFound):
            return self._pages.page("auth_gone.html", status=404, minutes=IDLE // MINUTE)
        return self._pages.message(
            Text("This step is not needed"),
            Text("Go back to your app. It knows which step comes next."),
            status=400,
        )
