"""The visit of an operator's browser to a page of the console."""

import re
from typing import ClassVar, Final
from urllib.parse import quote

from threepid.domain.operators.console import ConsoleSession
from threepid.domain.operators.operator import Operator
from threepid.http.cookies import Cookie
from threepid.spec.operator_scopes import Scope
from threepid.web.page import Access
from threepid.web.visit import Visit

CONSOLE: Final = "threepid-operator"
"""The cookie of a browser that is signed in to the console. It opens nothing of the portal, and the portal's nothing here."""
CONSOLE_VISITOR: Final = "threepid-operator-visitor"
"""The cookie of a browser that is not: its form is bound to it."""
HOME: Final = "/admin/"
ACCOUNT: Final = "/admin/account"
LIMITS: Final = "/admin/limits"
SUPPRESSIONS: Final = "/admin/suppressions"
_OURS: Final = re.compile(r"/admin/[a-z-]*(?:\?[A-Za-z0-9&=%+._~-]*)?")


class NearVisit(Visit, frozen=True, kw_only=True):
    """A visit from the networks of `[admin]`."""

    access: ClassVar[frozenset[Access]] = frozenset({Access.NEAR})

    console: ConsoleSession | None
    secret: str
    """The secret of the console's cookie; '' without a session."""

    @property
    def next(self) -> str:
        """The page of the console that the query asks for next; the start page if it asks for another."""
        return console_path(self.query.get("next", ""))


class Operating(NearVisit, frozen=True, kw_only=True):
    """A visit of an operator who is signed in to the console."""

    access: ClassVar[frozenset[Access]] = frozenset({Access.OPERATOR})

    console: ConsoleSession
    operator: Operator
    """Who acts. The scope of the page has been checked."""

    def may(self, scope: str) -> bool:
        """Does the operator have a scope?"""
        return self.console.may(Scope(scope))


def account_path(user_id: str) -> str:
    """The page of an account."""
    return f"{ACCOUNT}?user={quote(user_id, safe='')}"


def console_cookies(secret: str) -> tuple[Cookie, ...]:
    """The cookies of a browser that has just signed in: it ends with the browser, if not before."""
    return (Cookie(CONSOLE, secret), Cookie(CONSOLE_VISITOR, "", 0))


def console_signed_out_cookies() -> tuple[Cookie, ...]:
    """The cookies of a browser that has signed out."""
    return (Cookie(CONSOLE, "", 0),)


def console_path(path: str) -> str:
    """`path` if it is a page of the console, else its start page."""
    return path if _OURS.fullmatch(path) else HOME
