"""Dispatch of a request to a page of the console: the operator's session, its scopes, protection against forged forms."""

from collections.abc import Mapping
from typing import Any, Final

from threepid.http.cookies import Cookie
from threepid.http.exchange import Answer, Request
from threepid.web.console.visit import (
    CONSOLE,
    CONSOLE_VISITOR,
    NearVisit,
    Operating,
    console_path,
    console_signed_out_cookies,
)
from threepid.web.dispatch import Door, with_next
from threepid.web.page import Access
from threepid.web.render import Pages

SIGN_IN: Final = "/admin/sign-in"


class ConsoleDoor(Door):
    """The way to one page of the console."""

    async def _answer(self, request: Request, variables: Mapping[str, str], pages: Pages) -> Answer:
        page = self._page
        secret = self._cookie(request, CONSOLE)
        console = self._services.console
        session = await console.of(secret, client=request.client) if secret else None
        context = self._services.context
        visitor = self._cookie(request, CONSOLE_VISITOR)
        new: tuple[Cookie, ...] = ()
        if session is None and not visitor:
            visitor = context.entropy.token()
            new = (Cookie(CONSOLE_VISITOR, visitor),)
        bound_to = f"operator visitor {visitor}" if session is None else f"operator {session.session_id}"
        values: dict[str, Any] = {
            **self._values(request, variables, pages),
            "form_token": context.vault.form_token(bound_to),
            "visitor": visitor,
            "new_cookies": new,
            "token": "",
            "session": None,
            "secret": secret if session else "",
        }
        visit = NearVisit(console=session, **values)
        if page.access is Access.OPERATOR and session is None:
            gone = console_signed_out_cookies() if secret else ()
            return visit.redirect(with_next(SIGN_IN, self._here(request)), set_cookies=gone)
        arguments: dict[str, Any] = {}
        if page.method == "POST":
            form = await self._form(request, visit)
            if page.form_type is not None:
                arguments["form"] = page.form_type.read(form)
        if page.access is Access.OPERATOR and session is not None:
            operator = session.operator(page.scope, visit.origin)
            visit = Operating(console=session, operator=operator, **values)
        return await page.handler(visit=visit, **arguments)

    @staticmethod
    def _local(path: str) -> str:
        return console_path(path)
