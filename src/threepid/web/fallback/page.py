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
from threepid.http.exchange import Answer, Request
from threepid.http.parameters import parse_parameters
from threepid.i18n import Text
from threepid.spec.errors import NotFound, Unrecognized
from threepid.web.fallback.contact import ContactStage
from threepid.web.fallback.forms import FormStage, form_stages
from threepid.web.fallback.visit import Visit
from threepid.web.render import PageRoute, Pages

_PATH: Final = "/_matrix/client/{version}/auth/{{stage}}/fallback/web"
_VERSIONS: Final = ("r0", "v3", "unstable")


def routes(services: Services, homeserver: Homeserver) -> list[PageRoute]:
    """The routes of the pages, one for each version of the API."""
    fallback = _Fallback(services, homeserver)
    handlers = {"GET": fallback.show, "POST": fallback.submit}
    return [PageRoute(_PATH.format(version=version), handlers) for version in _VERSIONS]


class _Fallback:
    def __init__(self, services: Services, homeserver: Homeserver) -> None:
        self._config = services.context.config
        self._uia = homeserver.uia
        self._stages: dict[str, FormStage | ContactStage] = {
            **form_stages(homeserver),
            **{stage: ContactStage(services, homeserver.uia, medium) for stage, medium in MEDIA.items()},
        }

    async def show(self, pages: Pages, request: Request, variables: Mapping[str, str]) -> Answer:
        """Show the page of the stage, or, if the stage is complete, the page that notifies the app."""
        try:
            visit = await self._visit(pages, request, variables["stage"])
            if (instead := self._instead(visit)) is not None:
                return instead
            return self._done(pages) if visit.done else await self._stage(visit).show(visit)
        except (NotFound, Unrecognized) as error:
            return self._refusal(pages, error)

    async def submit(self, pages: Pages, request: Request, variables: Mapping[str, str]) -> Answer:
        """Handle a submitted form of the stage."""
        form = await forms.read(request, self._config)
        try:
            visit = await self._visit(pages, request, variables["stage"])
            if (instead := self._instead(visit)) is not None:
                return instead
            if visit.done:
                return self._done(pages)
            # A stage returns a page until it is complete.
            return await self._stage(visit).submit(visit, form) or self._done(pages)
        except (NotFound, Unrecognized) as error:
            return self._refusal(pages, error)

    async def _visit(self, pages: Pages, request: Request, stage: str) -> Visit:
        session = parse_parameters(request.query_string).get("session", "")
        view = await self._uia.view(session) if session else None
        if view is None:
            raise NotFound
        return Visit(
            pages=pages,
            session=session,
            stage=stage,
            view=view,
            client=request.client,
        )

    @staticmethod
    def _instead(visit: Visit) -> Answer | None:
        """The page that says why the stage has no page here, complete or not; None if it has one."""
        page = visit.view.page_of(visit.stage)
        if page is Page.OPEN:
            return None
        if page is Page.NONE:
            return visit.pages.page("auth_none.html", status=403, visit=visit)
        return visit.pages.page("auth_unnamed.html", status=403)

    def _stage(self, visit: Visit) -> "FormStage | ContactStage":
        """The handler of the stage. Raises Unrecognized for a stage that is not next in any flow."""
        stage = self._stages.get(visit.stage)
        if stage is None or not visit.is_next:
            raise Unrecognized
        return stage

    @staticmethod
    def _done(pages: Pages) -> Answer:
        return pages.page("auth_done.html")

    @staticmethod
    def _refusal(pages: Pages, error: NotFound | Unrecognized) -> Answer:
        if isinstance(error, NotFound):
            return pages.page("auth_gone.html", status=404, minutes=IDLE // MINUTE)
        return pages.message(
            Text("This step is not needed"),
            Text("Go back to your app. It knows which step comes next."),
            status=400,
        )
