"""Renders pages from templates, with the headers that every page has."""

from collections.abc import Mapping
from typing import Any, Final

import jinja2

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
        html = self._environment(DEFAULT_LANGUAGE).get_template(template).render(values)
        return Answer(
            status,
            html.encode("utf-8"),
            content_type="text/html; charset=utf-8",
            headers=HEADERS.replacing({**own, **(headers or {})}),
        )

    def message(self, title: Text, text: Text, *, status: int, headers: Mapping[str, str] | None = None) -> Answer:
        """A page with a title and a text only."""
        return self.page("message.html", status=status, headers=headers, title=title, text=text)

    def error(self, error: MatrixError) -> Answer:
        """The error page of `error`."""
        if isinstance(error, Unknown):
            return self.failure(error.text)
        return self.message(Text("This did not work"), error.text, status=error.status, headers=error.headers())

    def failure(self, text: Text = _OUR_FAULT) -> Answer:
        """The error page of an unexpected failure."""
        return self.message(Text("Something went wrong"), text, status=500)


def redirect(target: str) -> Answer:
    """Redirect the browser to `target`, which must already be checked."""
    return Answer(303, b"", content_type="text/plain", headers=HEADERS.adding("Location", target))
