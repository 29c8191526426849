"""Renders pages from templates, with the headers that every page has."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import jinja2
import msgspec

from threepid.config import Config
from threepid.http.cookies import Cookie
from threepid.http.exchange import Answer, Headers
from threepid.i18n import Text
from threepid.i18n.catalogues import DEFAULT_LANGUAGE
from threepid.i18n.templates import by_language
from threepid.spec.errors import MatrixError, Unknown

_POLICY: Final[Mapping[str, str]] = {
    "default-src": "'none'",
    "style-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
_OUR_FAULT: Final = Text("This was our fault. Please try again in a moment.")
SCRIPT: Final[Mapping[str, str]] = {"script-src": "'self'"}
"""Policy directives of pages that load one of our scripts."""


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


class Pages:
    """Renders the templates of `web/templates`."""

    def __init__(self, brand: str) -> None:
        """`brand` is the server's name as pages show it."""

        def make() -> jinja2.Environment:
            environment = jinja2.Environment(
                loader=jinja2.PackageLoader("threepid.web"),
                autoescape=True,
                undefined=jinja2.StrictUndefined,
                trim_blocks=True,
                lstrip_blocks=True,
            )
            environment.globals["brand"] = brand
            return environment

        self._environment = by_language(make)
        self.languages = (DEFAULT_LANGUAGE,)
        """The tags of the languages that pages can be shown in."""

    def page(
        self,
        template: str,
        /,
        *,
        status: int = 200,
        language: str = DEFAULT_LANGUAGE,
        headers: Mapping[str, str] | None = None,
        allow: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Answer:
        """The page of `template` with `values`; `allow` are policy directives that it needs."""
        own = {"Content-Security-Policy": content_security_policy(allow)} if allow else {}
        html = self._environment(language).get_template(template).render(values)
        return Answer(
            status,
            html.encode("utf-8"),
            content_type="text/html; charset=utf-8",
            headers=HEADERS.replacing({**own, **(headers or {})}),
        )

    def message(
        self,
        title: Text,
        text: Text,
        *,
        status: int,
        language: str = DEFAULT_LANGUAGE,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A page with a title and a text only."""
        return self.page("message.html", status=status, language=language, headers=headers, title=title, text=text)

    def error(self, error: MatrixError, *, language: str = DEFAULT_LANGUAGE) -> Answer:
        """The error page of `error`."""
        if isinstance(error, Unknown):
            return self.failure(error.text, language=language)
        title = Text("This did not work")
        return self.message(title, error.text, status=error.status, language=language, headers=error.headers())

    def failure(self, text: Text = _OUR_FAULT, *, language: str = DEFAULT_LANGUAGE) -> Answer:
        """The error page of an unexpected failure."""
        return self.message(Text("Something went wrong"), text, status=500, language=language)


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
