"""Pages out of templates, with the headers that every page has."""

from collections.abc import Mapping
from typing import Any, Final

import jinja2

from threepid.http.exchange import Answer, Headers
from threepid.spec.errors import MatrixError, Unknown

_POLICY: Final[Mapping[str, str]] = {
    "default-src": "'none'",
    "style-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
SCRIPT: Final[Mapping[str, str]] = {"script-src": "'self'"}
"""What a page allows beside the rest that has a script of ours."""


def content_security_policy(allow: Mapping[str, str] | None = None) -> str:
    """The policy of every page, with the directives in `allow` instead of its own."""
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
        """`brand` is the server's name as people see it."""
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("threepid.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["brand"] = brand

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
        """The page that `template` makes of `values`; `allow` has directives of the policy that it needs."""
        own = {"Content-Security-Policy": content_security_policy(allow)} if allow else {}
        html = self._environment.get_template(template).render(**values)
        return Answer(
            status,
            html.encode("utf-8"),
            content_type="text/html; charset=utf-8",
            headers=HEADERS.replacing({**own, **(headers or {})}),
        )

    def message(self, title: str, text: str, *, status: int, headers: Mapping[str, str] | None = None) -> Answer:
        """A page that only says something."""
        return self.page("message.html", status=status, headers=headers, title=title, text=text)

    def error(self, error: MatrixError) -> Answer:
        """The page of an error that people are told."""
        if isinstance(error, Unknown):
            return self.failure(error.message)
        return self.message("This did not work", error.message, status=error.status, headers=error.headers())

    def failure(self, text: str = "That was our fault. Please try again in a moment.") -> Answer:
        """The page of what nobody foresaw."""
        return self.message("Something went wrong", text, status=500)


def redirect(target: str) -> Answer:
    """Send the browser to `target`, which the caller has checked."""
    return Answer(303, b"", content_type="text/plain", headers=HEADERS.adding("Location", target))
