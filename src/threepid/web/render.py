"""Renders pages from templates, with the headers that every page has."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from threepid.config import Config
from threepid.domain.languages import fitting, offered
from threepid.http import cookies
from threepid.http.cookies import Cookie
from threepid.http.exchange import Answer, Headers, Request
from threepid.i18n import Text, negotiation
from threepid.i18n.catalogues import own_name
from threepid.i18n.templates import Environment, by_language
from threepid.spec.errors import LimitExceeded, MatrixError, Unknown
from threepid.web.brand import BrandFolder

_POLICY: Final[Mapping[str, str]] = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "img-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
LANGUAGE: Final = "threepid-language"
"""The cookie of a browser whose person has chosen a language."""
_OWN: Final = Path(__file__).parent / "templates"
_OUR_FAULT: Final = Text("This was our fault. Please try again in a moment.")


def content_security_policy(allow: Mapping[str, str] | None = None) -> str:
    """The policy of every page, with the directives in `allow` added or replaced."""
    return "; ".join(f"{directive} {sources}" for directive, sources in {**_POLICY, **(allow or {})}.items())


HEADERS: Final = Headers(
    ("Content-Security-Policy", content_security_policy()),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


class Templates:
    """The templates of all pages, compiled once for each language."""

    def __init__(self, config: Config, brand: str) -> None:
        """`brand` is the server's name as pages show it."""
        self.config = config
        self.languages = offered(config)
        """The tags of the languages that pages can be shown in."""
        self._secure = is_secure(config)
        brand_dir = BrandFolder(config.web.brand_folder)
        folders = [*brand_dir.pages, _OWN]
        switch = [(tag, own_name(tag)) for tag in self.languages]

        def make() -> Environment:
            environment = Environment(folders, autoescape=True)
            environment.globals |= {
                "brand": brand,
                "languages": switch,
                "operator": config.web,
                "logo": brand_dir.logo,
                "colours": brand_dir.colours,
            }
            return environment

        self.environment = by_language(make)
        """The environment of a language."""
        brand_dir.check(make())

    def pages(self, request: Request, *, here: str | None = None, chosen: str | None = None) -> "Pages":
        """The pages for a request: in the language that an account has `chosen`, else in that of the browser.

        The switch of the language leads back to `here`, by default the page that was requested.
        """
        cookie = self.language_cookie(request)
        first = [tag for tag in (chosen, cookie) if tag in self.languages]
        return Pages(self, (*first, *negotiation.wanted(request.header("accept-language"))), here or request.target)

    def language_cookie(self, request: Request) -> str:
        """The language of the browser's cookie, '' for none."""
        return cookies.read(request.header("cookie"), LANGUAGE, secure=self._secure)


class Pages:
    """Renders pages in one language, for one request."""

    def __init__(self, templates: Templates, wishes: Iterable[str], here: str) -> None:
        """`here` is the path and query to which the switch of the language leads back."""
        self.wishes = tuple(wishes)
        """The languages that the person has chosen or the browser accepts, best first."""
        self.language = fitting(templates.config, self.wishes)
        self._config = templates.config
        self._environment = templates.environment(self.language)
        self._here = here

    def language_among(self, available: Sequence[str]) -> str:
        """The language for this person of a document that there is in `available`."""
        return fitting(self._config, self.wishes, available)

    def page(
        self,
        template: str,
        /,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        allow: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Answer:
        """The page of `template` with `values`; `allow` are policy directives that it needs."""
        own = {"Content-Security-Policy": content_security_policy(allow)} if allow else {}
        html = self._environment.get_template(template).render(values, here=self._here)
        return Answer(
            status,
            html.encode("utf-8"),
            content_type="text/html; charset=utf-8",
            headers=HEADERS.replacing({**own, **(headers or {})}),
        )

    def message(
        self, title: Text, text: Text, *, status: int, headers: Mapping[str, str] | None = None, way_on: bool = False
    ) -> Answer:
        """A page with a title and a text only; with `way_on`, also with a link to the page at `/`."""
        return self.page("message.html", status=status, headers=headers, title=title, text=text, way_on=way_on)

    def error(self, error: MatrixError) -> Answer:
        """The error page of `error`."""
        if isinstance(error, Unknown):
            return self.failure(error.text)
        answer = self.message(Text("This did not work"), error.text, status=error.status, headers=error.headers())
        limit = error.limit if isinstance(error, LimitExceeded) else ""
        return msgspec.structs.replace(answer, errcode=error.errcode, limit=limit)

    def failure(self, text: Text = _OUR_FAULT) -> Answer:
        """The error page of an unexpected failure."""
        return self.message(Text("Something went wrong"), text, status=500)


PageHandle = Callable[[Pages, Request, Mapping[str, str]], Awaitable[Answer]]
"""Answers a request with one of its pages; the third argument has the path variables."""


class PageRoute(Struct, frozen=True):
    """One path of pages that are not declared with `@page`, and its handler for each method."""

    template: str
    handlers: Mapping[str, PageHandle]


def redirect(target: str) -> Answer:
    """Redirect the browser to `target`, which must already be checked."""
    return Answer(303, b"", content_type="text/plain", headers=HEADERS.adding("Location", target))


def json_answer(value: Any) -> Answer:
    """`value` as JSON, for a script of one of our pages."""
    return Answer(200, msgspec.json.encode(value), headers=HEADERS)


def download(content: bytes, content_type: str, name: str) -> Answer:
    """A file that the browser saves. `name` has no quotes and no controls."""
    headers = HEADERS.adding("Content-Disposition", f'attachment; filename="{name}"')
    return Answer(200, content, content_type=content_type, headers=headers)


def is_secure(config: Config) -> bool:
    """Do browsers reach our pages over HTTPS? Otherwise, on loopback, cookies cannot be `Secure`."""
    return urlsplit(config.server.public_base_url).scheme == "https"


def with_cookies(answer: Answer, cookies: Iterable[Cookie], config: Config) -> Answer:
    """`answer`, setting `cookies`; of several with one name, the last."""
    headers = answer.headers
    for cookie in {cookie.name: cookie for cookie in cookies}.values():
        headers = headers.adding(*cookie.header(secure=is_secure(config)))
    return msgspec.structs.replace(answer, headers=headers)
