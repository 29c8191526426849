"""Dispatch of a request to a declared page: session, protection against forged forms, the visit, errors."""

import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from threepid.domain.authentication.web_sessions import WebSession
from threepid.domain.services import Services
from threepid.domain.sums import Kind
from threepid.http import cookies, forms
from threepid.http.cookies import Cookie
from threepid.http.exchange import Answer, Handle, Request, Route
from threepid.http.failures import as_error
from threepid.http.parameters import parse_parameters
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, LimitExceeded
from threepid.web.kept import keep
from threepid.web.page import Access, Form, Page
from threepid.web.render import Pages, Templates, is_secure
from threepid.web.visit import SESSION, VISITOR, SignedIn, Visit, language_cookie, local_path, signed_out_cookies

SIGN_IN: Final = "/account/sign-in"
CONFIRM: Final = "/account/confirm"
FORM_TOKEN: Final = "form_token"  # noqa: S105 - the name of a field
_NO_FORM: Final = Form()
_OUTDATED: Final = Text(
    "This form is out of date, or your browser blocks cookies. Go back, reload the page and try again."
)


def routes(
    services: Services,
    templates: Templates,
    declared: Iterable[Page],
    is_for: Callable[[Request], bool] | None = None,
) -> list[Route]:
    """One route for each path; see `Route.is_for`."""
    return routes_of(declared, lambda page, shown: _PortalDoor(services, templates, page, shown), is_for)


def routes_of(
    declared: Iterable[Page],
    door: Callable[[Page, frozenset[str]], "Door"],
    is_for: Callable[[Request], bool] | None = None,
) -> list[Route]:
    """One route for each path, through the `door` of each page; see `Route.is_for`."""
    pages_of = list(declared)
    shown = frozenset(page.path for page in pages_of if page.method == "GET")
    by_path: dict[str, dict[str, Handle]] = {}
    for page in pages_of:
        by_path.setdefault(page.path, {})[page.method] = door(page, shown).handle
    return [Route(path, handlers, is_for=is_for) for path, handlers in by_path.items()]


class Door(ABC):
    """The way to one page: what the pages of the portal and of the console have in common."""

    def __init__(self, services: Services, templates: Templates, page: Page, shown: frozenset[str]) -> None:
        """`shown` are the paths that can be opened, not only sent a form to."""
        self._services = services
        self._config = services.context.config
        self._templates = templates
        self._page = page
        self._is_shown = page.path in shown
        self._base = self._config.server.public_base_url.rstrip("/")
        self._secure = is_secure(self._config)

    async def handle(self, request: Request, variables: Mapping[str, str]) -> Answer:
        """The answer to `request`; turns every exception into a page."""
        pages = self._templates.pages(request, here=self._here(request))
        try:
            return await self._answer(request, variables, pages)
        except Exception as error:  # noqa: BLE001 - the last resort: nothing of it may reach the person
            known = as_error(error, self._services.context.entropy, where=self._page.name)
            if isinstance(known, LimitExceeded):
                self._services.sums.count(Kind.LIMIT_EXCEEDED, request.client)
            return pages.error(known)

    @abstractmethod
    async def _answer(self, request: Request, variables: Mapping[str, str], pages: Pages) -> Answer:
        """The answer of the page, if the visitor may see it. Raises a MatrixError."""

    def _here(self, request: Request) -> str:
        """The page to come back to: this one, or the one whose form was sent here."""
        if self._is_shown:
            return request.target
        origin, slash, path = (request.header("referer") or "").removeprefix(self._base).partition("/")
        return self._local(slash + path if not origin else "")

    def _cookie(self, request: Request, name: str) -> str:
        return cookies.read(request.header("cookie"), name, secure=self._secure)

    @staticmethod
    @abstractmethod
    def _local(path: str) -> str:
        """`path` if it is a page that the browser may come back to, else the start page."""

    def _values(self, request: Request, variables: Mapping[str, str], pages: Pages) -> dict[str, Any]:
        """What every visit has."""
        return {
            "services": self._services,
            "pages": pages,
            "languages": pages.wishes,
            "client": request.client,
            "user_agent": request.header("user-agent") or "",
            "target": request.target,
            "query": parse_parameters(request.query_string) if request.query_string else {},
            "variables": variables,
            "sent_cookies": request.header("cookie") or "",
        }

    async def _form(self, request: Request, visit: Visit) -> forms.Form:
        form = dict(await forms.read(request, self._config))
        sent = form.pop(FORM_TOKEN, "")
        if self._page.csrf and not (
            request.header("origin") != "null"
            and hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), visit.form_token.encode("ascii"))
        ):
            raise Forbidden(_OUTDATED)
        return form


class _PortalDoor(Door):
    """The way to one page of the portal."""

    async def _answer(self, request: Request, variables: Mapping[str, str], pages: Pages) -> Answer:
        page = self._page
        token = self._cookie(request, SESSION) if self._services.homeserver else ""
        session = await self._session(request, token) if token else None
        visit = await self._visit(request, variables, pages, token, session)
        if page.access is not Access.ANYONE and session is None:
            # Who sends a form believes to be signed in.
            told = "&signed_out=1" if page.method == "POST" else ""
            return visit.redirect(
                with_next(SIGN_IN, self._here(request)) + told, set_cookies=signed_out_cookies() if token else ()
            )
        arguments: dict[str, Any] = {"visit": visit}
        if page.method == "POST":
            form = await self._form(request, visit)
            if page.form_type is not None:
                arguments["form"] = page.form_type.read(form)
        if (
            page.access is Access.CONFIRMED
            and session is not None
            and not visit.homeserver.web_sessions.is_confirmed(session)
        ):
            typed = keep(self._services.context.vault, session.session_id, arguments.get("form", _NO_FORM))
            return visit.redirect(with_next(CONFIRM, self._here(request)), set_cookies=typed)
        return await page.handler(**arguments)

    @staticmethod
    def _local(path: str) -> str:
        return local_path(path)

    async def _session(self, request: Request, token: str) -> WebSession | None:
        return await self._services.require_homeserver().web_sessions.of(
            token, client=request.client, user_agent=request.header("user-agent") or ""
        )

    async def _visit(
        self, request: Request, variables: Mapping[str, str], pages: Pages, token: str, session: WebSession | None
    ) -> Visit:
        context = self._services.context
        visitor = self._cookie(request, VISITOR)
        new: tuple[Cookie, ...] = ()
        if session is None and not visitor and self._page.csrf:
            visitor = context.entropy.token()
            new = (Cookie(VISITOR, visitor),)
        if session is not None:
            chosen = await self._services.require_homeserver().languages.chosen(session.user_id)
            if chosen is not None and chosen != self._templates.language_cookie(request):
                new = (language_cookie(chosen),)  # the pages that do not know the account speak its language, too
            pages = self._templates.pages(request, here=self._here(request), chosen=chosen)
        values: dict[str, Any] = {
            **self._values(request, variables, pages),
            # The session's ID stays the same when it is confirmed and gets a new secret: forms in other tabs stay valid.
            "form_token": context.vault.form_token(f"visitor {visitor}" if session is None else session.session_id),
            "visitor": visitor,
            "new_cookies": new,
        }
        if session is None or self._page.access is Access.ANYONE:
            return Visit(token=token if session else "", session=session, **values)
        return SignedIn(token=token, session=session, **values)


def with_next(path: str, target: str) -> str:
    """`path`, which leads to the page `target` next."""
    return f"{path}?next={quote(target, safe='')}"
