"""The visit of a browser to a page: the first argument of every page's handler."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from threepid.clock import DAY, SECOND
from threepid.config import Config
from threepid.domain.authentication.grants import Grant
from threepid.domain.authentication.web_sessions import LIFE, WebSession
from threepid.domain.contacts.portal import Browser
from threepid.domain.languages import offered
from threepid.domain.origin import Origin, of_caller
from threepid.domain.services import Homeserver, OAuth, Services
from threepid.http import cookies
from threepid.http.cookies import Cookie
from threepid.http.exchange import Answer
from threepid.spec.oauth.server import MANAGE
from threepid.web.kept import KEPT, F, kept
from threepid.web.page import Access
from threepid.web.render import LANGUAGE, Pages, is_secure, redirect, with_cookies

SESSION: Final = "threepid-session"
"""The cookie of a browser that is signed in."""
VISITOR: Final = "threepid-visitor"
"""The cookie of a browser that is not: its forms are bound to it."""
AFTER: Final = "threepid-after"
"""The cookie with the page of ours that comes after a registration or a forgotten password, which take several pages."""
_LANGUAGE_LIFE: Final = 365 * DAY
HOME: Final = MANAGE
BY_ACCOUNT: Final = "/admin/by-account"
"""The page that opens the console of operators with an account."""
_OURS: Final = re.compile(rf"(?:/account/[a-z0-9/_-]*|/oauth2/authorize|{BY_ACCOUNT})(?:\?[A-Za-z0-9&=%+._~-]*)?")


class Visit(Struct, frozen=True, kw_only=True):
    """A visit to a page that anyone may see."""

    access: ClassVar[frozenset[Access]] = frozenset({Access.ANYONE})

    services: Services
    pages: Pages
    languages: tuple[str, ...]
    """The languages that the person has chosen or the browser accepts, best first."""
    client: str
    """The visitor's IP address."""
    user_agent: str
    target: str
    """Path and query of the request, still percent-encoded."""
    query: dict[str, str]
    variables: Mapping[str, str]
    """The variables of the path."""
    sent_cookies: str
    """The Cookie header."""
    form_token: str
    """The token that the forms of the page must send: see `Vault.form_token`."""
    token: str
    """The secret of the session's cookie; '' without a session."""
    visitor: str
    """The secret of the visitor's cookie, by which a browser that is not signed in is known again."""
    new_cookies: tuple[Cookie, ...] = ()
    """Cookies to set with whatever is answered."""
    session: WebSession | None

    def __repr__(self) -> str:
        """Leave out the contents, because the secrets of cookies must not get into a log."""
        return f"{type(self).__name__}()"

    @property
    def config(self) -> Config:
        """The server's configuration."""
        return self.services.context.config

    @property
    def language(self) -> str:
        """The tag of the language that the page is shown in."""
        return self.pages.language

    @property
    def offered_languages(self) -> tuple[str, ...]:
        """The tags of the languages that pages can be shown in."""
        return offered(self.config)

    @property
    def homeserver(self) -> Homeserver:
        """The homeserver role; the portal is served only where it is configured."""
        return self.services.require_homeserver()

    @property
    def oauth(self) -> OAuth:
        """The OAuth 2.0 API; its pages are served only where it is turned on."""
        return self.services.require_oauth()

    @property
    def origin(self) -> Origin:
        """Time, network and user agent of this request, as messages show them."""
        return of_caller(self.services.context.clock.now(), self.client, self.user_agent)

    def cookie(self, name: str) -> str:
        """The value of a cookie of the browser; '' if there is none."""
        return cookies.read(self.sent_cookies, name, secure=is_secure(self.config))

    @property
    def next(self) -> str:
        """The page of ours that the query asks for next; the account's start page if it asks for another."""
        return local_path(self.query.get("next", ""))

    @property
    def next_query(self) -> str:
        """The query by which another page leads to the same page next; '' if none was asked for."""
        return _next_query(self.next)

    @property
    def after(self) -> str:
        """The page of ours that the browser was on its way to when a registration or a forgotten password began."""
        return local_path(self.cookie(AFTER))

    @property
    def after_query(self) -> str:
        """The query by which the first page of the same is on the way there again; '' if the browser was on none."""
        return _next_query(self.after)

    def show(
        self, template: str, /, *, status: int = 200, set_cookies: tuple[Cookie, ...] = (), **values: Any
    ) -> Answer:
        """The page of `template` with `values`."""
        return self.adopt(self.pages.page(template, status=status, visit=self, **values), set_cookies=set_cookies)

    def adopt(self, answer: Answer, *, set_cookies: tuple[Cookie, ...] = ()) -> Answer:
        """`answer`, which has a page with forms of ours, for this visit."""
        # With `no-referrer`, browsers send `Origin: null` with every form.
        headers = answer.headers.replacing({"Referrer-Policy": "same-origin"})
        return self._with(replace(answer, headers=headers), set_cookies)

    def redirect(self, path: str, *, set_cookies: tuple[Cookie, ...] = ()) -> Answer:
        """Send the browser to a page of ours, or to a checked address of an app."""
        return self._with(redirect(path), set_cookies)

    def _with(self, answer: Answer, set_cookies: tuple[Cookie, ...]) -> Answer:
        return with_cookies(answer, (*self.new_cookies, *set_cookies), self.config)


class SignedIn(Visit, frozen=True, kw_only=True):
    """A visit of a browser that is signed in."""

    access: ClassVar[frozenset[Access]] = frozenset({Access.SIGNED_IN, Access.CONFIRMED})

    session: WebSession

    @property
    def user_id(self) -> str:
        """The account's user ID."""
        return self.session.user_id

    def kept(self, form_type: type[F]) -> F | None:
        """What the person typed into this form before the last proof; show it with the cookies `shown`."""
        return kept(self.services.context.vault, self.session.session_id, self.cookie(KEPT), form_type)

    @property
    def shown(self) -> tuple[Cookie, ...]:
        """The cookies of a page that shows what was kept: it comes back once."""
        return (Cookie(KEPT, "", 0),) if self.cookie(KEPT) else ()

    @property
    def browser(self) -> Browser:
        """The browser, as the domain sees it when it changes contacts."""
        return Browser(self.user_id, self.session.session_id, self.grant, self.client, self.languages)

    @property
    def grant(self) -> Grant:
        """The permission to change the account, if the page is for confirmed sessions."""
        return self.homeserver.web_sessions.grant(self.token, self.user_id, self.origin)


def signed_in_cookies(token: str) -> tuple[Cookie, ...]:
    """The cookies of a browser that has just signed in: it is no visitor any more."""
    return (Cookie(SESSION, token, LIFE // SECOND), Cookie(VISITOR, "", 0))


def language_cookie(language: str) -> Cookie:
    """The cookie that keeps the language of a browser."""
    return Cookie(LANGUAGE, language, _LANGUAGE_LIFE // SECOND)


def signed_out_cookies() -> tuple[Cookie, ...]:
    """The cookies of a browser that has signed out."""
    return (Cookie(SESSION, "", 0),)


def _next_query(path: str) -> str:
    return f"?next={quote(path, safe='')}" if path != HOME else ""


def local_path(path: str) -> str:
    """`path` if it is a page of the portal or an app's authorization, else the start page: nobody is sent to another site."""
    return path if _OURS.fullmatch(path) else HOME
